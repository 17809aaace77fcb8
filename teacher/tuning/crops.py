"""Crops of a labelled photograph: enlarged, mirrored or not, all of one size.

A few hundred photographs are too few to tune on as they are. A crop that is enlarged by a factor z
shows everything z times larger, as if it were z times nearer to the same lens: its depth is
divided by z, so that a teacher that is not told the lens stays consistent (the canonical camera of
Metric3D, arXiv 2307.10984). Normals and classes do not change.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from teacher.sample import Labels, resize_photograph

EXPOSURE = 0.2
"""Largest relative change of a colour channel's gain, and of gamma."""


@dataclass(frozen=True, kw_only=True)
class Crops:
    """How many crops of each photograph, and of which size."""

    height_px: int
    width_px: int
    count: int = 1
    """The first crop is the whole photograph, as far as the aspect ratio allows."""
    max_zoom: float = 1.8
    """Largest factor by which a crop is enlarged beyond the whole photograph."""
    seed: int = 0

    def of(
        self, key: str, photo: np.ndarray, labels: Labels
    ) -> Iterator[tuple[np.ndarray, Labels]]:
        """The crops of one photograph; which ones depends on the seed and its key alone.

        photo: (H, W, 3) uint8, of any size; labels: of the same picture, perhaps of another size.
        """
        for number, (window, rng) in enumerate(self._windows(key)):
            seen, truth = window.photograph(photo), window.labels(labels)
            if number:
                seen = _exposed(seen, rng)
            yield (_flip(seen), _mirrored(truth)) if number % 2 else (seen, truth)

    def of_photograph(self, key: str, photo: np.ndarray) -> Iterator[np.ndarray]:
        """The same windows of a photograph without labels: neither mirrored nor exposed anew."""
        return (window.photograph(photo) for window, _ in self._windows(key))

    def _windows(self, key: str) -> Iterator[tuple["_Window", np.random.Generator]]:
        """The windows, each with what else is drawn for it."""
        digest = hashlib.sha256(f"{self.seed}/{key}".encode()).digest()
        for number in range(self.count):
            rng = np.random.default_rng([int.from_bytes(digest[:8], "big"), number])
            zoom, left, top = 1.0, 0.5, 0.5
            if number:
                zoom = float(rng.uniform(1.0, self.max_zoom))
                left, top = (float(place) for place in rng.uniform(size=2))
            yield _Window(zoom, left, top, self.height_px, self.width_px), rng


@dataclass(frozen=True)
class _Window:
    """A window of the picture: enlarged by `zoom`, at `left` and `top` (0..1) of the free play."""

    zoom: float
    left: float
    top: float
    height_px: int
    width_px: int

    def photograph(self, photo: np.ndarray) -> np.ndarray:
        rows, columns = self._span(photo.shape[0], photo.shape[1])
        cut = np.ascontiguousarray(photo[slice(*rows), slice(*columns)])
        return resize_photograph(cut, self.height_px, self.width_px)

    def labels(self, labels: Labels) -> Labels:
        """By the nearest pixels: nothing is blended."""
        rows, columns = (
            start + ((2 * np.arange(length) + 1) * (stop - start)) // (2 * length)
            for (start, stop), length in zip(
                self._span(*labels.size), (self.height_px, self.width_px)
            )
        )

        def cut(plane: np.ndarray | None) -> np.ndarray | None:
            return None if plane is None else np.ascontiguousarray(plane[np.ix_(rows, columns)])

        depth_m = cut(labels.depth_m)
        return Labels(
            depth_m=None if depth_m is None else depth_m / np.float32(self.zoom),
            depth_kind=labels.depth_kind,
            normal=cut(labels.normal),
            segment=cut(labels.segment),
            classes=labels.classes,
            record=replace(
                labels.record, height_px=self.height_px, width_px=self.width_px, intrinsics=None
            ),
        )

    def _span(self, height: int, width: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """First and last row and column (exclusive) of the window in a picture of a size."""
        scale = min(height / self.height_px, width / self.width_px) / self.zoom
        spans = []
        for length, wanted, place in (
            (height, self.height_px, self.top),
            (width, self.width_px, self.left),
        ):
            size = min(length, max(1, round(wanted * scale)))
            start = round(place * (length - size))
            spans.append((start, start + size))
        return spans[0], spans[1]


def _exposed(photo: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another exposure and white balance: no label changes."""
    gain = 1 + rng.uniform(-EXPOSURE, EXPOSURE, 3)
    gamma = 1 + rng.uniform(-EXPOSURE, EXPOSURE)
    return np.rint(255 * np.clip(gain * (photo / 255) ** gamma, 0, 1)).astype(np.uint8)


def _flip(plane: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(plane[:, ::-1])


def _mirrored(labels: Labels) -> Labels:
    """Seen in a mirror; the normals' x changes its sign."""
    planes = {
        name: None if plane is None else _flip(plane)
        for name in ("depth_m", "normal", "segment")
        for plane in (getattr(labels, name),)
    }
    if planes["normal"] is not None:
        planes["normal"] *= np.array([-1, 1, 1], np.float32)
    return replace(labels, **planes)
