"""How published depth numbers are made: which pixels count, what is clipped, and which fit is used.

A protocol belongs to a data set. Two numbers compare only under the same protocol and the same
alignment, which is why every result names both. Sources read: Marigold's evaluation (the base of
Lotus, Lotus-2, GenPercept, E2E-FT and FE2E), Pixel-Perfect Depth, ZoeDepth, UniDepth, MoGe.

Common to all of them: a pixel counts where its true depth is known and strictly between min_m and
max_m; every image is scored alone, and images are averaged with equal weight, however many
pixels of each count. An image without any such pixel is left out and must be reported as such.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from distill.metrics import FARTHEST_M, NEAREST_M

Crop = Callable[[int, int], tuple[slice, slice]]
"""(height, width) in pixels -> the rows and columns that are kept"""


def nyu_eigen_crop(height: int, width: int) -> tuple[slice, slice]:
    """Rows 45 to 470 and columns 41 to 600 of a 480 x 640 picture: without NYUv2's white frame."""
    if (height, width) != (480, 640):
        raise ValueError(
            f"NYUv2's Eigen crop is given in pixels of 480 x 640 pictures, found {height} x "
            f"{width}: bring predictions to the size of the ground truth before scoring"
        )
    return slice(45, 471), slice(41, 601)


def kitti_benchmark_crop(height: int, width: int) -> tuple[slice, slice]:
    """The lowest 352 rows and the middle 1216 columns, as in KITTI's depth benchmark."""
    if height < 352 or width < 1216:
        raise ValueError(
            f"KITTI's benchmark crop needs at least 352 x 1216 pixels, found {height} x {width}: "
            "bring predictions to the size of the ground truth before scoring"
        )
    left = (width - 1216) // 2
    return slice(height - 352, height), slice(left, left + 1216)


def kitti_eigen_crop(height: int, width: int) -> tuple[slice, slice]:
    """Eigen's window (NIPS 2014) as shares of the picture."""
    rows = slice(int(0.3324324 * height), int(0.91351351 * height))
    return rows, slice(int(0.0359477 * width), int(0.96405229 * width))


def kitti_garg_crop(height: int, width: int) -> tuple[slice, slice]:
    """Garg's window (ECCV 2016) as shares of the picture: 8 % further down than Eigen's."""
    rows = slice(int(0.40810811 * height), int(0.99189189 * height))
    return rows, slice(int(0.03594771 * width), int(0.96405229 * width))


@dataclass(frozen=True, kw_only=True)
class DepthProtocol:
    """How depth is scored on one data set."""

    name: str
    """Key in DEPTH_PROTOCOLS; stands in every result."""
    min_m: float
    """True depth at or below this does not count."""
    max_m: float
    """True depth at or above this does not count; inf: no cap, though sky never counts."""
    clip_m: tuple[float, float]
    """Predictions are moved into this range, after alignment and before any metric.

    1 mm to 1000 m where the source does not clip: only to keep the metrics finite.
    """
    photo_crop: Crop | None = None
    """What is cut out of photograph and truth before the labeller sees them; None: nothing."""
    crop: Crop | None = None
    """The window of what is left in which pixels count; None: everywhere."""
    edge_px: int | None = None
    """Longer edge to which photographs are resized for inference; None: as they are."""
    alignment: str
    """The usual alignment in published numbers: a key of distill.alignment.ALIGNMENTS."""
    images: int | None = None
    """Official number of images; None: not agreed on."""
    truth: str
    """What the ground truth is: file, unit, and what is unknown in it."""
    source: str
    """Where the numbers above stand."""
    traps: tuple[str, ...] = ()
    """What makes two numbers on this set differ although both are called by its name."""

    def valid(self, true_m: np.ndarray) -> np.ndarray:
        """The pixels that count: (H, W) metres, NaN, inf or <= 0 = unknown -> (H, W) bool.

        Raises ValueError when the crop does not fit the picture.
        """
        window = np.zeros(true_m.shape, bool)
        self._window_of(window)[...] = True
        return window & (true_m > self.min_m) & (true_m < self.max_m)

    def clip(self, pred_m: np.ndarray) -> np.ndarray:
        """Predicted metres (float64) within clip_m; NaN counts as the far end of it."""
        near_m, far_m = self.clip_m
        finite = np.nan_to_num(pred_m.astype(np.float64), nan=far_m, posinf=far_m)
        return finite.clip(near_m, far_m)

    def _window_of(self, plane: np.ndarray) -> np.ndarray:
        """A view of what lies inside both crops."""
        for crop in (self.photo_crop, self.crop):
            if crop is not None:
                plane = plane[crop(*plane.shape)]
        return plane


PLAIN = DepthProtocol(
    name="plain",
    min_m=0,
    max_m=math.inf,
    clip_m=(NEAREST_M, FARTHEST_M),
    alignment="none",
    truth="metres; everything that is known and not sky counts",
    source="this repository: the same pixels and bounds as distill.metrics.depth_scores",
)
"""For our own scenes and for sets without a protocol of their own."""

NYUV2 = DepthProtocol(
    name="nyuv2",
    min_m=1e-3,
    max_m=10,
    clip_m=(1e-3, 10),
    crop=nyu_eigen_crop,
    alignment="least_squares",
    images=654,
    truth="raw Kinect depth, 16-bit PNG in millimetres, 0 = unknown",
    source="prs-eth/Marigold: src/dataset/nyu_dataset.py, script/depth/eval/11, 12",
    traps=(
        "raw depth is scored; the filled (inpainted) depth of the labelled set gives other numbers",
        "Pixel-Perfect Depth scores without the crop, from 0.1 m",
    ),
)

