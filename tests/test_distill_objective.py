"""The objective: which parts of the loss there are, per image, and what bad labels do to them."""

import math
from typing import Any

import pytest
import torch
from labelled import CLASSES, TINY_ARGUMENTS, TINY_BACKBONE
from torch import Tensor

from distill.balance import Uncertainty
from distill.feature_alignment import FeatureAligner, alignment_loss
from distill.losses import IGNORE_INDEX
from distill.objective import Losses
from distill.samples import Batch
from distill.settings import FeatureAlignment, Objective
from student.model import Student, StudentConfig, build_student

EVERYTHING = Objective(
    relative=0.5,
    normal_gradient=0.5,
    dice=1.0,
    consistency=0.5,
    drop_top=0.1,
    keep=0.9,
    depth_groups=(1, 2, 4),
)


def make_batch(count: int = 2, size_px: int = 16, **planes: Any) -> Batch:
    """Random labels with sky in the first row and unknown pixels in the second."""
    generator = torch.Generator().manual_seed(0)

    def noise(*shape: int) -> Tensor:
        return torch.rand((count, *shape), generator=generator)

    depth_m = 1 + 9 * noise(size_px, size_px)
    depth_m[:, 0], depth_m[:, 1] = math.inf, math.nan
    normal = torch.nn.functional.normalize(noise(3, size_px, size_px) - 0.5, dim=1)
    normal[:, :, 1] = 0
    segment = (noise(size_px, size_px) * 3).long()
    segment[:, 1] = IGNORE_INDEX
    labels = {"depth": depth_m, "normal": normal, "segment": segment}
    return Batch(
        keys=tuple(f"photo-{index}" for index in range(count)),
        images=noise(3, size_px, size_px),
        labels={**labels, **planes},
        confidence=noise(3, size_px // 4, size_px // 4),
        intrinsics=torch.tensor([[20.0, 20.0, size_px / 2, size_px / 2]]).repeat(count, 1),
    )


def make_outputs(batch: Batch, seed: int = 1) -> dict[str, Tensor]:
    """What an untrained student might say, with gradients."""
    count, _, size_px, _ = batch.images.shape
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> Tensor:
        return torch.rand((count, *shape), generator=generator)

    outputs = {
        "depth": 1 + 5 * noise(size_px, size_px),
        "normal": torch.nn.functional.normalize(noise(3, size_px, size_px) - 0.5, dim=1),
        "segment": 4 * noise(3, size_px, size_px),
        "confidence": noise(3, size_px // 4, size_px // 4),
    }
    return {name: value.requires_grad_() for name, value in outputs.items()}


def take(batch: Batch, row: int) -> Batch:
    """One image of a batch."""
    one = slice(row, row + 1)
    return Batch(
        keys=batch.keys[one],
        images=batch.images[one],
        labels={task: plane[one] for task, plane in batch.labels.items()},
        confidence=batch.confidence[one],
        intrinsics=batch.intrinsics[one],
    )


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("variance_focus", [0.0, 1.0])
def test_every_part_is_reduced_per_image(affine: bool, variance_focus: float) -> None:
    """The loss of a batch is the mean of the losses of its images, whatever is switched on: with a
    median, a mean of logs or a limit that is pooled over the batch, it would not be."""
    objective = Losses(Objective(**{**vars(EVERYTHING), "variance_focus": variance_focus}))
    batch = make_batch(3)
    batch.labels["depth"][1] *= 7  # another scale, fewer pixels
    batch.labels["depth"][2, 4:] = math.nan
    outputs = make_outputs(batch)
    together = objective.losses(outputs, batch, affine)
    alone = [
        objective.losses({k: v[i : i + 1] for k, v in outputs.items()}, take(batch, i), affine)
        for i in range(3)
    ]
    assert set(together) == set(alone[0])
    for name, value in together.items():
        mean = sum(parts[name] for parts in alone) / 3
        torch.testing.assert_close(value, torch.as_tensor(mean), msg=name)


def test_a_wrong_scale_of_each_image_is_forgiven_by_itself() -> None:
    """Twice too far and half as far: the mean log error of the batch is zero, so that pooled over
    the batch nothing would be forgiven."""
    batch = make_batch()
    factor = torch.tensor([2.0, 0.5])[:, None, None]
    outputs = {"depth": torch.nan_to_num(factor * batch.labels["depth"], nan=1.0, posinf=1.0)}
    objective = Losses(Objective(variance_focus=1.0, gradient=0, sky=0))
    assert objective.losses(outputs, batch, affine=False)["depth"].item() < 1e-3
    strict = Losses(Objective(variance_focus=0.0, gradient=0, sky=0))
    loss = strict.losses(outputs, batch, affine=False)["depth"].item()
    assert loss == pytest.approx(math.log(2), abs=2e-3)


@pytest.mark.parametrize("affine", [False, True])
def test_gradients_are_finite_at_perfect_agreement(affine: bool) -> None:
    batch = make_batch()
    labels = batch.labels
    segment = torch.nn.functional.one_hot(labels["segment"].clamp_min(0), 3).movedim(-1, 1)
    outputs = {
        "depth": labels["depth"].nan_to_num(nan=2.0, posinf=200.0),
        "normal": torch.where(labels["normal"].any(1, keepdim=True), labels["normal"], 0.577),
        "segment": 80.0 * segment,
        "confidence": batch.confidence.round(),
    }
    outputs = {name: value.clone().requires_grad_() for name, value in outputs.items()}
    batch = batch._replace(confidence=batch.confidence.round())
    parts = Losses(EVERYTHING).losses(outputs, batch, affine)
    torch.stack(list(parts.values())).sum().backward()
    for name, value in outputs.items():
        assert value.grad is not None, name
        assert value.grad.isfinite().all(), name
    for name in ("depth", "gradient", "normal", "segment", "dice"):
        assert parts[name].item() == pytest.approx(0, abs=1e-3), name


def test_parts_of_the_default_objective() -> None:
    batch, objective = make_batch(), Losses(Objective())
    names = {"depth", "gradient", "sky", "normal", "segment", "confidence"}
    assert set(objective.losses(make_outputs(batch), batch, affine=False)) == names
    assert set(objective.losses(make_outputs(batch), batch, affine=True)) == names - {"sky"}


def test_only_tasks_of_both_sides_are_learned() -> None:
    batch = make_batch()
    del batch.labels["normal"]
    outputs = make_outputs(batch)
    del outputs["depth"]
    outputs["confidence"] = outputs["confidence"][:, :2]  # normal and segment
    parts = Losses(Objective()).losses(outputs, batch, affine=False)
    assert set(parts) == {"segment", "confidence"}


def test_sky_has_no_depth_but_shall_be_far() -> None:
    batch = make_batch()
    outputs = make_outputs(batch)
    parts = Losses(Objective(sky=1.0, use_confidence=False)).losses(outputs, batch, affine=False)
    parts["depth"].backward(retain_graph=True)
    assert outputs["depth"].grad is not None
    assert outputs["depth"].grad[:, :2].abs().max() == 0
    parts["sky"].backward()
    assert (outputs["depth"].grad[:, 0] < 0).all()  # a step makes it farther
    wanted = (100 / outputs["depth"][:, 0]).log().mean()
    assert parts["sky"].item() == pytest.approx(wanted.item(), rel=1e-5)


def test_confidence_weighs_or_does_not() -> None:
    batch = make_batch()
    batch.confidence[:, :, :, 0] = 0.25
    batch.confidence[:, :, :, 1:] = 0.75
    weights = Losses(Objective()).pixel_weights(batch, "normal")
    assert weights[0, 4].tolist() == [0.25] * 4 + [0.75] * 12
    assert weights[0, 1].sum() == 0
    plain = Losses(Objective(use_confidence=False)).pixel_weights(batch, "normal")
    assert plain[0, 4].tolist() == [1.0] * 16


def test_keep_drops_the_least_certain_pixels_of_each_image() -> None:
    batch = make_batch()
    batch.confidence[0, :, :2] = 0.1  # half of the first image
    batch.confidence[0, :, 2:] = 0.2
    batch.confidence[1] = 0.01  # the second one is all alike: nothing to choose
    weights = Losses(Objective(keep=0.5, use_confidence=False)).pixel_weights(batch, "segment")
    assert weights[0].sum(1).tolist() == [0] * 8 + [16] * 8
    assert weights[1].sum() == 15 * 16


def test_drop_top_leaves_out_the_worst_pixels() -> None:
    batch = make_batch()
    outputs = make_outputs(batch)
    with torch.no_grad():
        outputs["depth"][:, 5, 5] = 500.0
    every, some = (
        Losses(Objective(drop_top=share)).losses(outputs, batch, affine=False)
        for share in (0.0, 0.1)
    )
    for name in ("depth", "gradient", "normal", "segment"):
        assert some[name] < every[name], name
    some["depth"].backward()
    assert outputs["depth"].grad is not None
    assert outputs["depth"].grad[:, 5, 5].abs().max() == 0


def test_an_image_without_labels_changes_nothing() -> None:
    batch, outputs = make_batch(1), make_outputs(make_batch(2))
    alone = Losses(EVERYTHING).losses({k: v[:1] for k, v in outputs.items()}, batch, affine=False)
    blank = make_batch(1)
    blank.labels["depth"].fill_(math.nan)
    blank.labels["normal"].zero_()
    blank.labels["segment"].fill_(IGNORE_INDEX)
    both = Batch(
        keys=("labelled", "blank"),
        images=torch.cat([batch.images, blank.images]),
        labels={t: torch.cat([p, blank.labels[t]]) for t, p in batch.labels.items()},
        confidence=torch.cat([batch.confidence, blank.confidence]),
        intrinsics=torch.cat([batch.intrinsics, blank.intrinsics]),
    )
    for name, value in Losses(EVERYTHING).losses(outputs, both, affine=False).items():
        torch.testing.assert_close(value, alone[name], msg=name)


def test_a_batch_without_a_valid_label_is_named() -> None:
    batch = make_batch()
    blank = {"depth": torch.full((2, 16, 16), math.nan), "normal": torch.zeros(2, 3, 16, 16)}
    batch = batch._replace(labels=blank)
    with pytest.raises(ValueError, match="no valid label in the photographs photo-0, photo-1"):
        Losses(Objective()).losses(make_outputs(batch), batch, affine=False)


def test_confidence_is_learned_where_there_are_labels() -> None:
    batch = make_batch(1)
    batch.labels["segment"][:, :4, :4] = IGNORE_INDEX  # a block of its own
    outputs = make_outputs(batch)
    Losses(Objective(confidence=1.0)).losses(outputs, batch, affine=False)["confidence"].backward()
    gradient = outputs["confidence"].grad
    assert gradient is not None
    assert gradient[0, 2, 0, 0] == 0
    assert gradient[0, :2].abs().min() > 0
    wrong = outputs["confidence"].detach() > batch.confidence
    assert (wrong == (gradient > 0))[0, :2].all()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"normal_kind": "euler"}, "normal_kind: expected one of chord, cosine, angle, found"),
        ({"keep": 0.0}, "expected 0 < keep <= 1"),
        ({"drop_top": 1.0}, "0 <= drop_top < 1"),
        ({"depth_groups": (1, 0)}, r"expected counts such as \[1,2,4\]"),
    ],
)
def test_settings_without_a_meaning_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Objective(**fields)


