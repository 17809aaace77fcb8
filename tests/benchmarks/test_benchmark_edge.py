"""The edge student, all tasks, beside Depth Anything V2 small, depth alone: one run, equal pixels.

Both are written as ONNX files in the same way, with uint8 pixels in and metres at their size out.
Depth Anything has its architecture from transformers and random weights, which take the same time.
Each size is a multiple of 14 and of 32 px, so that neither network resizes.

    pytest tests/benchmarks/test_benchmark_edge.py -s
"""

from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch import Tensor, nn
from transformers import (
    DepthAnythingConfig,
    DepthAnythingForDepthEstimation,
    Dinov2Config,
)

from export.card import OPSET, describe_file
from export.graph import OPEN_SHAPES, scrub, serialise, trace_student
from export.session import SCHEMA_VERSION
from export.timing import run_timing, timing_table
from export.timing_config import TimingConfig
from student.model import StudentConfig, build_student
from student.presets import PRESETS
from teacher.scenes.objects import CLASSES

SIZES_PX = (224, 448)
THREADS = 1
LARGEST_SHARE = 0.25
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class DepthAnything(nn.Module):
    """Depth Anything V2 small, wrapped as students are wrapped."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        backbone = Dinov2Config(
            hidden_size=384,
            num_attention_heads=6,
            image_size=518,
            patch_size=14,
            out_indices=[3, 6, 9, 12],  # pyright: ignore[reportCallIssue]
            reshape_hidden_states=False,
            apply_layernorm=True,
        )
        config = DepthAnythingConfig(
            backbone_config=backbone,
            reassemble_hidden_size=384,
            neck_hidden_sizes=[48, 96, 192, 384],
            fusion_hidden_size=64,
        )
        self.network = DepthAnythingForDepthEstimation(config).eval()
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(STD).view(3, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        """(N, H, W, 3) uint8 -> depth_m (N, H, W)."""
        pixels = (image.float().permute(0, 3, 1, 2) / 255 - self.mean) / self.std
        return self.network(pixels).predicted_depth


def metadata(tasks: tuple[str, ...], multiple_px: int, size_px: int) -> dict:
    return {
        **describe_file("fp32"),
        "schema": SCHEMA_VERSION,
        "tasks": tasks,
        "classes": CLASSES if "segment" in tasks else (),
        "multiple_px": multiple_px,
        "depth_kind": "metric",
        "trained_px": (size_px, size_px),
    }


def write_depth_anything(path: Path, size_px: int) -> Path:
    torch.manual_seed(0)
    program = torch.onnx.export(
        DepthAnything().eval(),
        (torch.zeros(1, size_px, size_px, 3, dtype=torch.uint8),),
        input_names=list(OPEN_SHAPES),
        output_names=["depth_m"],
        opset_version=OPSET,
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    path.write_bytes(serialise(scrub(program.model_proto), metadata(("depth",), 14, size_px)))
    return path


def write_edge_student(path: Path, size_px: int) -> Path:
    torch.manual_seed(0)
    config = StudentConfig(**PRESETS["edge"], classes=CLASSES, image_size=(size_px, size_px))
    student = build_student(config).eval()
    facts = metadata(student.config.tasks, student.multiple_px, size_px)
    model = trace_student(student, size_px=(size_px, size_px))
    path.write_bytes(serialise(model, facts))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("size_px", SIZES_PX)
def test_the_edge_student_takes_a_quarter_of_the_time(size_px: int, tmp_path: Path) -> None:
    files = (
        write_edge_student(tmp_path / f"edge_{size_px}.onnx", size_px),
        write_depth_anything(tmp_path / f"depth_anything_{size_px}.onnx", size_px),
    )
    config = TimingConfig(files=files, size=f"{size_px}x{size_px}", threads=(THREADS,), runs=40)
    rows = run_timing(config)
    Console(width=120).print(timing_table(rows))
    edge_ms, other_ms = (row.latency.min_ms for row in rows)
    print(f"{size_px} px: edge student at {edge_ms / other_ms:.3f} of Depth Anything V2 small")
    assert edge_ms <= LARGEST_SHARE * other_ms
