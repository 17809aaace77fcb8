"""Taking up a job of 10,000 shards that is done: the shards, the plan, every marker.

Locally, and against an S3 server of the tests in another process. The aim is 5 s on two cores that
do nothing else. In a bucket that is the time of listing 30,000 objects: the server needs 0.14 s of
a core for each page of 1000, the client 0.08 s; so what is judged is the ratio to a bare listing.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from bucket_server import BUCKET, CONFIG, PER_SHARD, marker, planned
from s3fs import S3FileSystem

from teacher.jobs.marker_index import MarkerIndex
from teacher.jobs.place import open_place
from teacher.jobs.plan import photograph_shards, plan_job
from teacher.jobs.remote import RemoteFolder
from teacher.shards import Marker, write_manifest, write_marker

SHARDS = 10_000
MOST_LISTINGS_TIME = 1.2
"""Times that a resume takes as long as listing the same folders one after the other."""
ROOT = Path(__file__).parents[2]


def resume(images: str | Path, labels: str | Path) -> dict[str, Marker]:
    """What every run does before it labels, and all that it does when nothing is missing."""
    place = open_place(labels)
    manifest = plan_job(photograph_shards(images, None), place, CONFIG)
    return place.markers([shard.name for shard in manifest.inputs], manifest.job_id)


def test_resume_10000_local_shards(benchmark, tmp_path: Path) -> None:
    images, labels = tmp_path / "images", tmp_path / "labels"
    images.mkdir()
    labels.mkdir()
    manifest = planned(SHARDS, str(images))
    write_manifest(labels, manifest)
    for shard in manifest.inputs:
        Path(shard.path).write_bytes(bytes(100))
        (labels / f"{shard.name}.tar").write_bytes(bytes(100))
        write_marker(labels, marker(shard.name, manifest.job_id))
    markers = benchmark.pedantic(resume, args=(images, labels), rounds=3)
    assert sum(marker.ok for marker in markers.values()) == SHARDS * (PER_SHARD - 1)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    command = [sys.executable, str(Path(__file__).with_name("bucket_server.py")), str(SHARDS)]
    server = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert server.stdout is not None
    port = int(server.stdout.readline())
    S3FileSystem.clear_instance_cache()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    yield f"s3://{BUCKET}"
    server.kill()
    server.wait()


def test_resume_10000_shards_in_a_bucket(benchmark, bucket: str) -> None:
    remote = RemoteFolder(f"{bucket}/labels")
    images = f"{bucket}/images/{{000000..{SHARDS - 1:06d}}}.tar"
    job_id = planned(SHARDS, f"{bucket}/images").job_id
    entries = {}
    for name, file in remote.list().items():
        shard = name.removesuffix(".done.json")
        if shard != name:
            entries[shard] = file.stamp, marker(shard, job_id)
    MarkerIndex(entries).write(remote)  # as the run before left it
    started = time.perf_counter()
    files = [*RemoteFolder(f"{bucket}/images").list(), *remote.list()]
    bare_s = time.perf_counter() - started
    assert len(files) == 3 * SHARDS + 2
    markers = benchmark.pedantic(resume, args=(images, f"{bucket}/labels"), rounds=2)
    assert sum(marker.ok for marker in markers.values()) == SHARDS * (PER_SHARD - 1)
    assert benchmark.stats["min"] < MOST_LISTINGS_TIME * bare_s
