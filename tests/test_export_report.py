"""The report's figures: what is printed when all is well, and when something has no value."""

from pathlib import Path

import pytest
from comparisons import make_comparison, make_learned
from rich.console import Console

from export.charts import agreement_words, latency_bars, retention_meters
from export.figures import (
    comparison_tables,
    fixed,
    megabytes,
    per_million,
    percent,
    significant,
)
from export.report import Galleries, page, write_report

SPACE = "\N{NO-BREAK SPACE}"


def test_the_page_says_what_matters_first() -> None:
    found = page(make_comparison(), Galleries(held_out=[]))
    assert found["headline"] == f"30 times as fast, with 95{SPACE}% or more of the quality kept"
    assert found["resolution"] == "128 × 96 px"
    assert [tile["value"] for tile in found["tiles"]] == ["30×", f"95{SPACE}%", "1×"]
    assert [table["title"] for table in found["accuracy"]] == ["Depth"]
    assert found["per_class"] == []
    assert found["real"] is None


def test_all_headline_figures_are_of_one_file() -> None:
    comparison = make_comparison(headline="onnx_int8")
    comparison["labellers"]["onnx_int8"] = make_learned(
        "ONNX INT8", "onnx", 5.0, retention={"depth": 0.5}, size_bytes=2_000_000
    )
    found = page(comparison, Galleries(held_out=[]))
    assert found["headline"] == f"60 times as fast, with 50{SPACE}% or more of the quality kept"
    assert [tile["value"] for tile in found["tiles"]] == ["60×", f"50{SPACE}%", "4×"]
    assert found["student"] == "ONNX INT8"
    assert found["retention"][0]["text"] == "0.500"


def test_a_retention_that_has_no_value_is_a_dash(tmp_path: Path) -> None:
    comparison = make_comparison()
    nothing = {"retention": {"depth": None}, "retention_interval_95": {"depth": None}}
    comparison["labellers"]["onnx_fp32"] |= nothing
    found = page(comparison, Galleries(held_out=[]))
    assert found["headline"] == "30 times as fast"
    assert found["tiles"][1]["value"] == "–"
    path = write_report(tmp_path / "report", comparison, Galleries(held_out=[]))
    assert "What was kept" in path.read_text(encoding="utf-8")


def test_nothing_from_outside_becomes_markup(tmp_path: Path) -> None:
    html = write_report(tmp_path, make_comparison(), Galleries(held_out=[])).read_text("utf-8")
    assert "runs/&lt;b&gt;model&lt;/b&gt;" in html
    assert "<b>model" not in html


def test_a_labeller_without_a_task_is_left_out_of_its_table() -> None:
    comparison = make_comparison()
    del comparison["labellers"]["student"]["depth"]
    found = page(comparison, Galleries(held_out=[]))
    assert [row["label"] for row in found["accuracy"][0]["rows"]] == ["Teacher", "ONNX FP32"]


def test_who_was_fitted_to_the_truth_is_named() -> None:
    comparison = make_comparison()
    assert page(comparison, Galleries(held_out=[]))["aligned"] == ""
    comparison["labellers"]["student"]["alignment"] = "least_squares"
    assert page(comparison, Galleries(held_out=[]))["aligned"] == "Student"


def test_several_sizes_are_no_fair_race_and_said() -> None:
    comparison = make_comparison()
    assert "several sizes" not in page(comparison, Galleries(held_out=[]))["timing"]["note"]
    comparison["labellers"]["student"]["size_px"] = [64, 64]
    assert "Student 64 × 64" in page(comparison, Galleries(held_out=[]))["timing"]["note"]


def test_slices_of_teacher_and_student_stand_side_by_side() -> None:
    comparison = make_comparison()
    worse = {"near": {"depth": {"value": 0.6, "interval_95": None}}}
    comparison["labellers"]["onnx_fp32"]["slices"] = worse
    (table,) = page(comparison, Galleries(held_out=[]))["slices"]
    (row,) = table["rows"]
    assert row["label"] == "near, below 3 m"
    assert [cell["text"] for cell in row["cells"]] == [f"25{SPACE}%", "0.80", "0.60"]


def test_files_that_do_not_ship_are_named_with_the_reason(tmp_path: Path) -> None:
    refused = [{"name": "onnx_int8", "reason": "slower than <FP32>"}]
    path = write_report(tmp_path, make_comparison(refused=refused), Galleries(held_out=[]))
    assert "slower than &lt;FP32&gt;" in path.read_text("utf-8")


def test_bars_share_one_scale() -> None:
    bars = latency_bars(make_comparison()["labellers"])
    assert [bar["percent"] for bar in bars] == [50.0, 2.0, 1.67]
    assert [bar["tail"] for bar in bars] == [100.0, 4.0, 3.33]
    assert [bar["kind"] for bar in bars] == ["teacher", "student", "student"]


@pytest.mark.parametrize(("share", "percent_of_meter"), [(1.1, 100), (3.0, 100), (0.55, 50)])
def test_meters_end_where_they_should(share: float, percent_of_meter: float) -> None:
    comparison = make_comparison()
    comparison["labellers"]["onnx_fp32"]["retention"] = {"depth": share}
    (meter,) = retention_meters(comparison)
    assert meter["percent"] == percent_of_meter
    assert meter["whole"] == pytest.approx(90.91)


def test_agreement_in_words() -> None:
    words = agreement_words({"depth": 0.83, "normal": 6.24, "segment": 0.7})
    assert words["depth"] == f"within 25{SPACE}% of the teacher’s depth on 83{SPACE}% of pixels"
    assert "6.2°" in words["normal"]
    assert "0.70" in words["segment"]


def test_the_terminal_fits_eighty_columns() -> None:
    console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(comparison_tables(make_comparison()))
    text = console.export_text()
    for word in ("Teacher", "ONNX FP32", "0.850–0.950", "30 times as fast as teacher", "8.0"):
        assert word in text
    assert "…" not in text


def test_a_million_photographs_cost_what_their_hours_cost() -> None:
    row = make_comparison()["labellers"]["teacher"]
    assert per_million(row, "") == f"41.7{SPACE}h"
    assert per_million({**row, "cost_per_million": 14.6}, "EUR") == f"14.6{SPACE}EUR, 41.7{SPACE}h"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (fixed(0.12345, 3), "0.123"),
        (fixed(None, 3), "–"),
        (fixed(float("nan"), 3), "–"),
        (percent(0.956), f"96{SPACE}%"),
        (percent(None), "–"),
        (significant(0.1234), "0.12"),
        (significant(9.94), "9.9"),
        (significant(12.34), "12.3"),
        (significant(99.6), "100"),
        (significant(12345.6), "12346"),
        (significant(None), "–"),
        (megabytes(1_234_567), f"1.2{SPACE}MB"),
        (megabytes(123_456_789), f"123{SPACE}MB"),
    ],
)
def test_numbers_as_text(text: str, expected: str) -> None:
    assert text == expected
