"""The shared decoder against a DPT head for each task: time at equal backbone, interleaved.

Processor time of one thread, which other work on the machine disturbs least.
"""

import time
from collections.abc import Callable

import pytest
import torch

from student.decoders import DECODERS
from student.model import StudentConfig, build_student
from student.presets import PRESETS
from teacher.scenes.objects import CLASSES

ROUNDS = 20
LARGEST_SHARE = 0.5
"""Of the reference's time, that the default may take."""


def decoding(decoder: str, preset: str, size_px: int) -> Callable[[], None]:
    """Decoder and heads of a student, on features that are there already."""
    fields = {**PRESETS[preset], "decoder": decoder, "image_size": (size_px, size_px)}
    student = build_student(StudentConfig(**fields, classes=CLASSES)).eval()
    image = torch.rand(1, 3, size_px, size_px)
    features = student.backbone(image)

    def decode() -> None:
        decoded = student.decoder(features, image)
        for task, head in student.heads.items():
            head(decoded[task])

    return decode


def time_in_turn(runs: dict[str, Callable[[], None]]) -> dict[str, float]:
    """The smallest milliseconds of each, over rounds in which all take their turn."""
    fastest_ms = dict.fromkeys(runs, float("inf"))
    for _ in range(ROUNDS):
        for name, run in runs.items():
            started = time.process_time()
            run()
            fastest_ms[name] = min(fastest_ms[name], 1e3 * (time.process_time() - started))
    return fastest_ms


@torch.inference_mode()
@pytest.mark.parametrize("preset", ["edge", "tiny"])
@pytest.mark.parametrize("size_px", [128, 256])
def test_the_default_takes_less_than_half_of_the_reference(
    benchmark, preset: str, size_px: int, capsys: pytest.CaptureFixture
) -> None:
    torch.set_num_threads(1)
    runs = {name: decoding(name, preset, size_px) for name in DECODERS}
    fastest_ms = benchmark.pedantic(time_in_turn, (runs,), rounds=1)
    share = {name: value / fastest_ms["dpt"] for name, value in fastest_ms.items()}
    with capsys.disabled():
        for name in runs:
            print(
                f"{preset} {size_px} px {name}: {fastest_ms[name]:.2f} ms, {share[name]:.3f} of dpt"
            )
    assert share[StudentConfig(classes=CLASSES).decoder] <= LARGEST_SHARE
