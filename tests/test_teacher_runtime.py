"""How a teacher runs: memory, attention, compilation, and options that are not there."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import build_teacher

from teacher.painters import load_painter
from teacher.painters.flow import FlowPainter
from teacher.painters.runtime import Runtime

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 32, 48, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_teacher(tmp_path_factory.mktemp("teacher") / "tiny")


def paint(folder: Path, **options: Any) -> np.ndarray:
    painter = load_painter(folder, **options)
    assert isinstance(painter, FlowPainter)
    return painter.paint(IMAGES, ["depth"], [0, 0])["depth"]


@pytest.mark.parametrize("options", [{"max_memory_gib": 1e-6}, {"attention": "_native_math"}])
def test_options_do_not_change_a_painting(folder: Path, options: dict[str, Any]) -> None:
    np.testing.assert_allclose(paint(folder, **options), paint(folder), rtol=0, atol=1e-5)


@pytest.mark.slow
def test_compiled_blocks_paint_the_same_at_every_size(folder: Path) -> None:
    compiled, plain = load_painter(folder, compile=True), load_painter(folder)
    for height in (32, 48, 64):
        images = np.zeros((2, height, 48, 3), np.uint8) + 100
        painted = [p.paint(images, ["depth"], [0, 0])["depth"] for p in (compiled, plain)]
        np.testing.assert_allclose(*painted, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": "int8"}, "dtype must be one of float32, bfloat16, float16, found 'int8'"),
        ({"max_memory_gib": 0}, "max_memory_gib must be above 0, found 0"),
        ({"quantize": "int3"}, r"quantize must be one of \('nf4',\), found 'int3'"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Runtime(**options)


@pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is not None, reason="bitsandbytes is installed"
)
def test_quantizing_names_the_package_that_is_missing() -> None:
    with pytest.raises(ValueError, match=r"needs the package bitsandbytes.*pip install"):
        Runtime(quantize="nf4")


def test_attention_that_is_not_there_is_named(folder: Path) -> None:
    with pytest.raises(ValueError, match="attention backend 'flash4' cannot be used") as error:
        load_painter(folder, attention="flash4")
    assert "\n" not in str(error.value)


@pytest.mark.gpu
def test_paints_the_same_on_a_gpu(folder: Path) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    for options in ({}, {"max_memory_gib": 1e-6}, {"compile": True}):
        painted = paint(folder, device="cuda", **options)
        np.testing.assert_allclose(painted, paint(folder), rtol=0, atol=2e-3)
