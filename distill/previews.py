"""The same few held-out photographs at each validation: as they are, as labelled, as predicted."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import lightning
import numpy as np
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger

from distill.metrics import Prediction
from distill.samples import Batch
from distill.targets import Target, batch_targets
from teacher.photograph import encode_photograph
from teacher.pictures import (
    depth_picture,
    normal_picture,
    relative_depth_picture,
    segment_picture,
)

SAMPLES = 8
TILE_PX = 192
"""Longest side of a picture in the sheet; small pictures are enlarged by whole factors."""
GAP_PX = 4
PAPER = 255


class Sample(NamedTuple):
    """A held-out photograph (H, W, 3) uint8 with its labels and what the student says of it."""

    photograph: np.ndarray
    target: Target
    prediction: Prediction


class Previews(Callback):
    """Writes previews/step_NNNNNN.png at each validation, and shows it to the loggers."""

    def __init__(self, out: Path) -> None:
        self.folder = out / "previews"
        self._samples: list[Sample] = []

    def on_validation_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        self._samples = []

    def on_validation_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the first samples of the validation."""
        missing = SAMPLES - len(self._samples)
        if missing <= 0 or not trainer.is_global_zero:
            return
        pixels = (batch.images.permute(0, 2, 3, 1) * 255).round().byte().cpu().numpy()
        student: Any = pl_module.student
        targets = batch_targets(batch, student.config)
        found = zip(pixels, targets, outputs["predictions"], strict=True)
        self._samples += [Sample(*sample) for sample in found][:missing]

    def on_validation_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        if not self._samples:
            return
        sheet = preview_sheet(self._samples)
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"step_{trainer.global_step:06d}.png"
        path.write_bytes(encode_photograph(sheet, "png"))
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image(
                    "previews", sheet, trainer.global_step, dataformats="HWC"
                )
            if isinstance(logger, WandbLogger):
                logger.log_image("previews", [sheet], trainer.global_step)


def preview_sheet(samples: Sequence[Sample]) -> np.ndarray:
    """(H, W, 3) uint8: a row for each sample: the photograph, then label and prediction by task."""
    return _join([_join([_tile(p) for p in _pictures(sample)], 1) for sample in samples], 0)


def _pictures(sample: Sample) -> list[np.ndarray]:
    target, prediction = sample.target, sample.prediction
    pictures = [sample.photograph]
    if target.depth_m is not None:
        pictures += _depth_pictures(target.depth_m, prediction)
    if target.normal is not None and prediction.normal is not None:
        pictures += [normal_picture(target.normal), normal_picture(prediction.normal)]
    if target.segment is not None and prediction.segment is not None:
        count = len(target.classes)
        pictures += [
            segment_picture(target.segment, count),
            segment_picture(prediction.segment, count),
        ]
    return pictures


def _depth_pictures(label: np.ndarray, prediction: Prediction) -> list[np.ndarray]:
    """Label and prediction on one scale, that of the label."""
    if prediction.affine_depth is not None:
        return [relative_depth_picture(label), relative_depth_picture(prediction.affine_depth)]
    assert prediction.depth_m is not None
    known = label[np.isfinite(label) & (label > 0)]
    near_m, far_m = (known.min(), known.max() * 1.01) if known.size else (1.0, 10.0)
    return [depth_picture(depth, near_m, far_m) for depth in (label, prediction.depth_m)]


def _tile(picture: np.ndarray) -> np.ndarray:
    """A picture that fits a tile."""
    longest = max(picture.shape[:2])
    factor = TILE_PX // longest
    if factor >= 1:
        return picture.repeat(factor, 0).repeat(factor, 1)
    scale = TILE_PX / longest
    return cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def _join(pictures: Sequence[np.ndarray], axis: int) -> np.ndarray:
    """Pictures of one size side by side (axis 1) or below each other (axis 0), with gaps."""
    shape = list(pictures[0].shape)
    shape[axis] = GAP_PX
    gap = np.full(shape, PAPER, np.uint8)
    parts = [part for picture in pictures for part in (picture, gap)]
    return np.concatenate(parts[:-1], axis)
