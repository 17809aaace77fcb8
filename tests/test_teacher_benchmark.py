"""How fast labels are made: the measurement itself, on small painters."""

import json
from pathlib import Path

import numpy as np
import pytest
import tiny_references
import torch
from jobs import photograph, write_images
from tiny import build_teacher
from torch.utils.flop_counter import FlopCounterMode

from distill.main import main
from teacher.benchmark.config import BenchmarkConfig
from teacher.benchmark.peak import peak_of
from teacher.benchmark.run import benchmark
from teacher.benchmark.speed import square
from teacher.benchmark.stage_clock import StageClock
from teacher.painters import open_teacher
from teacher.painters.editor import Prompt
from teacher.painters.random_weights import SIZES, random_painter
from teacher.painters.runtime import Runtime

ON_CPU = {"device": "cpu", "batch_size": 2, "batches": 1}


@pytest.fixture
def images(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    write_images(tmp_path / "images" / "000000.tar", {"a": photograph(0), "b": photograph(2)})
    return tmp_path / "images"


def test_a_teacher_is_measured_at_each_number_of_steps(images: Path, tmp_path: Path) -> None:
    teacher = build_teacher(tmp_path / "tiny")
    config = BenchmarkConfig(images=images, teacher=str(teacher), steps="1,3", **ON_CPU)
    one, three = benchmark(config)["speeds"]
    assert (one["model"], one["steps"], three["steps"]) == ("tiny", 1, 3)
    assert one["size_px"] == (32, 32)
    assert one["photographs_per_s"] > 0
    assert set(one["stage_ms"]) == {
        "read",
        "VAE encode",
        "transformer",
        "VAE decode",
        "copy",
        "label",
    }
    assert min(one["stage_ms"].values()) >= 0
    # Three tasks, each of two steps more: the transformer six times more, and nothing else.
    editor = open_teacher(teacher).editor()
    source, prompt = torch.zeros(1, 16, 4, 4), _prompt(4, 16, 8)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        editor.velocity(source, source, torch.ones(1), prompt)
    more = 1e12 * (three["tflop"] - one["tflop"])
    assert more == pytest.approx(6 * counter.get_total_flops())


def _prompt(tokens: int, width: int, pooled: int) -> Prompt:
    return Prompt(embeds=torch.zeros(1, tokens, width), pooled=torch.zeros(1, pooled))


def test_random_weights_are_measured(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "bench"
    options = {"random": "tiny", "resolution_px": 32, "steps": "1", "tasks": "depth"}
    report = benchmark(BenchmarkConfig(images=images, out=out, **options, **ON_CPU))
    (speed,) = report["speeds"]
    assert (speed["model"], speed["compiled"], speed["dtype"]) == ("tiny", False, "float32")
    assert 0 < speed["utilisation"] < 2  # the product of matrices is itself only an estimate
    stored = json.loads((out / "benchmark.json").read_text())
    assert stored["speeds"][0]["tflop"] == speed["tflop"]
    assert "| tiny | 1 | eager | 32 x 32 |" in (out / "benchmark.md").read_text()


def test_a_network_without_parts_is_one_stage(images: Path, tmp_path: Path) -> None:
    folder = tiny_references.build_segformer(tmp_path / "segformer")
    config = BenchmarkConfig(images=images, teacher=str(folder), compiled=True, **ON_CPU)
    (speed,) = benchmark(config)["speeds"]
    assert not speed["compiled"]
    assert set(speed["stage_ms"]) == {"read", "network", "label"}


def test_operations_are_those_of_the_layers() -> None:
    """Counted by hand: the three products of a linear layer's rows, inputs and outputs."""
    painter = random_painter("tiny", resolution_px=32, steps=1, runtime=Runtime())
    hidden, mlp, text, width = 64, 256, 16, 32
    source = torch.zeros(1, 16, 4, 4)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        painter.editor.velocity(source, source, torch.ones(1), painter.prompts["depth"])
    tokens = 2 * 4  # of the noisy latents and of the photograph, in patches of 2 x 2
    both = tokens + text
    joint = 8 * hidden**2 * both + 4 * hidden * mlp * both + 4 * hidden * both**2
    single = 2 * both * (3 * hidden**2 + hidden * mlp + (hidden + mlp) * hidden)
    single += 4 * hidden * both**2
    ends = 2 * tokens * 64 * hidden * 2 + 2 * text * width * hidden
    found = counter.get_total_flops()
    modulation = found - (joint + single + ends)  # linear layers of one row each
    assert 0 < modulation < 0.2 * found


@pytest.mark.parametrize(("name", "parameters"), [("klein-4b", 3.88e9), ("kontext-12b", 11.9e9)])
def test_production_sizes_are_the_published_ones(name: str, parameters: float) -> None:
    network_class, config = SIZES[name].transformer
    with torch.device("meta"):
        transformer = network_class(**config)
    count = sum(weight.numel() for weight in transformer.parameters())
    assert count == pytest.approx(parameters, rel=0.01)


def test_the_square_is_the_middle() -> None:
    photo = np.arange(4 * 7 * 3, dtype=np.uint8).reshape(4, 7, 3)
    np.testing.assert_array_equal(square(photo), photo[:, 1:5])
    np.testing.assert_array_equal(square(photo.swapaxes(0, 1)), photo.swapaxes(0, 1)[1:5])


def test_stages_add_up() -> None:
    clock = StageClock(torch.device("cpu"))
    for name in ("read", "copy", "read"):
        with clock.stage(name):
            pass
    assert set(clock.seconds) == {"read", "copy"}


def test_the_peak_of_an_unknown_device_is_measured() -> None:
    peak = peak_of(torch.device("cpu"), torch.float32)
    assert peak.flops > 1e9
    assert peak.source == "product of two matrices of 1024 x 1024"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"random": "huge"}, "'huge': klein-4b, kontext-12b, tiny"),
        ({"random": "tiny", "resolution_px": 40}, "multiples of 16 px, found --resolution_px 40"),
        ({"steps": "0"}, "--steps must be whole numbers from 1, found '0'"),
        ({"dtype": "float64"}, "dtype must be one of float32"),
        ({"device": "cuda:9"}, "device cuda:9 is not there"),
        ({"teacher": "nowhere"}, "teacher folder nowhere does not exist"),
    ],
)
def test_what_is_not_there_is_named(
    images: Path, options: dict[str, str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = {"device": "cpu", "batch_size": "2", **options}
    words = [f"--{name}={value}" for name, value in flags.items()]
    assert main(["label", "--benchmark", "--images", str(images), *words]) == 2
    assert message in capsys.readouterr().err


def test_shards_without_photographs_are_refused(tmp_path: Path) -> None:
    write_images(tmp_path / "000000.tar", {})
    with pytest.raises(ValueError, match="there is no photograph in its shards"):
        benchmark(BenchmarkConfig(images=tmp_path, **ON_CPU))


def test_the_command_prints_a_table(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    teacher = str(build_teacher(tmp_path / "tiny"))
    arguments = ["--images", str(images), "--teacher", teacher, "--batches", "1", "--device", "cpu"]
    assert main(["label", *arguments, "--benchmark"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "float32, batches of 8; peak" in lines[0]
    assert lines[2].startswith("| model | steps | transformer | px | photographs/s | TFLOP |")
    assert lines[4].startswith("| tiny | 1 | eager | 32 x 32 |")
