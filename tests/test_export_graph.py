"""The exported file: what it computes, what it says of itself, and what it keeps to itself."""

import hashlib
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from exported import (
    folder,
    make_student,
    onnx_file,
    photographs,
    stored_student,
    student_folder,
    traced,
)
from samples import make_labels, make_photograph, make_record

from export.card import backbone_licence, find_teacher, manifest_sha256, read_run
from export.graph import DeployGraph, nearest, serialise, trace_student
from export.session import METADATA_KEY
from export.ship import ship
from export.ship_config import ExportConfig
from student.model import MEAN_LOG_DEPTH, StudentConfig, save_student
from teacher.sample import encode_labels
from teacher.scenes.objects import CLASSES
from teacher.shards import ShardWriter


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    return onnx.load(onnx_file())


@pytest.fixture(scope="module")
def metadata(model: onnx.ModelProto) -> dict:
    return json.loads({p.key: p.value for p in model.metadata_props}[METADATA_KEY])


def test_the_file_is_sound_and_alone(model: onnx.ModelProto) -> None:
    onnx.checker.check_model(model, full_check=True)
    assert [p.name for p in onnx_file().parent.iterdir() if p.suffix != ".json"] == [
        "student_fp32.onnx"
    ]
    assert {o.domain: o.version for o in model.opset_import} == {"": 20}


