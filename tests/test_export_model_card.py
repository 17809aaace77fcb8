"""The model card, read back with the hub's own library."""

from pathlib import Path
from typing import Any

import pytest
from comparisons import METADATA, make_comparison
from huggingface_hub import ModelCard

from export.model_card import hub_licence, write_card


def read_card(folder: Path, **changes: object) -> ModelCard:
    assert write_card(folder, make_comparison(**changes)) == folder / "README.md"
    return ModelCard.load(folder / "README.md")


def test_the_hub_reads_it(tmp_path: Path) -> None:
    data: Any = read_card(tmp_path / "card").data
    assert data.pipeline_tag == "depth-estimation"
    assert data.license == "apache-2.0"
    assert data.library_name == "onnx"
    assert {"potstill", "onnx", "depth-estimation"} <= set(data.tags)
    results = {result.metric_type: result.metric_value for result in data.eval_results}
    assert results == {"delta1": 0.9, "absrel": 0.1, "rmse_m": 1.5}
    assert {result.dataset_name for result in data.eval_results} == {"12 held-out photographs"}


def test_published_weights_are_the_base_model(tmp_path: Path) -> None:
    comparison = make_comparison()
    began = {**METADATA, "base_model": "timm/vit_small_patch14_dinov2.lvd142m"}
    comparison["labellers"]["onnx_fp32"]["metadata"] = began
    write_card(tmp_path, comparison)
    data: Any = ModelCard.load(tmp_path / "README.md").data
    assert data.base_model == "timm/vit_small_patch14_dinov2.lvd142m"


def test_it_says_what_a_reader_needs(tmp_path: Path) -> None:
    refused = [{"name": "onnx_int8", "reason": "slower than FP32"}]
    text = read_card(tmp_path, refused=refused).text
    for words in (
        "`student_fp32.onnx` | any device",
        f"sha256 `{'ab' * 32}`",
        'Predictor("student_fp32.onnx")',
        "| Teacher | 0.900 (0.850–0.950) |",
        "near, below 3 m: depth",
        "teacher: CC-BY-NC-4.0",
        "backbone: not stated",
        "`onnx_int8` does not ship: slower than FP32",
        "agrees with exported program on 32 photographs",
    ):
        assert words in text, words
    assert "\n\n\n" not in text


def test_without_a_file_there_is_no_card(tmp_path: Path) -> None:
    comparison = make_comparison(headline="student")
    del comparison["labellers"]["onnx_fp32"]
    assert write_card(tmp_path / "card", comparison) is None
    assert not (tmp_path / "card").exists()


def test_a_file_without_parity_says_so(tmp_path: Path) -> None:
    comparison = make_comparison()
    comparison["labellers"]["onnx_fp32"]["metadata"] = {**METADATA, "parity": None}
    write_card(tmp_path, comparison)
    assert "Parity: not recorded in the file" in (tmp_path / "README.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("stated", "fields"),
    [
        ("Apache-2.0", {"license": "apache-2.0"}),
        ("FAIR-Noncommercial", {"license": "other", "license_name": "FAIR-Noncommercial"}),
        (None, {"license": "unknown"}),
    ],
)
def test_licences_as_the_hub_names_them(stated: str | None, fields: dict[str, str]) -> None:
    assert hub_licence(stated) == fields
