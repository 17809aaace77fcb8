"""The optimiser's groups, the schedule, the budget, and the average of the weights."""

import itertools

import numpy as np
import pytest
import torch
from trained import tiny_student

import distill.schedule
from distill.callbacks import AveragedWeights
from distill.optimisation import build_optimiser
from distill.schedule import Budget, cosine
from distill.settings import Optimisation


def test_cosine_rises_then_falls_to_zero() -> None:
    factors = [cosine(x, 0.1) for x in np.linspace(0, 1, 101)]
    assert factors[0] < 0.05
    assert np.argmax(factors) == pytest.approx(10, abs=1)
    assert factors[-1] == pytest.approx(0, abs=1e-9)
    assert all(later <= earlier for earlier, later in itertools.pairwise(factors[11:]))
    assert cosine(0.0, 0.0) == 1.0


def test_a_budget_of_steps_and_minutes_ends_with_the_first() -> None:
    budget = Budget(steps=10, minutes=1.0)
    assert budget.fraction(1, 15.0) == pytest.approx(0.25)
    assert budget.fraction(5, 15.0) == pytest.approx(0.5)
    assert budget.fraction(99, 0.0) == 1.0


def test_the_clock_of_a_budget_goes_on_from_what_was_spent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr(distill.schedule, "monotonic", lambda: now[0])
    budget = Budget(minutes=1.0)
    assert budget.elapsed_s == 0
    budget.start()
    now[0] += 15
    assert budget.elapsed_s == 15
    budget.spent_s = 30
    assert budget.elapsed_s == 45


def test_the_average_forgets_its_start_and_then_moves_slowly() -> None:
    average = AveragedWeights(0.9)._kwargs["multi_avg_fn"]
    for count, kept in ((0, 0.1), (8, 0.5), (10_000, 0.9)):
        mean = [torch.zeros(2)]
        average(mean, [torch.ones(2)], torch.tensor(count))
        assert mean[0].tolist() == pytest.approx([1 - kept] * 2)


@pytest.mark.parametrize("algorithm", ["adamuon", "adamw"])
def test_the_backbone_may_learn_slower_and_vectors_do_not_decay(algorithm: str) -> None:
    student = tiny_student()
    settings = Optimisation(
        algorithm=algorithm, learning_rate=1e-2, encoder_factor=0.1, weight_decay=0.3
    )
    optimiser = build_optimiser(settings, student)
    seen = {id(p): g for g in optimiser.param_groups for p in g["params"]}
    assert len(seen) == len(list(student.parameters()))
    for name, parameter in student.named_parameters():
        group = seen[id(parameter)]
        assert group["peak"] == pytest.approx(1e-3 if name.startswith("backbone") else 1e-2), name
        assert group["weight_decay"] == (0.3 if parameter.ndim > 1 else 0.0), name


@pytest.mark.parametrize(("pretrained", "factor"), [(True, 0.1), (False, 1.0)])
def test_loaded_weights_learn_a_tenth_as_fast(pretrained: bool, factor: float) -> None:
    settings = Optimisation(learning_rate=1e-2)
    optimiser = build_optimiser(settings, tiny_student(), pretrained=pretrained)
    peaks = [group["peak"] for group in optimiser.param_groups]
    assert peaks == pytest.approx([factor * 1e-2] * 2 + [1e-2] * 2)


def test_frozen_parameters_are_left_out_and_others_beside_the_student_learn() -> None:
    student, beside = tiny_student(), torch.nn.Parameter(torch.zeros(()))
    student.decoder.requires_grad_(False)
    optimiser = build_optimiser(Optimisation(), student, [beside])
    seen = {id(p) for group in optimiser.param_groups for p in group["params"]}
    assert seen.isdisjoint(map(id, student.decoder.parameters()))
    assert id(beside) in seen


def test_an_unknown_optimiser_is_refused() -> None:
    with pytest.raises(ValueError, match="adamuon or adamw, found 'sgd'"):
        Optimisation(algorithm="sgd")