KITTI = DepthProtocol(
    name="kitti",
    min_m=1e-5,
    max_m=80,
    clip_m=(1e-5, 80),
    photo_crop=kitti_benchmark_crop,
    crop=kitti_eigen_crop,
    alignment="least_squares",
    images=652,
    truth="accumulated lidar of the depth benchmark, 16-bit PNG / 256 = metres, 0 = unknown",
    source="prs-eth/Marigold: src/dataset/kitti_dataset.py, data_kitti_eigen_test.yaml",
    traps=(
        "the list has 697 lines, 45 of them without ground truth: 652 images",
        "697 images mean raw lidar as the truth, which is another benchmark",
        "the photograph is cropped before inference, and Eigen's window is taken of the crop",
        "metric depth is mostly reported with Garg's window: kitti_garg",
    ),
)

KITTI_GARG = DepthProtocol(
    name="kitti_garg",
    min_m=1e-3,
    max_m=80,
    clip_m=(1e-3, 80),
    photo_crop=kitti_benchmark_crop,
    crop=kitti_garg_crop,
    alignment="none",
    images=652,
    truth=KITTI.truth,
    source="isl-org/ZoeDepth: zoedepth/utils/config.py, misc.py; UniDepth: datasets/kitti.py",
    traps=(
        "BTS takes Garg's window of the whole picture, ZoeDepth and UniDepth of the benchmark crop",
        "ZoeDepth also averages the prediction with that of the mirrored photograph",
    ),
)

ETH3D = DepthProtocol(
    name="eth3d",
    min_m=1e-5,
    max_m=math.inf,
    clip_m=(1e-5, FARTHEST_M),
    edge_px=756,
    alignment="least_squares",
    images=454,
    truth="float32 metres, 4032 x 6048, inf = unknown",
    source="prs-eth/Marigold: src/dataset/eth3d_dataset.py, script/depth/eval/31, 32",
    traps=(
        "Marigold fits on at most 1024 pixels of the longer edge; here every valid pixel is used",
        "Lotus-2 and FE2E infer at 768; Pixel-Perfect Depth scores at 2048 x 1360",
        "UniDepth counts up to 50 m only",
    ),
)

SCANNET = DepthProtocol(
    name="scannet",
    min_m=1e-3,
    max_m=10,
    clip_m=(1e-3, 10),
    alignment="least_squares",
    images=800,
    truth="16-bit PNG in millimetres, 0 = unknown",
    source="prs-eth/Marigold: src/dataset/scannet_dataset.py, scannet_val_sampled_list_800_1.txt",
    traps=("the 800 images are Marigold's own sample of the validation scenes",),
)

DIODE = DepthProtocol(
    name="diode",
    min_m=0,
    max_m=math.inf,
    clip_m=(0.6, 350),
    edge_px=640,
    alignment="least_squares",
    images=771,
    truth="float32 metres with the official mask; what the mask leaves out is unknown",
    source="prs-eth/Marigold: src/dataset/diode_dataset.py, script/depth/eval/51, 52",
    traps=(
        "only the official mask decides what counts: the range clips predictions, not the truth",
        "Pixel-Perfect Depth also drops pixels whose Sobel gradient is over 0.3, which are flying"
        " points at edges: beside the fit, this is why Marigold v1 has an AbsRel of 10.0 there"
        " and of 30.8 here",
        "FE2E infers at 768 and cuts aligned depth at 148 m, below the range of the set",
        "325 indoor and 446 outdoor images: many tables report the indoor ones only",
    ),
)

DIODE_INDOOR = DepthProtocol(
    name="diode_indoor",
    min_m=0,
    max_m=25,
    clip_m=(NEAREST_M, FARTHEST_M),
    alignment="none",
    images=325,
    truth=DIODE.truth,
    source="lpiccinelli-eth/UniDepth: unidepth/datasets/diode.py",
    traps=("ZoeDepth counts up to 10 m, in NYUv2's Eigen window although the truth is 768 x 1024",),
)

IBIMS1 = DepthProtocol(
    name="ibims1",
    min_m=0,
    max_m=25,
    clip_m=(NEAREST_M, FARTHEST_M),
    alignment="none",
    images=100,
    truth="16-bit PNG x 50 / 65535 = metres; mask_invalid and mask_transp leave pixels out",
    source="lpiccinelli-eth/UniDepth: unidepth/datasets/ibims.py",
    traps=(
        "ZoeDepth counts up to 10 m in NYUv2's Eigen crop; MoGe has neither cap nor crop",
        "the files hold up to 50 m, so that the cap decides whether far parts count",
    ),
)

NUSCENES = DepthProtocol(
    name="nuscenes",
    min_m=0,
    max_m=80,
    clip_m=(NEAREST_M, FARTHEST_M),
    alignment="none",
    truth="one lidar sweep projected into the picture: sparse, everything else unknown",
    source="lpiccinelli-eth/UniDepth: unidepth/datasets/nuscenes.py",
    traps=(
        "papers score different subsets: one camera or six of the 6,019 validation keyframes,"
        " or a few hundred samples",
        "lidar and camera sit apart: points behind an edge are projected in front of it",
    ),
)

DEPTH_PROTOCOLS: dict[str, DepthProtocol] = {
    protocol.name: protocol
    for protocol in (
        *(PLAIN, NYUV2, KITTI, KITTI_GARG, ETH3D, SCANNET),
        *(DIODE, DIODE_INDOOR, IBIMS1, NUSCENES),
    )
}
"""Name of a data set (or of its variant) -> protocol."""


def depth_protocol(dataset: str) -> DepthProtocol:
    """The protocol of a data set; `plain` for one that has none."""
    return DEPTH_PROTOCOLS.get(dataset, PLAIN)
