"""The exported file: what it computes, what it says of itself, and what it keeps to itself."""

import json
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from exported import folder, make_student, onnx_file, photographs, stored_student, student_folder
from samples import make_labels, make_photograph, make_record

from export.card import find_teacher, read_run
from export.graph import DeployGraph, ExportConfig, export_student, serialise, trace_student
from export.parity import load_photographs
from export.session import METADATA_KEY
from student import save_student
from teacher.sample import encode_labels
from teacher.scenes import CLASSES
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
    assert [o.name for o in model.graph.output] == ["depth_m", "normal", "segment", "confidence"]


def test_the_metadata_describes_the_file(metadata: dict) -> None:
    assert metadata["schema"] == 1
    assert metadata["tasks"] == ["depth", "normal", "segment"]
    assert metadata["classes"] == list(CLASSES)
    assert metadata["units"]["depth_m"] == "metres along the optical axis"
    assert metadata["multiple_px"] == 16
    assert metadata["trained_px"] == [32, 32]
    assert re.fullmatch("[0-9a-f]{64}", metadata["weights_sha256"])
    assert metadata["versions"]["torch"]
    assert metadata["teacher"] is None
    assert metadata["parity"]["passed"] is True
    assert set(metadata["parity"]["outputs"]) == {"depth_m", "normal", "segment", "confidence"}


def test_no_path_and_no_source_line_leaves_the_machine() -> None:
    data = onnx_file().read_bytes()
    for secret in (b"site-packages", b"stack_trace", b".py", str(Path.cwd()).encode(), b"/tmp"):
        assert secret not in data


def test_the_same_student_gives_the_same_bytes(metadata: dict) -> None:
    again = serialise(trace_student(stored_student()), metadata)
    assert again == onnx_file().read_bytes()


def test_pixels_pass_through_the_graph_as_through_the_student() -> None:
    student, photograph = stored_student(), photographs()[0][:32, :32]
    planes = torch.from_numpy(photograph.copy()).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        direct = student(planes)
        depth_m, normal, segment, confidence = DeployGraph(student)(
            torch.from_numpy(photograph.copy())[None]
        )
    assert torch.allclose(depth_m, direct["depth"], rtol=1e-5)
    assert torch.allclose(normal, direct["normal"].permute(0, 2, 3, 1), atol=1e-5)
    assert torch.equal(segment, direct["segment"].argmax(1).to(torch.uint8))
    assert torch.allclose(confidence, direct["segment"].softmax(1).amax(1), atol=1e-6)


def test_a_run_is_recorded_beside_the_file() -> None:
    run = json.loads((onnx_file().parent / "run.json").read_text())
    assert run["parity"]["passed"] is True
    assert len(run["sha256"]) == 64


def test_a_folder_without_a_student(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"student\.json"):
        export_student(ExportConfig(student=tmp_path, out=tmp_path / "out"))


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


def test_photographs_from_shards_and_from_a_folder(tmp_path: Path) -> None:
    photo = make_photograph()
    with ShardWriter(tmp_path / "000000.tar") as writer:
        writer.add("a", {"jpg": photo})
    (shape,) = [p.shape for p in load_photographs(tmp_path)]
    (tmp_path / "b.jpg").write_bytes(photo)
    assert [p.shape for p in load_photographs(tmp_path)] == [shape]


def test_photographs_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_photographs(tmp_path / "nowhere")
    (tmp_path / "broken.jpg").write_bytes(make_photograph()[:100])
    with pytest.raises(ValueError, match=r"broken\.jpg: "):
        load_photographs(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "fields",
    [
        {"backbone": "edgenext_xx_small", "backbone_arguments": {}},
        {
            "backbone": "vit_small_patch16_dinov3",
            "backbone_arguments": {"depth": 4, "dynamic_img_size": True},
        },
        {"backbone": "fastvit_t8", "backbone_arguments": {}, "image_size": (64, 64)},
    ],
    ids=lambda fields: fields["backbone"],
)
def test_parity_of_living_backbones_at_sizes_never_traced(fields: dict, tmp_path: Path) -> None:
    student = save_student(make_student(**fields), tmp_path / "student")
    _, report = export_student(ExportConfig(student=student, out=tmp_path))
    assert report.passed
    assert not report.dead


def test_the_shared_files_are_not_in_the_repository() -> None:
    assert not folder().is_relative_to(Path(__file__).parents[1])
    assert student_folder().is_dir()
    assert np.ptp(photographs()) > 100
