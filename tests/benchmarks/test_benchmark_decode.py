"""What a labelled sample of 512 px costs: each part in milliseconds of one core, and the whole
against cv2 that decodes the same files and does nothing else.

Times are those of the processor, the least of several rounds for each sample, so that other work on
the machine counts little.
"""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
import pytest
import torch

from distill.augment import DRAWS, augment
from distill.samples import Packed, pack_sample
from distill.settings import Augmentation
from teacher import planes
from teacher.head import decode_head
from teacher.pairs import PairPlace, find_pairs, read_pair
from teacher.sample import TASKS, decode_photograph, encode_labels, task_suffixes
from teacher.scenes.config import ScenesConfig
from teacher.scenes.shards import write_scene_shards
from teacher.shard_tar import read_sample
from teacher.shards import ShardWriter, read_pairs

SIZE = (512, 512)
SCENES, ROUNDS = 8, 5
MOST_RATIO = 2.0


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One sample, whole and in parts."""

    place: PairPlace
    photo: bytes
    members: dict[str, bytes]


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    """Scenes with their true labels and a smooth confidence."""
    root = tmp_path_factory.mktemp("scenes")
    write_scene_shards(ScenesConfig(out=root, count=SCENES, size_px=SIZE[0], labels=True))
    images, labels = root / "images" / "000000.tar", root / "labels.tar"
    rng = np.random.default_rng(0)
    with ShardWriter(labels) as writer:
        for key, _, found in read_pairs(images, root / "labels" / "000000.tar"):
            noise = cv2.GaussianBlur(rng.normal(0, 400, (128, 128, 3)), (0, 0), 3)
            confidence = np.clip(190 + noise, 0, 255).astype(np.uint8)
            writer.add(key, encode_labels(replace(found, confidence=confidence)))
    return [_sample(place) for place in find_pairs(images, labels)]


def _sample(place: PairPlace) -> Sample:
    photo, _ = read_pair(place)
    suffixes = [s for s in task_suffixes(TASKS) if s != "instance.png"]
    members = read_sample(place.labels, place.sample, suffixes=suffixes).members
    return Sample(place=place, photo=photo, members=members)


def decode(sample: Sample) -> Packed:
    """All that a training does for a sample."""
    photo, labels = read_pair(sample.place, tasks=TASKS, instances=False)
    return pack_sample(sample.place.sample.key, photo, labels, SIZE)


def bare_cv2(sample: Sample) -> None:
    """The same files, and nothing else."""
    for data in (sample.photo, *sample.members.values()):
        if not data.startswith(b"{"):
            cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


def augmented(packed: Packed) -> Callable[[Sample], object]:
    """Varying a batch of one."""
    stack, draws = Packed.stack([packed], 1), torch.full((1, DRAWS), 0.3)
    return lambda _: augment(stack.unpack(), Augmentation(), draws, 1.0)


def taken(packed: Packed) -> Callable[[Sample], object]:
    """What is left of it all with samples in memory, or in a cache."""
    stack = Packed.stack([packed], 1)
    return lambda _: stack.take([0])


PARTS: dict[str, Callable[[Sample], object]] = {
    "tar": lambda s: read_sample(s.place.labels, s.place.sample, suffixes=task_suffixes(TASKS)),
    "sha256": lambda s: hashlib.sha256(s.photo).hexdigest(),
    "photograph": lambda s: decode_photograph(s.photo),
    "depth": lambda s: planes.decode_depth(
        s.members["depth.png"], SIZE, planes.DepthStorage("metric")
    ),
    "normal": lambda s: planes.decode_normals(s.members["normal.png"], SIZE),
    "segment": lambda s: planes.decode_classes(s.members["segment.png"], SIZE, np.uint8),
    "confidence": lambda s: planes.decode_confidence(s.members["confidence.png"], (128, 128)),
    "label.json": lambda s: decode_head(s.members["label.json"]),
}


def test_core_ms_of_a_sample(benchmark, samples: list[Sample]) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    packed = decode(samples[0])
    wholes = {"all": decode, "bare cv2": bare_cv2}
    after = {"augmentation": augmented(packed), "from memory": taken(packed)}
    timed = PARTS | wholes | after
    least = {name: np.full(len(samples), np.inf) for name in timed}

    def rounds() -> None:
        for name, part in timed.items():
            for number, sample in enumerate(samples):
                start_s = time.process_time()
                part(sample)
                least[name][number] = min(least[name][number], time.process_time() - start_s)

    benchmark.pedantic(rounds, rounds=ROUNDS, warmup_rounds=1)
    torch.set_num_threads(threads)
    means = {name: 1000 * float(found.mean()) for name, found in least.items()}
    means["the rest"] = means["all"] - sum(means[name] for name in PARTS)
    for name, mean_ms in means.items():
        print(f"{name:<14}{mean_ms:8.2f} core-ms")
    ratio = means["all"] / means["bare cv2"]
    print(f"all / bare cv2{ratio:8.2f}")
    benchmark.extra_info.update(means, ratio=ratio)
    assert ratio < MOST_RATIO
