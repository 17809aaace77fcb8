"""Ablations: what is trained, the table, the charts, and that nothing is trained twice."""

import json
from pathlib import Path
from typing import Any

import pytest
from labelled import TINY_ARGUMENTS, TINY_BACKBONE, write_set
from PIL import Image

from distill.ablation import ablate
from distill.ablation_chart import draw_counts, draw_variants
from distill.ablation_config import VARIANTS, AblateConfig
from distill.ablation_table import Row, table
from distill.arguments import TrainArguments
from teacher.arguments import parse_arguments


def config(root: Path, **fields: Any) -> AblateConfig:
    given: dict[str, Any] = {"images": root, "labels": root / "labels", "on": root, "steps": 2}
    return AblateConfig(**{**given, "out": root / "ablation", **fields})


def scores(delta1: float, mean_deg: float, miou: float | None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "depth": {"delta1": delta1, "absrel": 1 - delta1},
        "normal": {"mean_deg": mean_deg},
        "interval_95": {"depth": {"delta1": [delta1 - 0.01, delta1 + 0.02]}},
    }
    return found if miou is None else found | {"segment": {"miou": miou}}


ROWS = [
    Row("baseline", "", 100, 1000, scores(0.8, 10.0, 0.5)),
    Row("keep_90", "--objective.keep 0.9", 101, 1000, scores(0.85, 9.5, None)),
]


def test_every_variant_is_a_set_of_options_that_train_takes() -> None:
    places = ["--images", "i", "--labels", "l", "--out", "o"]
    plain = parse_arguments(TrainArguments, places, prog="potstill train")
    for name, options in VARIANTS.items():
        varied = parse_arguments(TrainArguments, [*places, *options.split()], prog="potstill train")
        assert (varied == plain) == (name == "baseline"), name


def test_a_table_tells_the_difference_from_the_baseline() -> None:
    lines = table(ROWS, "baseline", scores(0.9, 8.0, 0.6)).splitlines()
    assert lines[2] == "| (reference) | | | 0.9000 | 0.1000 | 8.00 | 0.6000 |"
    assert lines[3] == "| baseline | 1000 | 100 | 0.8000 | 0.2000 | 10.00 | 0.5000 |"
    assert lines[4] == (
        "| keep_90 | 1000 | 101 | 0.8500 (+0.0500) | 0.1500 (-0.0500) | 9.50 (-0.50) |  |"
    )


def test_charts_are_drawn_also_with_a_task_missing(tmp_path: Path) -> None:
    reference = scores(0.9, 8.0, 0.6)
    for path in (
        draw_variants(ROWS, tmp_path / "variants.png", "baseline", reference),
        draw_counts(ROWS, tmp_path / "counts.png", None),
    ):
        with Image.open(path) as picture:
            assert picture.size[0] > 1000


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"variants": ("keep_42",)}, "'keep_42' is none of baseline, "),
        ({"labels_of": ("votes2",)}, "expected NAME=FOLDER, found 'votes2'"),
        ({"steps": None}, "needs --steps or --minutes"),
    ],
)
def test_settings_without_a_meaning_are_refused(
    tmp_path: Path, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        config(tmp_path, **fields)


def test_runs_are_variants_label_sets_and_counts(tmp_path: Path) -> None:
    runs = config(
        tmp_path, variants=("baseline",), labels_of=("votes2=a b/",), counts=(10, 20)
    ).runs
    assert runs == {
        "baseline": "",
        "votes2": "--labels 'a b/'",
        "photographs_10": "--photographs 10",
        "photographs_20": "--photographs 20",
    }


@pytest.mark.slow
def test_an_ablation_trains_judges_and_goes_on_where_it_was(tmp_path: Path) -> None:
    write_set(tmp_path, 12, shards=3)
    options = (
        f"--backbone {TINY_BACKBONE} --backbone_arguments '{json.dumps(TINY_ARGUMENTS)}' "
        "--decoder_dim 16 --batch_size 4 --device cpu --precision 32-true "
        "--validation_fraction 0.2 --logger [] --alignment.weights nowhere.safetensors"
    )
    first = ablate(config(tmp_path, variants=("baseline",), options=options))
    assert [row.name for row in first] == ["baseline"]
    judged = (tmp_path / "ablation" / "baseline" / "scores.json").stat().st_mtime_ns
    rows = ablate(
        config(tmp_path, variants=("baseline", "feature_alignment"), counts=(4,), options=options)
    )
    assert [row.name for row in rows] == ["baseline", "photographs_4"]
    assert rows[1].photographs == 4 < rows[0].photographs
    assert (tmp_path / "ablation" / "baseline" / "scores.json").stat().st_mtime_ns == judged
    found = json.loads((tmp_path / "ablation" / "results.json").read_text())
    assert [row["name"] for row in found["rows"]] == ["baseline", "photographs_4"]
    for name in ("table.md", "variants.png", "counts.png"):
        assert (tmp_path / "ablation" / name).is_file()
