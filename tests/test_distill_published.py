"""The published tables: every printed digit, and whether the printed averages follow from them."""

from decimal import Decimal
from pathlib import Path

import pytest

from distill.alignment import ALIGNMENTS
from distill.datasets import FORMATS
from distill.protocols import DEPTH_PROTOCOLS
from distill.published import (
    DOES_NOT_FOLLOW,
    EXACT,
    UNSTATED,
    WITHIN_ROUNDING,
    MeanCheck,
    averages,
    read_published,
)

VISION_BANANA_MEANS = {
    ("mean of 6", "Vision Banana"): ("0.882", "0.116"),
    ("mean of 6", "UniK3D"): ("0.823", "0.156"),
    ("mean of 6", "MoGe-2"): ("0.802", "0.144"),
    ("the 4 sets of Depth Anything 3", "Vision Banana"): ("0.929",),
    ("the 4 sets of Depth Anything 3", "Depth Anything 3"): ("0.918",),
    ("the 4 sets of DepthLM", "Vision Banana"): ("0.865",),
    ("the 4 sets of DepthLM", "DepthLM-7B"): ("0.855",),
    ("mean of the 3 indoor sets", "Vision Banana"): ("15.549", "9.300"),
    ("mean of the 3 indoor sets", "Lotus-2"): ("16.558",),
    ("mean of 4", "Vision Banana"): ("18.928",),
    ("mean of 4", "Lotus-2"): ("19.642",),
    ("mean of 7 parts", "Vision Banana + Gemini 3.1 Flash-Lite"): ("47.5",),
}
"""Averages as Vision Banana prints them, typed here a second time."""

NOT_TO_THE_LAST_DIGIT = {
    ("mean of 6", "Depth Pro", "delta1"): ("0.715", "0.716"),
    ("mean of the 3 indoor sets", "Marigold", "median_deg"): ("11.828", "11.829"),
    ("mean of the 3 indoor sets", "DSINE", "mean_deg"): ("17.017", "17.018"),
    ("mean of the 3 indoor sets", "StableNormal", "mean_deg"): ("17.168", "17.169"),
}
"""Average -> as printed, as it follows from the rows. All four seem cut off instead of rounded."""


def test_the_averages_follow_from_the_rows_to_the_printed_digits():
    computed: dict[tuple[str, str], list[str]] = {}
    for check in averages():
        computed.setdefault((check.title, check.method), []).append(str(check.rounded))
    for place, printed in VISION_BANANA_MEANS.items():
        assert tuple(computed[place]) == printed


def test_four_averages_do_not_follow_to_the_last_digit_but_may_before_rounding():
    off = {
        (check.title, check.method, check.metric): (str(check.printed), str(check.rounded))
        for check in averages()
        if check.verdict != EXACT
    }
    assert off == NOT_TO_THE_LAST_DIGIT
    assert {c.verdict for c in averages()} == {EXACT, WITHIN_ROUNDING}


@pytest.mark.parametrize(
    ("printed", "verdict"),
    [("0.15", EXACT), ("0.2", EXACT), ("0.149", WITHIN_ROUNDING), ("0.16", DOES_NOT_FOLLOW)],
)
def test_verdicts(printed: str, verdict: str):
    """Rows .1 and .2 stand for .05 to .15 and .15 to .25; .100 and .200 for far less."""
    rows = ("0.1", "0.2") if verdict == WITHIN_ROUNDING else ("0.100", "0.200")
    check = MeanCheck(
        table="t",
        title="mean",
        method="m",
        metric="delta1",
        printed=Decimal(printed),
        rows=tuple(map(Decimal, rows)),
    )
    assert check.verdict == verdict


def test_values_are_shares_and_degrees_with_the_digits_that_are_printed():
    values = {(v.table, v.method, v.dataset, v.metric): v for v in read_published()}
    lotus = values["least-squares-depth", "Lotus-2", "kitti", "absrel"]
    assert str(lotus.value) == "0.067"
    assert lotus.variant == "least_squares_disparity"
    assert str(values["ransac-depth", "FE2E", "kitti", "delta1"].value) == "0.960"
    assert str(values["metric-depth", "MoGe-2", "nyuv2", "absrel"].value) == "0.0733"
    assert str(values["dsine-normal", "MoGe-2", "sintel", "within_11_25"].value) == "0.248"
    assert ("metric-depth", "Depth Pro", "nyuv2", "absrel") not in values