def test_batch_height_and_width_are_open(model: onnx.ModelProto) -> None:
    dims = [d.dim_param or d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    assert dims == ["batch", "height", "width", 3]
    sizes = {
        o.name: [d.dim_param or d.dim_value for d in o.type.tensor_type.shape.dim]
        for o in model.graph.output
    }
    assert list(sizes) == ["depth_m", "normal", "segment", "confidence"]
    assert sizes["normal"] == sizes["confidence"] == ["batch", "height", "width", 3]


def test_the_metadata_describes_the_file(metadata: dict) -> None:
    assert metadata["schema"] == 2
    assert metadata["tasks"] == ["depth", "normal", "segment"]
    assert metadata["classes"] == list(CLASSES)
    assert metadata["units"]["depth_m"] == "metres along the optical axis"
    assert metadata["multiple_px"] == 16
    assert metadata["trained_px"] == [32, 32]
    assert re.fullmatch("[0-9a-f]{64}", metadata["weights_sha256"])
    assert metadata["versions"]["torch"]
    assert metadata["teacher"] is None
    assert metadata["licence"] == {"student": None, "teacher": None, "backbone": None}
    assert metadata["precision"] == "fp32"
    assert metadata["size_px"] is None
    assert metadata["sky"]
    assert metadata["parity"]["passed"] is True
    assert metadata["parity"]["batches"] == [1, 3]
    assert set(metadata["parity"]["outputs"]) == {"depth_m", "normal", "segment", "confidence"}


def test_no_path_and_no_source_line_leaves_the_machine() -> None:
    data = onnx_file().read_bytes()
    for secret in (b"site-packages", b"stack_trace", b".py", str(Path.cwd()).encode(), b"/tmp"):
        assert secret not in data


def test_the_same_student_gives_the_same_bytes(metadata: dict) -> None:
    again = serialise(traced().model, metadata)
    assert again == onnx_file().read_bytes()


@pytest.mark.slow
def test_another_process_gives_the_same_bytes(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "distill.main", "export", "--student", str(student_folder())]
    done = subprocess.run(
        [*command, "--out", str(tmp_path)], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "student_fp32.onnx").read_bytes() == onnx_file().read_bytes()


def test_pixels_pass_through_the_graph_as_through_the_student() -> None:
    student, photograph = stored_student(), photographs()[0][:32, :32]
    planes = torch.from_numpy(photograph.copy()).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        direct = student(planes)
        depth_m, normal, segment, confidence = DeployGraph(student)(
            torch.from_numpy(photograph.copy())[None]
        )
    sky = segment == CLASSES.index("sky")
    assert torch.allclose(depth_m[~sky], direct["depth"][~sky], rtol=1e-5)
    assert torch.allclose(normal, direct["normal"].permute(0, 2, 3, 1), atol=1e-5)
    assert torch.equal(segment, direct["segment"].argmax(1).to(torch.uint8))
    assert confidence.shape == (1, 32, 32, 3)
    expected = torch.nn.functional.interpolate(
        direct["confidence"], scale_factor=4, mode="bilinear"
    )
    assert torch.allclose(confidence, expected.permute(0, 2, 3, 1), atol=1e-6)


def test_normals_are_those_of_the_nearest_pixel() -> None:
    assert nearest(6, 6).tolist() == [0, 1, 2, 3, 4, 5]
    assert nearest(6, 4).tolist() == [0, 2, 3, 5]
    image = torch.from_numpy(photographs()[:2, :33, :41].copy())
    with torch.no_grad():
        _, normal, *_ = DeployGraph(stored_student())(image)
    assert normal.shape == (2, 33, 41, 3)
    assert torch.allclose(normal.norm(dim=-1), torch.ones(()), atol=1e-5)


class AlwaysFar(torch.nn.Module):
    """A depth head that says so many metres everywhere."""

    def __init__(self, depth_m: float) -> None:
        super().__init__()
        self.log_depth = math.log(depth_m) - MEAN_LOG_DEPTH

    def forward(self, decoded: torch.Tensor) -> torch.Tensor:
        return torch.full((len(decoded), 1, 32, 32), self.log_depth)


class AlwaysOneClass(torch.nn.Module):
    """A head that is sure of one class."""

    def __init__(self, class_id: int):
        super().__init__()
        self.class_id = class_id

    def forward(self, decoded: torch.Tensor) -> torch.Tensor:
        logits = decoded.new_zeros(len(decoded), len(CLASSES), 32, 32)
        logits[:, self.class_id] = 1.0
        return logits


@pytest.mark.parametrize(
    ("fields", "name", "metres", "is_far"),
    [
        ({}, "sky", 200.0, True),
        ({}, "sky", 50.0, False),
        ({}, CLASSES[-1], 200.0, False),
        ({"depth_kind": "affine"}, "sky", 200.0, False),
    ],
)
def test_sky_is_infinitely_far_in_metres(
    fields: dict, name: str, metres: float, is_far: bool
) -> None:
    student = make_student(**fields)
    student.heads["depth"] = AlwaysFar(metres)
    student.heads["segment"] = AlwaysOneClass(CLASSES.index(name))
    image = torch.from_numpy(photographs()[:1, :32, :32].copy())
    depth_m, *_ = DeployGraph(student)(image)
    assert bool(torch.isinf(depth_m).all()) is is_far
    assert bool(torch.isfinite(depth_m).all()) is not is_far


def test_a_graph_of_one_size() -> None:
    model = trace_student(make_student(tasks=("depth",), classes=()), size_px=(32, 48))
    dims = [d.dim_param or d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    assert dims == [1, 32, 48, 3]
    outputs = [[d.dim_value for d in o.type.tensor_type.shape.dim] for o in model.graph.output]
    assert outputs == [[1, 32, 48], [1, 32, 48, 1]]


def test_a_run_is_recorded_beside_the_file() -> None:
    run = json.loads((onnx_file().parent / "run.json").read_text())
    assert [rung["rung"] for rung in run["ladder"]] == ["exported_program", "onnx_fp32"]
    assert all(rung["passed"] for rung in run["ladder"])
    (file,) = run["files"]
    assert file == {
        "name": "onnx_fp32",
        "file": "student_fp32.onnx",
        "sha256": hashlib.sha256(onnx_file().read_bytes()).hexdigest(),
    }
    assert run["refused"] == []


def test_a_folder_without_a_student(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"student\.json"):
        ship(ExportConfig(student=tmp_path, out=tmp_path / "out"))


def test_more_classes_than_a_byte_can_name() -> None:
    student = stored_student()
    object.__setattr__(student.config, "classes", tuple(map(str, range(256))))
    with pytest.raises(ValueError, match="256 classes"):
        trace_student(student)


def write_labels(labels: Path, teacher: dict) -> None:
    photo = make_photograph()
    record = make_record(photo, teacher=teacher)
    labels.mkdir()
    with ShardWriter(labels / "000000.tar") as writer:
        writer.add("a", encode_labels(make_labels(record=record)))


def test_the_licence_of_the_teacher_comes_from_its_labels(tmp_path: Path) -> None:
    teacher = {"path_or_hub_id": "/home/me/secret/still", "licence": "MIT", "layout": "x"}
    write_labels(tmp_path / "labels", teacher)
    found = find_teacher({"config": {"labels": str(tmp_path / "labels")}})
    assert found is not None
    assert found["licence"] == "MIT"
    assert found["path_or_hub_id"] == "still"


def test_without_labels_the_teacher_is_unknown(tmp_path: Path) -> None:
    assert find_teacher({}) is None
    assert find_teacher({"config": {"labels": str(tmp_path)}}) is None


def test_a_damaged_run_file(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(ValueError, match=r"run\.json: not JSON"):
        read_run(tmp_path)


def test_the_digest_of_the_labelling_job_is_in_the_file(tmp_path: Path) -> None:
    run = {"config": {"labels": str(tmp_path)}}
    assert manifest_sha256(run) is None
    (tmp_path / "manifest.json").write_bytes(b"{}")
    assert manifest_sha256(run) == hashlib.sha256(b"{}").hexdigest()


def test_the_licence_of_published_weights() -> None:
    config = StudentConfig(backbone="vit_small_patch14_dinov2", tasks=("depth",))
    assert backbone_licence(config, {"config": {"weights": "hub"}}) == "apache-2.0"
    assert backbone_licence(config, {"config": {"weights": "scratch"}}) is None


VIT = {"depth": 4, "dynamic_img_size": True}


@pytest.mark.slow
@pytest.mark.parametrize(
    "fields",
    [
        {"backbone": "edgenext_xx_small", "backbone_arguments": {}},
        {"backbone": "vit_small_patch16_dinov3", "backbone_arguments": VIT},
        {
            "backbone": "vit_small_patch14_dinov2",
            "backbone_arguments": VIT,
            "image_size": (56, 56),
        },
        {"backbone": "fastvit_t8", "backbone_arguments": {}, "image_size": (64, 64)},
    ],
    ids=lambda fields: fields["backbone"],
)
def test_living_backbones_at_sizes_never_traced(fields: dict, tmp_path: Path) -> None:
    student = save_student(make_student(**fields), tmp_path / "student")
    shipment = ship(ExportConfig(student=student, out=tmp_path))
    (rung,) = [rung for rung in shipment.rungs if rung.name == "onnx_fp32"]
    assert rung.passed
    assert {row.batch for row in rung.rows} == {1, 3}
    assert len({(row.height_px, row.width_px) for row in rung.rows}) == 5
    assert max(row.worst for row in rung.rows if row.output == "depth_m") <= 1e-4


def test_the_shared_files_are_not_in_the_repository() -> None:
    assert not folder().is_relative_to(Path(__file__).parents[1])
    assert student_folder().is_dir()
    assert np.ptp(photographs()) > 100
