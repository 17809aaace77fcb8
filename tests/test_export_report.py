"""The report's figures: what is printed when all is well, and when something has no value."""

from pathlib import Path
from typing import Any

import pytest

from export.charts import agreement_words, latency_bars, retention_meters
from export.figures import fixed, megabytes, percent, significant
from export.report import Galleries, page, write_report

SPACE = "\N{NO-BREAK SPACE}"


def make_labeller(p50_ms: float, **tasks: Any) -> dict[str, Any]:
    """A labeller's entry in comparison.json."""
    times = {"min": p50_ms - 1, "p50": p50_ms, "p90": p50_ms * 2, "p99": p50_ms * 3}
    details = {"n": 9, "batch": 1, "threads": 2, "load_average": 0.5, "peak_memory_bytes": 10**9}
    return {
        "depth": {"delta1": 0.9, "absrel": 0.1, "rmse_m": 1.5},
        "interval_95": {"depth": {"delta1": [0.85, 0.95], "absrel": None, "rmse_m": [1.0, 2.0]}},
        "latency_ms": times,
        "latency": details,
        "images_per_s": 1000 / p50_ms,
        "params": 2_000_000,
        "size_bytes": 8_000_000,
        "path": "runs/<b>model</b>",
        "sha256": "ab" * 32,
        **tasks,
    }


def make_comparison(**changes: Any) -> dict[str, Any]:
    """A comparison of labellers that do depth only."""
    return {
        "labellers": {
            "teacher": make_labeller(300.0),
            "student": make_labeller(12.0),
            "onnx_fp32": make_labeller(10.0),
        },
        "agreement": {"depth": 0.83},
        "retention": {"depth": 0.95},
        "retention_interval_95": {"depth": [0.93, 0.97]},
        "speedup": 30.0,
        "images": 12,
        "resolution": [96, 128],
        "classes": [],
        "machine": {"cpu": "abacus", "cores": 2, "system": "none"},
        "versions": {"torch": "2"},
        "data": {"images": "images", "labels": "labels"},
        "protocol": "as always",
        "real": None,
        **changes,
    }


def test_the_page_says_what_matters_first() -> None:
    found = page(make_comparison(), Galleries(held_out=[]))
    assert found["headline"] == f"30 times as fast, with 95{SPACE}% or more of the quality kept"
    assert found["resolution"] == "128 × 96 px"
    assert [tile["value"] for tile in found["tiles"]] == ["30×", f"95{SPACE}%", "1×"]
    assert [group["title"] for group in found["accuracy"]] == ["Depth"]
    assert found["per_class"] == []
    assert found["real"] is None


def test_a_retention_that_has_no_value_is_a_dash(tmp_path: Path) -> None:
    comparison = make_comparison(retention={"depth": None}, retention_interval_95={"depth": None})
    found = page(comparison, Galleries(held_out=[]))
    assert found["headline"] == "30 times as fast"
    assert found["tiles"][1]["value"] == "–"
    path = write_report(tmp_path / "report", comparison, Galleries(held_out=[]))
    assert "What was kept" in path.read_text(encoding="utf-8")


def test_nothing_from_outside_becomes_markup(tmp_path: Path) -> None:
    html = write_report(tmp_path, make_comparison(), Galleries(held_out=[])).read_text("utf-8")
    assert "runs/&lt;b&gt;model&lt;/b&gt;" in html
    assert "<b>model" not in html


def test_a_task_that_one_labeller_lacks_is_not_in_the_table() -> None:
    comparison = make_comparison()
    del comparison["labellers"]["student"]["depth"]
    assert page(comparison, Galleries(held_out=[]))["accuracy"] == []


def test_bars_share_one_scale() -> None:
    bars = latency_bars(make_comparison()["labellers"])
    assert [bar["percent"] for bar in bars] == [50.0, 2.0, 1.67]
    assert [bar["tail"] for bar in bars] == [100.0, 4.0, 3.33]
    assert [bar["kind"] for bar in bars] == ["teacher", "student", "student"]


@pytest.mark.parametrize(("share", "percent_of_meter"), [(1.1, 100), (3.0, 100), (0.55, 50)])
def test_meters_end_where_they_should(share: float, percent_of_meter: float) -> None:
    (meter,) = retention_meters(make_comparison(retention={"depth": share}))
    assert meter["percent"] == percent_of_meter
    assert meter["whole"] == pytest.approx(90.91)


def test_agreement_in_words() -> None:
    words = agreement_words({"depth": 0.83, "normal": 6.24, "segment": 0.7})
    assert words["depth"] == f"within 25{SPACE}% of the teacher’s depth on 83{SPACE}% of pixels"
    assert "6.2°" in words["normal"]
    assert "0.70" in words["segment"]


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
