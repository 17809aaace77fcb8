"""The data plane of a labelling job: does a GPU that never waits wait for it?

The GPU is a sleep of 56 photographs of 512 px a second; photographs are read, decoded, all three
tasks encoded and committed as in a job, by a process of its own that may use so many cores only.
"busy" is what the device needed for the photographs, over the time from its first painting to the
end of its last: all that the host adds counts as idle, waking up late from the sleep included.
"""

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
from standin import RATE_PER_S, StandIn, read_scenes

from teacher.scenes.config import ScenesConfig
from teacher.scenes.shards import write_scene_shards
from teacher.shards import ShardWriter

HERE = Path(__file__).parent
SIZE_PX, SCENES = 512, 8
PHOTOGRAPHS, PER_SHARD = 1600, 100
LEAST_BUSY = {4: 0.99, 2: 0.97}
MOST_OVERHEAD = 1.3
MEMORY_SHARDS, MEMORY_FROM = 1000, 10
MOST_GROWTH = 0.05


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scenes of 512 px with their true labels; of 64 px under `small`."""
    folder = tmp_path_factory.mktemp("scenes")
    for name, size_px in (("large", SIZE_PX), ("small", 64)):
        write_scene_shards(
            ScenesConfig(out=folder / name, count=SCENES, size_px=size_px, labels=True)
        )
    return folder


def write_shards(folder: Path, scenes: Path, *, shards: int, per_shard: int) -> Path:
    """Image shards that hold the scenes in turn."""
    folder.mkdir()
    photographs = [photo for photo, _ in read_scenes(scenes)]
    for shard in range(shards):
        with ShardWriter(folder / f"{shard:06d}.tar") as writer:
            for number in range(per_shard):
                writer.add(f"{number:06d}", {"jpg": photographs[number % SCENES]})
    return folder


def run_alone(config: StandIn, cores: int) -> dict:
    """Run in a process of its own that may use the last so many cores of those that are there."""
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < cores:
        pytest.skip(f"needs {cores} cores, this process may use {len(usable)}")
    Path(config.out).mkdir()
    chosen = ",".join(map(str, usable[-cores:]))
    command = ["taskset", "-c", chosen, sys.executable, str(HERE / "standin.py")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE.parent.parent)}
    done = subprocess.run(
        [*command, json.dumps(asdict(config))],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize("reads", [False, True], ids=["labels", "paintings"])
@pytest.mark.parametrize("cores", [4, 2])
def test_the_device_is_never_idle(
    benchmark, scenes: Path, tmp_path: Path, cores: int, reads: bool
) -> None:
    """labels: as a predictor hands them over. paintings: colours have to be read first, which needs
    more cores than these at this rate; that figure is told, and nothing is asked of it."""
    shards = PHOTOGRAPHS // PER_SHARD
    write_shards(tmp_path / "images", scenes / "large", shards=shards, per_shard=PER_SHARD)
    config = StandIn(
        scenes=str(scenes / "large"),
        shards=str(tmp_path / "images"),
        out=str(tmp_path / "labels"),
        reads=reads,
        rate_per_s=RATE_PER_S,
        threads=cores,
    )
    found = benchmark.pedantic(run_alone, (config, cores), rounds=1)
    benchmark.extra_info.update(found)
    print(
        f"\n{cores} cores, {'paintings' if reads else 'labels'}: device busy "
        f"{found['device_busy']:.4f} (inside paint {found['in_paint']:.4f}), "
        f"{found['photographs'] / found['seconds']:.1f} photographs/s, "
        f"{found['cpu_ms']:.1f} core-ms each"
    )
    assert reads or found["device_busy"] >= LEAST_BUSY[cores]


def test_memory_is_flat(benchmark, scenes: Path, tmp_path: Path) -> None:
    write_shards(tmp_path / "images", scenes / "small", shards=MEMORY_SHARDS, per_shard=8)
    config = StandIn(
        scenes=str(scenes / "small"),
        shards=str(tmp_path / "images"),
        out=str(tmp_path / "labels"),
        reads=True,
        rate_per_s=None,
    )
    found = benchmark.pedantic(run_alone, (config, min(2, len(os.sched_getaffinity(0)))), rounds=1)
    memory_mb = found["memory_mb"][MEMORY_FROM - 1 :]
    apart = [value / memory_mb[0] - 1 for value in memory_mb]
    print(
        f"\n{memory_mb[0]:.1f} MB at shard {MEMORY_FROM}, {memory_mb[-1]:.1f} MB at shard "
        f"{MEMORY_SHARDS}; between {min(apart):+.1%} and {max(apart):+.1%}"
    )
    assert max(map(abs, apart)) <= MOST_GROWTH


def test_overhead_over_the_bare_codecs(benchmark, scenes: Path, tmp_path: Path) -> None:
    """Core time of a job with labels that are there at once, over decoding and encoding alone."""
    write_shards(tmp_path / "images", scenes / "large", shards=4, per_shard=PER_SHARD)
    config = StandIn(
        scenes=str(scenes / "large"),
        shards=str(tmp_path / "images"),
        out=str(tmp_path / "labels"),
        reads=False,
        rate_per_s=None,
        threads=1,
    )
    found = benchmark.pedantic(run_alone, (config, 1), rounds=1)
    ratio = found["cpu_ms"] / found["bare_cpu_ms"]
    print(
        f"\nbare {found['bare_cpu_ms']:.2f} core-ms, job {found['cpu_ms']:.2f}: {ratio:.2f} times"
    )
    assert ratio <= MOST_OVERHEAD