def test_every_value_is_plausible_and_every_name_is_ours():
    values = read_published()
    assert len({(v.table, v.method, v.dataset, v.metric) for v in values}) == len(values)
    for value in values:
        share = not value.metric.endswith("_deg")
        assert 0 < value.value < (1 if share else 90)
        if value.task == "depth":
            assert value.dataset in DEPTH_PROTOCOLS
            assert value.variant in {*ALIGNMENTS, UNSTATED}


def test_the_methods_of_the_table_are_there():
    methods = {value.method for value in read_published()}
    assert methods >= {
        *("Vision Banana", "SAM 3", "DINO-X", "Depth Anything 3", "Depth Pro", "MoGe-2", "UniK3D"),
        *("DepthLM-7B", "Marigold v1", "Marigold v1.1", "Marigold V2", "Lotus-D", "Lotus-G"),
        *("Lotus-2", "DSINE", "StableNormal", "GeoWizard", "FE2E", "GenPercept", "E2E-FT"),
        *("Depth Anything V2-L", "UniDepth v2", "Omnidata"),
    }


@pytest.mark.parametrize(
    ("place", "variant", "split", "objections"),
    [
        (("metric-depth", "Vision Banana", "nyuv2"), "none", "test", []),
        (("metric-depth", "Vision Banana", "nyuv2"), "median", "test", ["other alignment: none"]),
        (("metric-depth", "Vision Banana", "kitti"), "none", "val", ["other split: eigen"]),
        (("metric-depth", "DepthLM-7B", "nuscenes"), "none", "val", ["in-domain"]),
        (
            ("metric-depth", "Depth Pro", "kitti"),
            "none",
            "eigen",
            ["second-hand: from the paper of Depth Anything 3"],
        ),
        (("least-squares-depth", "Lotus-D", "kitti"), "none", "eigen", ["unstated alignment"]),
        (
            ("ransac-depth", "Marigold V2", "diode"),
            "ransac_log",
            "val",
            ["other protocol: without pixels at steep edges"],
        ),
        (("dsine-normal", "DSINE", "nyuv2"), "pooled", "test", []),
        (("dsine-normal", "DSINE", "nyuv2"), "per image", "test", ["other averaging: pooled"]),
        (("cityscapes", "SegMan-L", "cityscapes"), "one confusion matrix", "val", ["in-domain"]),
        (
            ("camvid", "SegNet", "camvid"),
            "one confusion matrix",
            "val",
            ["second-hand: as later papers quote it", "other split: test"],
        ),
    ],
)
def test_objections_tell_what_does_not_compare(
    place: tuple[str, str, str], variant: str, split: str, objections: list[str]
):
    value = next(v for v in read_published() if (v.table, v.method, v.dataset) == place)
    assert value.objections({variant}, split=split, complete=True) == objections
    partial = value.objections({variant}, split=split, complete=False)
    assert partial == [*objections, "ours are of a part of the set"]


def test_the_splits_are_those_of_the_importers():
    splits = {value.dataset: value.split for value in read_published() if value.split}
    for dataset, split in splits.items():
        assert split in FORMATS[dataset.removesuffix("_indoor")].splits


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('"A" = ".9/.1"', "table t: A: expected 2 cells, one for each set, found 1"),
        ('"A" = ".9/.1 .9"', "expected delta1/absrel in each cell, found .9"),
        ('"A" = ".9/.1 .9/x"', "expected numbers or -, found .9/x"),
        ('"A" = ".9/.1 -"\n[table.marks]\n"A @ nyuv2" = "copied"', "expected a mark that starts"),
        (
            '"A" = ".9/.1 -"\n[[table.means]]\ntitle = "m"\nsets = ["nyuv2", "kitti"]\n'
            'rows = { "A" = ".9/-" }',
            "m: A: expected delta1 of every set",
        ),
    ],
)
def test_a_row_that_does_not_fit_is_refused(tmp_path: Path, row: str, message: str):
    path = tmp_path / "published.toml"
    path.write_text(
        '[[table]]\nname = "t"\nsource = "s"\ntask = "depth"\nvariant = "none"\n'
        f'sets = ["nyuv2", "kitti"]\nmetrics = ["delta1", "absrel"]\n[table.rows]\n{row}\n'
    )
    with pytest.raises(ValueError, match=message):
        averages(path)


def test_another_file_is_refused_by_name(tmp_path: Path):
    path = tmp_path / "notes.toml"
    path.write_text("[[table")
    with pytest.raises(ValueError, match=r"notes\.toml: expected TOML with \[\[table\]\]"):
        read_published(path)
