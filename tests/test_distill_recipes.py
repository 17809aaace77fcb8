"""Recipes as flags, and the search for a batch size."""

from pathlib import Path

import pytest
from labelled import write_set
from trained import config

import distill.batch_size
from distill.arguments import TrainArguments, option_value
from distill.batch_size import Rate, find_batch_size, recommended
from distill.main import main
from distill.recipes import RECIPES, recipe_flags
from teacher.arguments import parse_arguments

PLACES = ["--images", "i", "--labels", "l", "--out", "o"]


@pytest.mark.parametrize("name", RECIPES)
def test_the_flags_of_a_recipe_give_its_configuration(name: str) -> None:
    parsed = parse_arguments(TrainArguments, [*recipe_flags(name), *PLACES], prog="potstill train")
    wanted = RECIPES[name](Path("i"), Path("l"), Path("o"))
    for field in ("preset", "weights", "steps", "minutes", "batch_size", "optimisation", "compile"):
        assert getattr(parsed, field) == getattr(wanted, field), field


def test_options_override_a_recipe() -> None:
    argv = [*recipe_flags("edge-cpu"), *PLACES, "--minutes", "3", "--preset", "tiny"]
    parsed = parse_arguments(TrainArguments, argv, prog="potstill train")
    assert (parsed.minutes, parsed.preset) == (3.0, "tiny")


def test_every_recipe_tells_hardware_time_numbers_and_command() -> None:
    for name, recipe in RECIPES.items():
        for word in ("Hardware:", "Time:", "Labels:", "Expected:", f"--recipe {name} "):
            assert word in (recipe.__doc__ or ""), (name, word)


def test_an_unknown_recipe_is_refused_by_the_command(capsys: pytest.CaptureFixture) -> None:
    assert main(["train", "--recipe=huge", *PLACES]) == 2
    assert "--recipe: expected one of quick, edge-cpu, edge-gpu, quality, found 'huge'" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("argv", "value"),
    [(["--recipe", "a"], "a"), (["--x", "--recipe=b"], "b"), (["--recipes", "c"], None)],
)
def test_an_option_is_found_before_the_rest_is_parsed(argv: list[str], value: str | None) -> None:
    assert option_value(argv, "recipe") == value


def test_batch_sizes_are_tried_in_powers_of_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distill.batch_size, "LARGEST", 4)
    monkeypatch.setattr(distill.batch_size, "FRUITLESS", 9)
    rates = list(find_batch_size(config(write_set(tmp_path, 3, size=(64, 64)))))
    assert [rate.batch_size for rate in rates] == [1, 2, 4]
    assert all(rate.photographs_per_s and rate.photographs_per_s > 0 for rate in rates)
    assert not (tmp_path / "run").exists()


def test_no_larger_batch_is_tried_when_two_doublings_brought_hardly_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a CPU the rate levels off, and memory has no bound that is met in time."""
    levels = {1: 50.0, 2: 90.0, 4: 92.0, 8: 100.0, 16: 101.0, 32: 104.0}
    monkeypatch.setattr(
        distill.batch_size,
        "measure",
        lambda _step, batch, _device: rate(n := len(batch.keys), levels[n]),
    )
    rates = list(find_batch_size(config(write_set(tmp_path, 3))))
    assert [found.batch_size for found in rates] == [1, 2, 4, 8, 16, 32]
    assert recommended(rates).batch_size == 8


def rate(size: int, photographs_per_s: float | None) -> Rate:
    return Rate(batch_size=size, photographs_per_s=photographs_per_s, memory_gb=None)


def test_the_smallest_batch_near_the_highest_rate_is_recommended() -> None:
    found = [rate(1, 50.0), rate(2, 96.0), rate(4, 100.0), rate(8, 90.0), rate(16, None)]
    assert recommended(found).batch_size == 2
    assert "out of memory" in found[-1].describe()


def test_a_student_that_does_not_fit_at_all_is_said() -> None:
    with pytest.raises(ValueError, match="not even one photograph fits"):
        recommended([rate(1, None)])
