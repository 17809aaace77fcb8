"""The Ray engine on clusters of several nodes, all of them on this machine."""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from ray_workers import OpenCopier, noted
from samples import make_photograph

from teacher.jobs.cluster_meter import ClusterMeter
from teacher.jobs.label_shard import Interrupted
from teacher.jobs.ray_engine import label_on_ray
from teacher.jobs.ray_places import RayOptions
from teacher.shards import InputShard, Marker, ShardWriter, inspect_shard

cluster_utils = pytest.importorskip("ray.cluster_utils", reason="ray is not installed")

pytestmark = pytest.mark.slow

PHOTOGRAPHS = 8
ONE_CORE = {"num_cpus": 1, "object_store_memory": 80 * 2**20}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Three nodes with room for one worker each; the first is the head."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))  # so that workers find theirs
        cluster = cluster_utils.Cluster(
            initialize_head=True,
            head_node_args={"include_dashboard": False, **ONE_CORE},
        )
        for _ in range(2):
            cluster.add_node(**ONE_CORE)
        yield cluster
        cluster.shutdown()


@pytest.fixture
def shards(tmp_path: Path) -> list[InputShard]:
    return [write_shard(tmp_path / f"{number:06d}.tar", number) for number in range(16)]


def write_shard(path: Path, seed: int) -> InputShard:
    with ShardWriter(path) as writer:
        for number in range(PHOTOGRAPHS):
            writer.add(f"s{seed}p{number}", {"jpg": make_photograph(seed)})
    return inspect_shard(path)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def label(
    cluster: Any,
    worker: OpenCopier,
    shards: list[InputShard],
    stopped: Callable[[], bool] = lambda: False,
    meter: ClusterMeter | None = None,
) -> Iterator[Marker]:
    options = RayOptions(address=cluster.address)
    meter = meter or ClusterMeter()
    return label_on_ray(worker, shards, options, most=len(shards), stopped=stopped, meter=meter)


def test_workers_and_nodes_may_die_and_come(
    cluster: Any, shards: list[InputShard], out: Path, tmp_path: Path
) -> None:
    meter, worker = ClusterMeter(), OpenCopier(out=out, photograph_s=0.05)
    with ThreadPoolExecutor(1) as thread:
        run = thread.submit(lambda: list(label(cluster, worker, shards, meter=meter)))
        wait_until_begun(out, 5)
        os.kill(noted(out / "begun")[-1][0], signal.SIGKILL)
        wait_until_begun(out, 9)
        cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
        wait_until_begun(out, 12)
        cluster.add_node(**ONE_CORE)
        markers = run.result()
    committed = Counter(shard for _, shard in noted(out / "committed"))
    assert committed == Counter(shard.name for shard in shards)
    assert len(noted(out / "begun")) > len(shards), "nobody was killed at work"
    assert meter.totals().labelled == PHOTOGRAPHS * len(shards)
    assert {m.shard: m.sha256 for m in markers} == hashes_in_process(shards, tmp_path / "here")


def wait_until_begun(out: Path, count: int) -> None:
    """Until so many shards were begun, and the last of them just now."""
    while len(noted(out / "begun")) < count:
        time.sleep(0.005)


def hashes_in_process(shards: list[InputShard], out: Path) -> dict[str, str]:
    out.mkdir()
    worker = OpenCopier(out=out, photograph_s=0)(stopped=lambda: False, meter=ClusterMeter())
    return {shard.name: worker.label(shard).sha256 for shard in shards}


def test_bad_shards_are_named_after_all_others_are_done(
    cluster: Any,
    shards: list[InputShard],
    out: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("teacher.jobs.ray_places.BACK_OFF_S", 0.01)
    deadly = write_shard(tmp_path / "deadly.tar", 100)
    damaged = write_shard(tmp_path / "damaged.tar", 101)
    Path(damaged.path).write_bytes(b"no tar at all")
    with pytest.raises(ValueError, match="2 shards cannot be labelled") as raised:
        list(label(cluster, OpenCopier(out=out), [deadly, damaged, *shards]))
    assert "damaged: " in str(raised.value)
    assert "deadly: ActorDiedError" in str(raised.value)
    begun = Counter(shard for _, shard in noted(out / "begun"))
    assert (begun["damaged"], begun["deadly"]) == (2, 4)
    assert {shard for _, shard in noted(out / "committed")} == {shard.name for shard in shards}


def test_asked_to_stop_it_keeps_what_is_done(
    cluster: Any, shards: list[InputShard], out: Path
) -> None:
    markers: list[Marker] = []
    with pytest.raises(Interrupted):
        markers.extend(
            label(
                cluster,
                OpenCopier(out=out, photograph_s=0.1),
                shards,
                stopped=lambda: len(noted(out / "committed")) >= 2,
            )
        )
    assert 2 <= len(noted(out / "committed")) < len(shards)
    assert not list(out.glob(".*.tmp"))


def test_a_run_that_is_abandoned_ends_its_workers(
    cluster: Any, shards: list[InputShard], out: Path
) -> None:
    with closing(label(cluster, OpenCopier(out=out), shards)) as run:  # type: ignore[type-var]
        next(run)
    begun = len(noted(out / "begun"))
    time.sleep(PHOTOGRAPHS * 0.02 + 0.2)
    assert len(noted(out / "begun")) == begun < len(shards)


def test_a_teacher_that_no_worker_can_load_ends_the_run(
    cluster: Any, shards: list[InputShard], out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("teacher.jobs.ray_places.BACK_OFF_S", 0.01)
    worker = OpenCopier(out=out, trouble="runs/teacher is missing")
    message = r"no worker could load the teacher: ValueError: runs/teacher is missing"
    with pytest.raises(ValueError, match=message):
        list(label(cluster, worker, shards))
