"""Label again what a label set is unsure of: `potstill label --parent L --only_below_confidence Q`.

The new set holds these photographs alone, in the same shards and under the same keys, and its plan
names its parent. Nothing is merged: where both have a label of a photograph, the new one counts
(`read_pairs` and `potstill train` take both sets).
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from teacher.certainty import mean_confidence
from teacher.jobs.job_config import LabelConfig
from teacher.jobs.label_set import LabelSet, open_label_set
from teacher.jobs.place import Place
from teacher.jobs.plan import plan_job
from teacher.jobs.sources import Source
from teacher.manifest import InputShard, Manifest
from teacher.map_ahead import map_ahead
from teacher.members import LABEL_SUFFIXES
from teacher.progress import track
from teacher.sample import decode_labels
from teacher.shard_tar import read_shard

THREADS = 4
"""Shards of the parent that are read at a time."""

Planner = Callable[[Sequence[Source], Place, Mapping[str, Any]], Manifest]
"""Freezes the plan of a job, or takes up the one that is there: see plan_job."""


def job_planner(config: LabelConfig) -> Planner:
    """How the job of a configuration is planned: on its own, or from the labels of a parent."""
    if config.parent is None or config.only_below_confidence is None:
        return plan_job
    return partial(plan_relabelling, parent=config.parent, below=config.only_below_confidence)


def plan_relabelling(
    sources: Sequence[Source],
    place: Place,
    config: Mapping[str, Any],
    *,
    parent: Path,
    below: float,
) -> Manifest:
    """Like plan_job, for the photographs whose labels in `parent` have a mean confidence below
    `below` (see teacher.certainty): a number for a whole label, 0..1.

    Raises ValueError when the parent is not complete, was made by the same teacher in the same way,
    for other tasks, or is nowhere so unsure.
    """
    labels = open_label_set(parent)
    if labels.manifest is None:
        raise ValueError(f"{parent} is not of a labelling job: it has no manifest.json")
    _check_settings(labels.manifest, config, parent)
    rule = {"job_id": labels.manifest.job_id, "only_below_confidence": below}
    planned = place.read_manifest()
    inputs = planned.inputs if planned else unsure_inputs(labels, below, sources)
    wanted = {shard.name for shard in inputs}
    return plan_job(
        [source for source in sources if source.name in wanted],
        place,
        {**config, "parent": rule},
        measure=lambda *_: inputs,
    )


def _check_settings(parent: Manifest, config: Mapping[str, Any], where: Path) -> None:
    before = {name: value for name, value in parent.config.items() if name != "parent"}
    if before == config:
        raise ValueError(
            f"{where} was labelled in just this way: give more --steps or --votes, or another "
            "--teacher"
        )
    if before.get("tasks") != config["tasks"]:
        raise ValueError(
            f"--tasks must be those of {where}, {','.join(before.get('tasks', ()))}, so that the "
            f"new labels can stand in for the old ones; found {','.join(config['tasks'])}"
        )


def unsure_inputs(
    labels: LabelSet, below: float, sources: Sequence[Source]
) -> tuple[InputShard, ...]:
    """The shards that have unsure labels, each with their keys, where the photographs lie now.

    Raises ValueError when a shard is not labelled yet, its photographs are missing, or no label is
    unsure.
    """
    missing = [name for name in labels.names if not labels.is_done(name)]
    if missing:
        raise ValueError(
            f"{labels.folder}: {len(missing)} shards, such as {missing[0]}, are not labelled yet; "
            "finish that job first"
        )
    places = {source.name: source.place for source in sources}
    with ThreadPoolExecutor(THREADS) as pool:
        found = map_ahead(
            pool, lambda name: unsure_keys(labels.tar(name), below), labels.names, ahead=THREADS
        )
        keys = list(track(found, "reading confidence", total=len(labels.names)))
    unsure = {name: chosen for name, chosen in zip(labels.names, keys, strict=True) if chosen}
    if not unsure:
        raise ValueError(f"{labels.folder}: no label has a mean confidence below {below:g}")
    if absent := sorted(unsure.keys() - places.keys()):
        raise ValueError(f"--images has no shard {absent[0]}, which {labels.folder} has labels of")
    return tuple(
        replace(labels.inputs[name], path=places[name], count=len(chosen), keys=chosen)
        for name, chosen in unsure.items()
    )


def unsure_keys(tar: Path, below: float) -> tuple[str, ...]:
    """Keys of the labels in a shard whose mean confidence is below a bound, in its order.

    Raises ValueError naming file and key for a broken label.
    """
    keys = []
    for sample in read_shard(tar, suffixes=LABEL_SUFFIXES):
        where = f"{tar}: {sample.key}"
        if mean_confidence(decode_labels(sample.members, where=where)) < below:
            keys.append(sample.key)
    return tuple(keys)
