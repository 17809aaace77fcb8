"""What a student is trained for: the losses of a batch, by name.

The tasks weigh alike, because their losses are of one size: an error of 10 % in depth costs 0.10, a
normal that is 6 degrees off 0.10, a class that was given a probability of 90 % 0.11.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from distill import depth_losses, losses, normal_losses, segment_losses
from distill.losses import IGNORE_INDEX, batch_mean, drop_largest, image_mean
from distill.normal_losses import NORMAL_KINDS
from distill.samples import Batch
from teacher.sample import TASKS


@dataclass(frozen=True, kw_only=True)
class Objective:
    """Weights of the parts of the loss (0 leaves one out), and how labels are trusted."""

    depth: float = 1.0
    """Weight of the depth loss: SILog; for affine labels one that ignores scale and shift."""
    gradient: float = 0.5
    """Weight of gradient matching, which keeps depth edges sharp."""
    relative: float = 0.0
    """Weight of |error| / depth, of metric depth."""
    sky: float = 0.1
    """Weight of a loss that wants sky at 100 m or beyond; the depth loss passes over sky."""
    normal: float = 1.0
    """Weight of the loss of surface normals."""
    normal_gradient: float = 0.0
    """Weight of gradient matching of normals."""
    segment: float = 1.0
    """Weight of the cross-entropy of classes."""
    dice: float = 0.0
    """Weight of the Dice loss of classes, which counts small ones as much as large ones."""
    consistency: float = 0.0
    """Weight of the angle between predicted normals and the slope of predicted depth, in
    photographs whose camera is known."""
    confidence: float = 0.1
    """Weight of learning how sure the labels are, which changes no task."""
    variance_focus: float = 0.0
    """Share of an image's mean depth error that SILog forgives, 0..1; 0 suits metric depth."""
    depth_groups: tuple[int, ...] = (1,)
    """Parts of the depth range that affine labels are normalised in; [1,2,4] is hybrid."""
    normal_kind: str = "chord"
    """Error of a normal: chord (2 sin of half the angle), cosine or angle."""
    use_confidence: bool = True
    """Weigh each pixel by the confidence that is stored with its label."""
    keep: float = 1.0
    """Learn from this share of each image's pixels, those with the surest labels, 0..1."""
    drop_top: float = 0.0
    """Leave out this share of each image's pixels, those with the largest losses, 0..1."""
    learn_weights: bool = False
    """Let the tasks' weights follow their uncertainty (Kendall et al.) instead of staying alike."""

    def __post_init__(self) -> None:
        if self.normal_kind not in NORMAL_KINDS:
            raise ValueError(
                f"objective.normal_kind: expected one of {', '.join(NORMAL_KINDS)}, found "
                f"{self.normal_kind!r}"
            )
        if not (0 < self.keep <= 1 and 0 <= self.drop_top < 1):
            raise ValueError(
                "objective: expected 0 < keep <= 1 and 0 <= drop_top < 1, found "
                f"{self.keep} and {self.drop_top}"
            )
        if not self.depth_groups or min(self.depth_groups) < 1:
            raise ValueError(
                "objective.depth_groups: expected counts such as [1,2,4], found "
                f"{self.depth_groups}"
            )

    def losses(
        self, outputs: Mapping[str, Tensor], batch: Batch, affine: bool
    ) -> dict[str, Tensor]:
        """Weighted scalar losses of the tasks that both the student and the labels have.

        outputs: those of Student.forward, in float32. affine: depth is known up to scale and shift.
        Raises ValueError naming the batch's photographs when no label has a valid pixel.
        """
        weights = {
            task: self.pixel_weights(batch, task)
            for task in TASKS
            if task in outputs and task in batch.labels
        }
        if not any(bool(weight.any()) for weight in weights.values()):
            raise ValueError(f"no valid label in the photographs {', '.join(batch.keys)}")
        parts: dict[str, Tensor] = {}
        for task, weight in weights.items():
            parts.update(self._parts(task, outputs[task], batch.labels[task], weight, affine))
        if self.sky and "depth" in weights and not affine:
            parts["sky"] = self.sky * self._sky(outputs["depth"], batch)
        if self.consistency and {"depth", "normal"} <= set(weights) and not affine:
            parts["consistency"] = self.consistency * _consistency(outputs, batch, weights["depth"])
        if self.confidence and "confidence" in outputs:
            parts["confidence"] = self.confidence * _confidence(outputs, batch)
        return parts

    def pixel_weights(self, batch: Batch, task: str) -> Tensor:
        """(B, H, W) in 0..1: 0 without a label or below --keep, else its confidence.

        Sky has no depth, so it has no weight here.
        """
        valid = _labelled(batch, task)
        if task == "depth":
            valid &= batch.labels[task].isfinite()
        return self._trusted(valid, batch, task)

    def _trusted(self, valid: Tensor, batch: Batch, task: str) -> Tensor:
        sure = F.interpolate(batch.confidence[:, TASKS.index(task), None], size=valid.shape[-2:])
        weight = valid * sure[:, 0] if self.use_confidence else valid.float()
        return drop_largest(-sure[:, 0], weight, 1 - self.keep)

    def _parts(
        self, task: str, output: Tensor, target: Tensor, weight: Tensor, affine: bool
    ) -> Iterator[tuple[str, Tensor]]:
        if task == "depth":
            return (
                self._affine_parts(output, target, weight)
                if affine
                else self._depth_parts(output, target, weight)
            )
        if task == "normal":
            return self._normal_parts(output, target, weight)
        return self._segment_parts(output, target, weight)

    def _depth_parts(
        self, depth_m: Tensor, target_m: Tensor, weight: Tensor
    ) -> Iterator[tuple[str, Tensor]]:
        error = depth_losses.log_ratio(depth_m, target_m, weight)
        weight = drop_largest(error.abs(), weight, self.drop_top)
        silog = depth_losses.silog(error, weight, self.variance_focus)
        yield "depth", self.depth * batch_mean(silog, weight)
        if self.gradient:
            gradient = losses.gradient_matching(error, weight)
            yield "gradient", self.gradient * batch_mean(gradient, weight)
        if self.relative:
            relative = image_mean(depth_losses.relative_error(error), weight)
            yield "relative", self.relative * batch_mean(relative, weight)

    def _affine_parts(
        self, depth: Tensor, target: Tensor, weight: Tensor
    ) -> Iterator[tuple[str, Tensor]]:
        error = depth_losses.affine_error(depth, target, weight)
        size = depth_losses.hybrid_error(depth, target, weight, self.depth_groups)
        weight = drop_largest(size, weight, self.drop_top)
        yield "depth", self.depth * batch_mean(image_mean(size, weight), weight)
        if self.gradient:
            gradient = losses.gradient_matching(error, weight)
            yield "gradient", self.gradient * batch_mean(gradient, weight)

    def _normal_parts(
        self, normal: Tensor, target: Tensor, weight: Tensor
    ) -> Iterator[tuple[str, Tensor]]:
        error = normal_losses.normal_error(normal, target, self.normal_kind)
        weight = drop_largest(error, weight, self.drop_top)
        yield "normal", self.normal * batch_mean(image_mean(error, weight), weight)
        if self.normal_gradient:
            gradient = normal_losses.normal_gradient(normal, target, weight)
            yield "normal_gradient", self.normal_gradient * batch_mean(gradient, weight)

    def _segment_parts(
        self, logits: Tensor, target: Tensor, weight: Tensor
    ) -> Iterator[tuple[str, Tensor]]:
        error = segment_losses.cross_entropy(logits, target)
        weight = drop_largest(error, weight, self.drop_top)
        yield "segment", self.segment * batch_mean(image_mean(error, weight), weight)
        if self.dice:
            dice = segment_losses.dice(logits, target, weight)
            yield "dice", self.dice * batch_mean(dice, weight)

    def _sky(self, depth_m: Tensor, batch: Batch) -> Tensor:
        weight = self._trusted(batch.labels["depth"].isposinf(), batch, "depth")
        return batch_mean(image_mean(depth_losses.sky_error(depth_m), weight), weight)


