"""Who labels the shards of a job: this process, or the workers of a Ray cluster."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from teacher.jobs.cluster_meter import ClusterMeter
from teacher.jobs.job_config import LabelConfig
from teacher.jobs.meter import Meter
from teacher.jobs.ray_engine import label_on_ray
from teacher.jobs.ray_places import RayOptions
from teacher.jobs.remote import is_url, local_path
from teacher.jobs.worker import ShardWorker
from teacher.shards import InputShard, Manifest, Marker

LabelAll = Callable[[Iterable[InputShard]], Iterator[Marker]]
"""Labels shards, which it asks for one by one in another thread; yields markers as they come."""


@contextmanager
def opened_engine(
    config: LabelConfig,
    manifest: Manifest,
    *,
    most: int,
    stopped: Callable[[], bool],
    meter: Meter,
) -> Iterator[LabelAll]:
    """The engine of a configuration, for the length of the block; most: shards at most.

    Raises what ShardWorker and label_on_ray raise.
    """
    if isinstance(meter, ClusterMeter):
        yield partial(_label_on_ray, config, manifest, most=most, stopped=stopped, meter=meter)
        return
    with ShardWorker(config, manifest, stopped=stopped, meter=meter) as worker:
        yield worker.label_all


def new_meter(config: LabelConfig) -> Meter:
    """What counts the work of the configuration's engine."""
    return ClusterMeter() if config.engine == "ray" else Meter()


def _label_on_ray(
    config: LabelConfig,
    manifest: Manifest,
    shards: Iterable[InputShard],
    *,
    most: int,
    stopped: Callable[[], bool],
    meter: ClusterMeter,
) -> Iterator[Marker]:
    few = replace(manifest, inputs=manifest.inputs[:1])  # an actor is told its shards one by one
    return label_on_ray(
        partial(ShardWorker, _with_absolute_paths(config), few),
        shards,
        ray_options(config),
        most=most,
        stopped=stopped,
        meter=meter,
    )


def _with_absolute_paths(config: LabelConfig) -> LabelConfig:
    """Workers have another current folder than the driver."""
    out = config.out if is_url(config.out) else local_path(config.out).absolute()
    is_folder = config.teacher != "embedded" and Path(config.teacher).is_dir()
    teacher = str(Path(config.teacher).absolute()) if is_folder else config.teacher
    lora = config.lora and config.lora.absolute()
    return replace(config, out=out, teacher=teacher, lora=lora)


def ray_options(config: LabelConfig) -> RayOptions:
    """What the workers of a job take: the decoding threads' cores, and a GPU unless told not to."""
    return RayOptions(
        address=config.address,
        workers=config.workers,
        cpus_per_worker=config.threads,
        gpus_per_worker=0 if config.device == "cpu" else config.gpus_per_worker,
        needs_gpu=config.device == "cuda",
    )
