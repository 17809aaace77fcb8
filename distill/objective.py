"""What a student is trained for: the losses of a batch, by name."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from distill import losses
from distill.losses import IGNORE_INDEX, batch_mean
from distill.samples import Batch
from teacher.sample import TASKS


@dataclass(frozen=True, kw_only=True)
class Objective:
    """Weights of the parts of the loss, and how labels are trusted."""

    depth: float = 1.0
    """Weight of the depth loss."""
    gradient: float = 0.5
    """Weight of gradient matching, which keeps depth edges sharp."""
    normal: float = 1.0
    """Weight of the loss of surface normals."""
    segment: float = 1.0
    """Weight of the segmentation loss."""
    variance_focus: float = 0.0
    """Share of an image's mean depth error that SILog forgives, 0..1; 0 suits metric depth."""
    use_confidence: bool = True
    """Weigh each pixel by the confidence that is stored with its label."""

    def losses(
        self, outputs: Mapping[str, Tensor], batch: Batch, affine: bool
    ) -> dict[str, Tensor]:
        """Weighted scalar losses of the tasks that both the student and the labels have.

        outputs: those of Student.forward, in float32. affine: depth is known up to scale and shift.
        Raises ValueError naming the batch's photographs when no label has a valid pixel.
        """
        weights = {task: self.pixel_weights(batch, task) for task in outputs}
        if not any(bool(weight.any()) for weight in weights.values()):
            raise ValueError(f"no valid label in the photographs {', '.join(batch.keys)}")
        parts: dict[str, Tensor] = {}
        for task, weight in weights.items():
            parts |= self._parts(task, outputs[task], batch.labels[task], weight, affine)
        return parts

    def pixel_weights(self, batch: Batch, task: str) -> Tensor:
        """(B, H, W) in 0..1: 0 without a label, else its confidence. Sky has no depth."""
        labels = batch.labels[task]
        if task == "depth":
            valid = labels.isfinite() & (labels > 0)
        else:
            valid = labels.square().sum(1) > 0 if task == "normal" else labels != IGNORE_INDEX
        if not self.use_confidence:
            return valid.float()
        sure = batch.confidence[:, TASKS.index(task), None]
        return valid * F.interpolate(sure, size=valid.shape[-2:])[:, 0]

    def _parts(
        self, task: str, output: Tensor, target: Tensor, weight: Tensor, affine: bool
    ) -> dict[str, Tensor]:
        if task == "depth":
            return self._depth_parts(output, target, weight, affine)
        if task == "normal":
            per_image = losses.normal_error(output, target, weight)
            return {task: self.normal * batch_mean(per_image, weight)}
        per_image = losses.cross_entropy(output, target, weight)
        return {task: self.segment * batch_mean(per_image, weight)}

    def _depth_parts(
        self, depth: Tensor, target: Tensor, weight: Tensor, affine: bool
    ) -> dict[str, Tensor]:
        if affine:
            error = losses.affine_error(depth, target, weight)
            per_image = losses.absolute_error(error, weight)
        else:
            error = losses.log_ratio(depth, target, weight)
            per_image = losses.silog(error, weight, self.variance_focus)
        gradient = losses.gradient_matching(error, weight)
        return {
            "depth": self.depth * batch_mean(per_image, weight),
            "gradient": self.gradient * batch_mean(gradient, weight),
        }
