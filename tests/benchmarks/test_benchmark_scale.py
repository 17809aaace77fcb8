"""More workers on a Ray cluster, more photographs a second.

A worker's GPU is a sleep of 8 photographs of 512 px a second, about what one H100 does with one
step of a 12B editor by an estimate. Four of them then need about one core of the host for decoding
and encoding, so that the host of four cores is not what is measured.
"""

import os
from pathlib import Path
from typing import Any

import pytest
from sleepers import OpenSleeper
from test_benchmark_job import write_shards

from teacher.jobs.cluster_meter import ClusterMeter
from teacher.jobs.ray_engine import label_on_ray
from teacher.jobs.ray_places import RayOptions
from teacher.scenes.config import ScenesConfig
from teacher.scenes.shards import write_scene_shards
from teacher.shards import inspect_shard

ray = pytest.importorskip("ray", reason="ray is not installed")

RATE_PER_S = 8.0
SHARDS, PER_SHARD = 16, 24
WORKERS = 4
LEAST_SPEEDUP = 3.6


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Any:
    """One node with room for all workers, whatever the cores; they sleep most of the time."""
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    cluster = cluster_utils.Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": WORKERS,
            "include_dashboard": False,
            "object_store_memory": 80 * 2**20,
        },
    )
    yield cluster
    cluster.shutdown()


def test_four_workers_against_one(benchmark, cluster: Any, tmp_path: Path) -> None:
    scenes = tmp_path / "scenes"
    write_scene_shards(ScenesConfig(out=scenes, count=8, size_px=512, labels=True))
    images = write_shards(tmp_path / "images", scenes, shards=SHARDS, per_shard=PER_SHARD)
    shards = [inspect_shard(path) for path in sorted(images.glob("*.tar"))]

    def rate_per_s(workers: int) -> float:
        """Photographs a second, from the first painting to the last commit."""
        out = tmp_path / f"labels{workers}"
        out.mkdir()
        sleeper = OpenSleeper(scenes=scenes, out=out, rate_per_s=RATE_PER_S, together=workers)
        options, meter = RayOptions(address=cluster.address, workers=workers), ClusterMeter()
        run = label_on_ray(
            sleeper, shards, options, most=SHARDS, stopped=lambda: False, meter=meter
        )
        assert len(list(run)) == SHARDS
        totals = meter.totals()
        print(f"\n{workers} workers: {totals.per_s:.2f}/s, devices {totals.busy:.1%} busy")
        return totals.per_s

    alone = rate_per_s(1)
    together = benchmark.pedantic(rate_per_s, (WORKERS,), rounds=1)
    speedup = together / alone
    benchmark.extra_info.update({"alone_per_s": alone, "together_per_s": together})
    print(f"{WORKERS} workers are {speedup:.2f} times one; {len(os.sched_getaffinity(0))} cores")
    assert speedup >= LEAST_SPEEDUP
