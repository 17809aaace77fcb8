"""What a student is trained for: the losses of a batch, by name.

The tasks weigh alike, because their losses are of one size: an error of 10 % in depth costs 0.10, a
normal that is 6 degrees off 0.10, a class that was given a probability of 90 % 0.11.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from distill import depth_losses, losses, normal_losses, segment_losses
from distill.losses import IGNORE_INDEX, batch_mean, drop_largest, image_mean
from distill.samples import Batch
from distill.settings import Objective
from teacher.sample import TASKS


class Losses:
    """The losses of a batch, as the settings weigh them."""

    def __init__(self, settings: Objective) -> None:
        self.settings = settings

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
        if self.settings.sky and "depth" in weights and not affine:
            parts["sky"] = self.settings.sky * self._sky(outputs["depth"], batch)
        if self.settings.consistency and {"depth", "normal"} <= set(weights) and not affine:
            parts["consistency"] = self.settings.consistency * _consistency(
                outputs, batch, weights["depth"]
            )
        if self.settings.confidence and "confidence" in outputs:
            parts["confidence"] = self.settings.confidence * _confidence(outputs, batch)
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
        weight = valid * sure[:, 0] if self.settings.use_confidence else valid.float()
        return drop_largest(-sure[:, 0], weight, 1 - self.settings.keep)

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
        weight = drop_largest(error.abs(), weight, self.settings.drop_top)
        silog = depth_losses.silog(error, weight, self.settings.variance_focus)
        yield "depth", self.settings.depth * batch_mean(silog, weight)
        if self.settings.gradient:
            gradient = losses.gradient_matching(error, weight)
            yield "gradient", self.settings.gradient * batch_mean(gradient, weight)
        if self.settings.relative:
            relative = image_mean(depth_losses.relative_error(error), weight)
            yield "relative", self.settings.relative * batch_mean(relative, weight)

    def _affine_parts(
        self, depth: Tensor, target: Tensor, weight: Tensor
    ) -> Iterator[tuple[str, Tensor]]:
        error = depth_losses.affine_error(depth, target, weight)
        size = depth_losses.hybrid_error(depth, target, weight, self.settings.depth_groups)
        weight = drop_largest(size, weight, self.settings.drop_top)
        yield "depth", self.settings.depth * batch_mean(image_mean(size, weight), weight)
        if self.settings.gradient:
            gradient = losses.gradient_matching(error, weight)
            yield "gradient", self.settings.gradient * batch_mean(gradient, weight)

    def _normal_parts(
        self, normal: Tensor, target: Tensor, weight: Tensor
    ) -> Iterator[tuple[str, Tensor]]:
        error = normal_losses.normal_error(normal, target, self.settings.normal_kind)
        weight = drop_largest(error, weight, self.settings.drop_top)
        yield "normal", self.settings.normal * batch_mean(image_mean(error, weight), weight)
        if self.settings.normal_gradient:
            gradient = normal_losses.normal_gradient(normal, target, weight)
            yield "normal_gradient", self.settings.normal_gradient * batch_mean(gradient, weight)

    def _segment_parts(
        self, logits: Tensor, target: Tensor, weight: Tensor
    ) -> Iterator[tuple[str, Tensor]]:
        error = segment_losses.cross_entropy(logits, target)
        weight = drop_largest(error, weight, self.settings.drop_top)
        yield "segment", self.settings.segment * batch_mean(image_mean(error, weight), weight)
        if self.settings.dice:
            dice = segment_losses.dice(logits, target, weight)
            yield "dice", self.settings.dice * batch_mean(dice, weight)

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
