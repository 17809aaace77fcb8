"""Costs: what follows from a measurement, and which file the report speaks of."""

from dataclasses import fields

import pytest
from comparisons import make_comparison, make_learned, make_row

from export.costs import choose_headline, latency_fields, speedups, throughput
from export.latency import Latency


def make_latency(batch: int, images_per_s: float) -> Latency:
    """A measurement in which nothing but these two is of interest."""
    given = {field.name: 1 for field in fields(Latency)}
    return Latency(**{**given, "batch": batch, "images_per_s": images_per_s})  # type: ignore[arg-type]


def test_a_million_photographs_at_the_better_batch_size() -> None:
    single, many = make_latency(1, 10.0), make_latency(8, 20.0)
    found = throughput(single, many, 0.36)
    assert found["throughput"] == {"batch": 8, "images_per_s": 20.0}
    assert found["hours_per_million"] == pytest.approx(1e6 / 20 / 3600)
    assert found["cost_per_million"] == pytest.approx(5.0)
    assert throughput(make_latency(1, 30.0), many, None)["throughput"]["batch"] == 1
    assert throughput(single, many, None)["cost_per_million"] is None


def test_times_stand_apart_from_their_circumstances() -> None:
    found = latency_fields(make_latency(1, 10.0))
    assert {"min", "p50", "p90", "p99", "core_p50"} <= set(found["latency_ms"])
    assert {"threads", "load_average", "n"} <= set(found["latency"])
    assert not any(name.endswith("_ms") for name in found["latency"])


def test_speed_over_the_teacher_in_each_of_its_settings() -> None:
    rows = make_comparison()["labellers"]
    rows["teacher_votes_4"] = make_row("Teacher, 4 votes", "teacher", 1200.0)
    found = speedups(rows)
    assert found == {
        "student": {"teacher": 25.0, "teacher_votes_4": 100.0},
        "onnx_fp32": {"teacher": 30.0, "teacher_votes_4": 120.0},
    }


def test_the_headline_is_of_the_fastest_file() -> None:
    rows = make_comparison()["labellers"]
    assert choose_headline(rows) == "onnx_fp32"
    rows["onnx_int8"] = make_learned("ONNX INT8", "onnx", 5.0)
    assert choose_headline(rows) == "onnx_int8"
    assert choose_headline({name: rows[name] for name in ("teacher", "student")}) == "student"