def _labelled(batch: Batch, task: str) -> Tensor:
    """(B, H, W) bool: pixels of which the labels say something, sky included."""
    labels = batch.labels[task]
    if task == "depth":
        return labels > 0
    return labels.square().sum(1) > 0 if task == "normal" else labels != IGNORE_INDEX


def _consistency(outputs: Mapping[str, Tensor], batch: Batch, weight: Tensor) -> Tensor:
    error, smooth = normal_losses.consistency_error(
        outputs["depth"], outputs["normal"], batch.labels["depth"], weight, batch.intrinsics
    )
    return batch_mean(image_mean(error, smooth), smooth)


def _confidence(outputs: Mapping[str, Tensor], batch: Batch) -> Tensor:
    """Cross-entropy against the stored confidence, in the blocks that have any label."""
    tasks = [task for task in TASKS if task in outputs]
    found = []
    for channel, task in enumerate(tasks):
        if task in batch.labels:
            said, stored = outputs["confidence"][:, channel], batch.confidence[:, TASKS.index(task)]
            blocks = F.adaptive_max_pool2d(_labelled(batch, task)[:, None].float(), said.shape[-2:])
            error = losses.binary_cross_entropy(said, stored)
            found.append(batch_mean(image_mean(error, blocks[:, 0]), blocks[:, 0]))
    return torch.stack(found).mean()
