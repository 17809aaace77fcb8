"""What the parts of a training run are told: plain data, so that --help need not load torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

NORMAL_KINDS = ("chord", "cosine", "angle")
"""What normal_losses.normal_error knows."""


@dataclass(frozen=True, kw_only=True)
class Optimisation:
    """Settings of the optimiser; its learning rate follows half a cosine down to zero.

    Why AdaMuon: trained from scratch on scenes for 500 steps of 32 at 64 px and a rate of 4e-3, it
    reached delta1 0.775, 19.3 degrees and mIoU 0.705; AdamW 0.703, 24.2 and 0.591. AdamW is ahead
    in the first hundred steps only. Rates of 1e-2, 2e-2 and 4e-2 gave mIoU 0.753, 0.786 and 0.786.
    """

    algorithm: str = "adamuon"
    """adamuon (orthogonalised updates of matrices, AdamW for the rest) or adamw."""
    learning_rate: float = 2e-2
    """Highest learning rate, of the decoder and the heads; for adamw, try 4e-3."""
    encoder_factor: float | None = None
    """Learning rate of the backbone over that; by default 0.1 for loaded weights, else 1."""
    weight_decay: float = 0.05
    """Decay of matrices; vectors (biases and norms) are not decayed."""
    warmup_fraction: float = 0.05
    """Share of the budget in which the learning rate rises."""
    clip_norm: float = 1.0
    """Gradients are scaled down to this norm."""

    def __post_init__(self) -> None:
        if self.algorithm not in ("adamuon", "adamw"):
            raise ValueError(
                f"optimisation.algorithm: expected adamuon or adamw, found {self.algorithm!r}"
            )


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


@dataclass(frozen=True, kw_only=True)
class FeatureAlignment:
    """Whether the backbone's features are aligned to a frozen network's, and to which."""

    weight: float = 0.0
    """Weight of the loss; 0 switches it off, and no network is loaded."""
    backbone: str = "vit_small_patch16_dinov3"
    """A timm model with forward_intermediates."""
    backbone_arguments: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of timm.create_model."""
    weights: str = "hub"
    """Its weights: hub (timm's, downloaded) or a safetensors file."""
    margin: float = 0.85
    """Places whose features are more alike than this (as a cosine) are left alone."""


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How training images are varied; a mirrored half of them is always there."""

    jitter: float = 0.2
    """Largest relative change of brightness, contrast and saturation; labels stay as they are."""
    max_zoom: float = 1.0
    """Largest factor of a zoom into photographs, for metric depth only where the focal length is
    known and is shorter than the longest among the held-out photographs; 1 = none."""
    max_roll_deg: float = 0.0
    """Largest angle by which pictures are turned to either side; 0 = none."""
    scales: tuple[float, ...] = (1.0,)
    """Each batch is brought to one of these multiples of the training size."""

    def __post_init__(self) -> None:
        if not 0 <= self.jitter < 1:
            raise ValueError(f"--augmentation.jitter must be 0 to below 1, got {self.jitter}")
        if self.max_zoom < 1:
            raise ValueError(f"--augmentation.max_zoom must be at least 1, got {self.max_zoom}")
        if not 0 <= self.max_roll_deg <= 180:
            raise ValueError(
                f"--augmentation.max_roll_deg must be 0 to 180, got {self.max_roll_deg}"
            )
        if not self.scales or min(self.scales) <= 0:
            raise ValueError(
                f"--augmentation.scales: expected numbers above 0, got {list(self.scales)}"
            )
