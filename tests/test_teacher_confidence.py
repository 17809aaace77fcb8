"""From evidence to confidence: fits, which one is taken, their file; how confidence is stored."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from teacher.confidence import (
    Calibration,
    Fit,
    average_blocks,
    calibration_from_json,
    confidence_image,
    read_calibration,
    uncalibrated,
)

ALL = ("depth", "normal", "segment")


def make_fit(task: str = "depth", **fields: Any) -> Fit:
    given = {"tasks": ALL, "votes": 1, "weights": {"depth_residual": -1.5}, "bias": 2.0}
    return Fit(task=task, **{**given, **fields})


def test_probability_is_the_logistic_function_of_scaled_ingredients() -> None:
    fit = make_fit(weights={"depth_residual": -1.5, "segment_margin": 0.5})
    found = {
        "depth_residual": np.array([[0.0, 4.0]], np.float32),  # the unit is 4 levels
        "segment_margin": np.array([[0.0, 24.0]], np.float32),  # the unit is 8 levels
    }
    logits = [2.0, 2.0 - 1.5 * np.log(2) + 0.5 * np.log(4)]
    expected = 1 / (1 + np.exp(-np.array(logits)))
    np.testing.assert_allclose(fit.probability(found)[0], expected, rtol=1e-5)
    assert fit.probability(found).dtype == np.float32


def test_evidence_without_bounds_never_overflows() -> None:
    found = {"depth_residual": np.array([0, 1e30, 442], np.float32)}
    for bias in (-200.0, 200.0):
        probability = make_fit(bias=bias).probability(found)
        assert ((probability >= 0) & (probability <= 1)).all()


def test_the_fit_with_most_evidence_is_taken() -> None:
    fits = (
        make_fit(tasks=("depth",)),
        make_fit(),
        make_fit(tasks=("depth",), votes=4),
        make_fit(votes=4),
        make_fit("normal", weights={}),
    )
    calibration = Calibration(fits=fits, photographs=1)
    assert calibration.fit_for("depth", ALL, 1) is fits[1]
    assert calibration.fit_for("depth", ALL, 2) is fits[3]
    assert calibration.fit_for("depth", ("depth", "normal"), 1) is fits[0]
    assert calibration.fit_for("depth", ("depth",), 9) is fits[2]
    assert calibration.fit_for("normal", ALL, 2) is fits[4]
    assert calibration.fit_for("normal", ("normal",), 1) is None
    assert calibration.fit_for("segment", ALL, 1) is None


def test_a_calibration_survives_its_file(tmp_path: Path) -> None:
    calibration = Calibration(fits=(make_fit(), make_fit("segment", votes=2)), photographs=256)
    assert read_calibration(tmp_path) is None
    (tmp_path / "confidence.json").write_text(json.dumps(calibration.to_json()))
    assert read_calibration(tmp_path) == calibration


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "expected schema version 1, found 2"),
        ({"fits": {}}, "fits: expected a list, found {}"),
        ({"photographs": 0}, "photographs: expected an integer from 1"),
        ({"fits": [{"task": "depth"}]}, "missing fields"),
        ({"mood": "good"}, "unknown fields"),
    ],
)
def test_a_damaged_calibration_names_file_and_field(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    stored = Calibration(fits=(make_fit(),), photographs=1).to_json() | change
    (tmp_path / "confidence.json").write_text(json.dumps(stored))
    with pytest.raises(ValueError, match=message) as error:
        read_calibration(tmp_path)
    assert "confidence.json" in str(error.value)
    assert "potstill calibrate" in str(error.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"task": "albedo"}, "unknown task or ingredient 'albedo'"),
        ({"tasks": ("albedo",)}, "unknown task or ingredient 'albedo'"),
        ({"weights": {"luck": 1.0}}, "unknown task or ingredient 'luck'"),
        ({"bias": np.nan}, "the weights of depth must be finite"),
        ({"votes": 0}, "votes: expected an integer from 1"),
    ],
)
def test_a_fit_that_makes_no_sense_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_fit(**fields)
    stored = json.loads(json.dumps(Calibration(fits=(make_fit(),), photographs=1).to_json()))
    stored["fits"][0] |= fields
    with pytest.raises(ValueError, match=message):
        calibration_from_json(stored)


def test_uncalibrated_confidence_has_the_stated_ends() -> None:
    def ramp(task: str, ingredient: str, values: list[float]) -> list[float]:
        return uncalibrated(task, {ingredient: np.array(values)}).tolist()

    assert ramp("depth", "depth_residual", [0, 32, 64, 441]) == [1, 0.5, 0, 0]
    assert ramp("normal", "normal_length", [0, 0.25, 0.5, 1]) == [1, 0.5, 0, 0]
    assert ramp("segment", "segment_margin", [0, 32, 64, 442]) == [0, 0.5, 1, 1]


@given(
    height=st.integers(1, 30),
    width=st.integers(1, 30),
    stride=st.integers(1, 7),
    seed=st.integers(0, 2**32 - 1),
)
def test_average_blocks_is_the_mean_of_every_block(
    height: int, width: int, stride: int, seed: int
) -> None:
    plane = np.random.default_rng(seed).random((height, width)).astype(np.float32)
    blocks = average_blocks(plane, stride)
    assert blocks.shape == (-(-height // stride), -(-width // stride))
    for row, column in np.ndindex(*blocks.shape):
        block = plane[row * stride : (row + 1) * stride, column * stride : (column + 1) * stride]
        assert blocks[row, column] == pytest.approx(block.mean(), abs=1e-6)


def test_confidence_image_has_a_channel_for_each_task() -> None:
    image = confidence_image({"normal": np.ones((5, 9)), "segment": np.full((5, 9), 0.5)})
    assert image.shape == (2, 3, 3)
    assert image.dtype == np.uint8
    assert (image == [0, 255, 128]).all()