def test_uncertainty_finds_the_scale_of_each_task() -> None:
    """L / b + log b is least at b = L."""
    balance = Uncertainty(("depth", "normal"))
    parts = {"depth": torch.tensor(3.0), "gradient": torch.tensor(1.0), "normal": torch.tensor(0.2)}
    optimiser = torch.optim.SGD(balance.parameters(), lr=0.2)
    for _ in range(300):
        optimiser.zero_grad()
        torch.stack(list(balance(parts).values())).sum().backward()
        optimiser.step()
    scales = {task: value.exp().item() for task, value in balance.log_scale.items()}
    assert scales == {"depth": pytest.approx(4.0, rel=1e-3), "normal": pytest.approx(0.2, rel=1e-3)}
    untouched = balance({"confidence": torch.tensor(0.7)})
    assert untouched["confidence"].item() == pytest.approx(0.7)


def test_alignment_leaves_alone_what_is_alike() -> None:
    wanted = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1).expand(2, 2, 1, 2)
    found = wanted.clone()
    found[0, :, 0, 0] = torch.tensor([0.0, 2.0])  # a right angle: 1 - cos = 1
    found[1] = torch.tensor([1.0, 0.5])[:, None, None]  # a cosine of 0.894
    assert alignment_loss(found, wanted, margin=0.85).item() == pytest.approx((1 + 0) / 2)
    assert alignment_loss(found, wanted, margin=0.95).item() == pytest.approx(
        (1 + 0.1056) / 2, abs=1e-3
    )


def tiny_student() -> Student:
    config = StudentConfig(
        backbone=TINY_BACKBONE,
        backbone_arguments=TINY_ARGUMENTS,
        classes=CLASSES,
        image_size=(32, 32),
        decoder_dim=8,
    )
    return build_student(config)


def test_features_are_drawn_towards_a_frozen_network() -> None:
    torch.manual_seed(0)
    student = tiny_student()
    settings = FeatureAlignment(
        weight=0.5,
        backbone="vit_tiny_patch16_224",
        backbone_arguments={"embed_dim": 24, "depth": 1, "num_heads": 2},
        weights="scratch",
    )
    aligner = FeatureAligner(settings, student)
    images = torch.rand(2, 3, 32, 32)
    student(images)
    loss = aligner(images)
    loss.backward()
    assert 0 < loss.item() <= 1
    assert any(p.grad is not None and p.grad.any() for p in student.backbone.parameters())
    assert {name.split(".")[0] for name in aligner.state_dict()} == {"projector"}
    with pytest.raises(ValueError, match="run the student on these images first"):
        aligner(images)
