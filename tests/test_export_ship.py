"""What is shipped, what is not, and what a user is told when something is wrong."""

import json
from pathlib import Path

import numpy as np
import pytest
from exported import photographs, stored_student, student_folder
from labelled import write_set
from samples import make_photograph
from test_export_session import METADATA, make_model

from distill.main import main
from export.card import describe_file
from export.drafts import Draft, draft_int8
from export.labellers import OnnxLabeller
from export.pictures import Picture, load_pictures, pictures_sha256
from export.session import Predictor
from export.ship import fit_size, ship
from export.ship_config import ExportConfig
from teacher.shards import ShardWriter


def test_photographs_from_shards_and_from_a_folder(tmp_path: Path) -> None:
    photo = make_photograph()
    with ShardWriter(tmp_path / "000000.tar") as writer:
        writer.add("a", {"jpg": photo})
    (one,) = load_pictures(tmp_path, None, 4)
    assert one.labels is None
    (tmp_path / "b.jpg").write_bytes(photo)
    (other,) = load_pictures(tmp_path, None, 4)
    assert np.array_equal(one.photograph, other.photograph)


def test_photographs_with_labels_have_the_labels_size(tmp_path: Path) -> None:
    write_set(tmp_path, count=4)
    pictures = load_pictures(tmp_path / "images", tmp_path / "labels", 3)
    assert len(pictures) == 3
    assert all(p.labels is not None and p.photograph.shape == (32, 32, 3) for p in pictures)
    assert pictures_sha256(pictures) != pictures_sha256(pictures[:2])


def test_photographs_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_pictures(tmp_path / "nowhere", None, 4)
    with pytest.raises(ValueError, match=r"--labels: .*--images"):
        load_pictures(None, tmp_path, 4)
    (tmp_path / "broken.jpg").write_bytes(make_photograph()[:100])
    with pytest.raises(ValueError, match=r"broken\.jpg: "):
        load_pictures(tmp_path, None, 4)


def test_an_empty_set_of_photographs(tmp_path: Path) -> None:
    with ShardWriter(tmp_path / "000000.tar"):
        pass
    with pytest.raises(ValueError, match=r"holds no photograph; give some with --images"):
        load_pictures(tmp_path, None, 4)


def test_a_size_is_one_that_the_student_takes() -> None:
    assert fit_size("480x640", 32) == (480, 640)
    with pytest.raises(ValueError, match=r"--size 100x90: .*multiples of 16 px, such as 96x96"):
        fit_size("100x90", 16)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"precisions": ("fp32", "fp8")}, "--precisions: expected some of fp32, fp16, .*'fp8'"),
        ({"precisions": ()}, "--precisions: expected some of"),
        ({"size": "480"}, "--size: expected HEIGHTxWIDTH in pixels such as 480x640, found '480'"),
        ({"size": "0x640"}, "--size: expected HEIGHTxWIDTH"),
    ],
)
def test_options_that_are_none(fields: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ExportConfig(student=Path("s"), out=Path("o"), **fields)


def test_a_student_of_another_schema_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card = json.loads((student_folder() / "student.json").read_text())
    (tmp_path / "student.json").write_text(json.dumps({**card, "schema": 1}))
    assert main(["export", "--student", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "student.json: expected a student of schema 2" in error
    assert error.count("\n") == 1


def test_a_graph_that_int8_cannot_take_is_a_reason_not_an_error() -> None:
    metadata = {**METADATA, **describe_file("fp32")}
    source = Draft(model=make_model(), metadata=metadata)
    pictures = [Picture(photograph=photograph) for photograph in photographs()]
    made, reason = draft_int8(source, pictures, stored_student().config, "int8")
    assert made is None
    assert "INT8: the graph has no product with weights" in reason


@pytest.mark.slow
def test_all_precisions_and_a_bundle(tmp_path: Path) -> None:
    write_set(tmp_path, count=12)
    shipment = ship(
        ExportConfig(
            student=student_folder(),
            out=tmp_path / "out",
            images=tmp_path / "images",
            precisions=("fp32", "fp16", "int8"),
            size="32x48",
            bundle=True,
        )
    )
    floats = {"onnx_fp32", "onnx_fp32_32x48", "onnx_fp16", "onnx_fp16_32x48"}
    assert floats <= set(shipment.files)
    judged = (set(shipment.files) | set(shipment.refused)) - floats
    assert judged == {"onnx_int8", "onnx_int8_32x48"}
    fixed = Predictor(tmp_path / "out" / "student_fp32_32x48.onnx")
    assert fixed.size_px == (32, 48)
    labelled = OnnxLabeller(tmp_path / "out" / "student_fp32_32x48.onnx").predict(photographs(3))
    assert [prediction.normal.shape for prediction in labelled] == [(32, 48, 3)] * 3
    half = Predictor(shipment.files["onnx_fp16"])
    assert half.metadata["runs_on"].startswith("GPUs only")
    assert "for GPUs only" in shipment.describe()
    exact = Predictor(shipment.files["onnx_fp32"])(photographs())
    assert np.mean(half(photographs()).segment == exact.segment) > 0.99
    assert shipment.bundle is not None
    assert (shipment.bundle / "student_fp32.onnx").is_file()
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert [file["name"] for file in run["files"]] == list(shipment.files)
    assert [entry["name"] for entry in run["refused"]] == list(shipment.refused)
