"""Several readings of one photograph -> one: median depth, mean direction, the class most named.

Votes lie on the first axis. How far they are apart is evidence of a wrong pixel; one vote is
handed back as it is, with nothing apart.
"""

from typing import NamedTuple

import numpy as np

SPREAD_RANGE_M = (0.05, 120.0)
"""Depths beyond count as these when votes are compared, sky as the far one."""


class DepthVote(NamedTuple):
    """What the votes on depth come to."""

    depth_m: np.ndarray
    """(H, W) float32 metres; NaN = unknown, +inf = sky"""
    spread: np.ndarray
    """(H, W) float32, mean distance of the votes' logarithms from that of the result"""


class NormalVote(NamedTuple):
    """What the votes on normals come to."""

    normal: np.ndarray
    """(H, W, 3) float32 unit vectors; (0, 0, 0) = unknown"""
    spread_deg: np.ndarray
    """(H, W) float32, mean angle between the votes and the result; an unknown vote counts 90"""


class SegmentVote(NamedTuple):
    """What the votes on classes come to."""

    ids: np.ndarray
    """(H, W) class ids"""
    margin: np.ndarray
    """(H, W) float32 levels: margins of the votes for the winner less those against, per vote"""
    against: np.ndarray
    """(H, W) float32, share of the votes for other classes, 0..1"""


def vote_depth(depth_m: np.ndarray) -> DepthVote:
    """The median of depths (K, H, W) in metres; NaN = unknown, +inf = sky.

    Unknown votes do not count. Sky needs more than half of the others; else the median is that of
    the finite depths, for an even number the geometric mean of the middle two.
    """
    if len(depth_m) == 1:
        return DepthVote(depth_m[0], np.zeros(depth_m.shape[1:], np.float32))
    known = depth_m > 0
    low, high = _middle_two(depth_m, known)
    voted = np.sqrt(low) * np.sqrt(high)
    return DepthVote(voted, _mean_distance(_log_depth(depth_m), _log_depth(voted), known))


def vote_affine_depth(depth: np.ndarray) -> DepthVote:
    """The median of depths (K, H, W) whose scale and shift are unknown, as the first has them.

    The others are aligned to the first, as Marigold's ensembles are; NaN = unknown, +inf = sky, and
    both vote as in vote_depth. The spread is in units of the first depth, at most 1 for each vote.
    """
    if len(depth) == 1:
        return DepthVote(depth[0], np.zeros(depth.shape[1:], np.float32))
    aligned = np.stack([depth[0], *(align_depth(other, depth[0]) for other in depth[1:])])
    low, high = _middle_two(aligned, ~np.isnan(aligned))
    voted = (low + high) / 2
    near, far = (np.nan_to_num(plane.clip(0, 1)) for plane in (aligned, voted))
    return DepthVote(voted, _mean_distance(near, far, ~np.isnan(aligned)))


def align_depth(depth: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Depth with the scale and the shift that bring it closest to another one, by least squares.

    depth, target: (H, W); pixels that are finite in both count. The scale is never negative: near
    stays near, and a depth that says the opposite of the target becomes flat.
    """
    finite = np.isfinite(depth)
    both = finite & np.isfinite(target)
    if not both.any():
        return depth
    x, y = depth[both].astype(np.float64), target[both].astype(np.float64)
    centred = x - x.mean()
    scale = max(0.0, float(centred @ y) / max(float(centred @ centred), np.finfo(float).tiny))
    aligned = depth.copy()
    aligned[finite] = scale * depth[finite] + (y.mean() - scale * x.mean())
    return aligned


def _middle_two(depth: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The middle two of the finite votes (K, H, W), both +inf = sky or NaN = nobody knows."""
    sky = np.isposinf(depth).sum(axis=0)
    voters = known.sum(axis=0)
    ordered = np.sort(np.where(known, depth, np.inf), axis=0)  # sky and unknown come last
    finite = voters - sky
    low, high = (
        np.take_along_axis(ordered, middle.clip(0)[None], axis=0)[0]
        for middle in ((finite - 1) // 2, finite // 2)
    )
    beyond = np.where(voters > 0, np.float32(np.inf), np.float32(np.nan))
    none = (2 * sky > voters) | (voters == 0)
    return np.where(none, beyond, low), np.where(none, beyond, high)


def _mean_distance(votes: np.ndarray, result: np.ndarray, known: np.ndarray) -> np.ndarray:
    apart = np.where(known, np.abs(votes - result), 0).sum(axis=0)
    return (apart / known.sum(axis=0).clip(1)).astype(np.float32)


def _log_depth(depth_m: np.ndarray) -> np.ndarray:
    return np.log(np.clip(np.nan_to_num(depth_m, nan=1.0), *SPREAD_RANGE_M))


def vote_normals(normal: np.ndarray) -> NormalVote:
    """The mean direction of unit vectors (K, H, W, 3); (0, 0, 0) = unknown, which does not count.

    Directions that cancel out, as two opposite ones do, leave the normal unknown.
    """
    if len(normal) == 1:
        return NormalVote(normal[0], np.zeros(normal.shape[1:-1], np.float32))
    total = normal.sum(axis=0)
    length = np.linalg.norm(total, axis=-1, keepdims=True)
    mean = np.divide(total, length, out=np.zeros_like(total), where=length > 1e-3)
    cosine = np.einsum("khwi,hwi->khw", normal, mean).clip(-1, 1)
    return NormalVote(mean, np.degrees(np.arccos(cosine)).mean(axis=0, dtype=np.float32))


def vote_segments(ids: np.ndarray, margin: np.ndarray) -> SegmentVote:
    """The class with most votes; among equals, the one whose votes have the larger margins.

    ids: (K, H, W) class ids; margin: (K, H, W) float32 levels, how clear each vote was.
    """
    if len(ids) == 1:
        return SegmentVote(ids[0], margin[0], np.zeros(ids.shape[1:], np.float32))
    agreed = np.stack([(ids == own).sum(axis=0) for own in ids])
    support = np.stack([np.where(ids == own, margin, 0).sum(axis=0) for own in ids])
    contender = np.where(agreed == agreed.max(axis=0), support, -np.inf)
    winner = contender.argmax(axis=0)[None]
    voted = np.take_along_axis(ids, winner, axis=0)[0]
    signed = np.where(ids == voted, margin, -margin)
    against = 1 - np.take_along_axis(agreed, winner, axis=0)[0] / len(ids)
    return SegmentVote(voted, signed.mean(axis=0), against.astype(np.float32))
