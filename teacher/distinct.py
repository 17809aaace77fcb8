"""Colours that lie as far apart as can be, for any number of classes up to 150."""

from functools import lru_cache

import numpy as np

from teacher.rgb import LEVELS

MAX_DISTINCT = 150
"""As many classes as ADE20K has; then the colours still lie 56 levels apart."""

TAKEN = np.array([[0, 0, 0], [255, 255, 255]])
"""Black and white stand for "no class" and for what a generator leaves unpainted."""

PAIRED_UP_TO = 16
"""So few colours lie 144 levels or more apart even if their hex digits come in pairs (#ff8800),
which reads well in a prompt; more than these take any level."""

SEARCH_EFFORT = 160
"""Colours placed over all the starts: a fraction of a second, whatever the count."""


@lru_cache(maxsize=32)
def distinct_colors(count: int) -> np.ndarray:
    """`count` colours as far apart as can be, the same everywhere: (count, 3) uint8, read-only.

    Black and white count as taken. Six or fewer colours are 255 levels or more apart, 20 are 130,
    60 are 83, 150 are 56. Found by farthest-point sampling from several starts; then every colour
    moves to the freest place until none gains, and many colours push each other apart.
    """
    if not 1 <= count <= MAX_DISTINCT:
        raise ValueError(f"distinct_colors makes 1 to {MAX_DISTINCT} colours, got count={count}")
    pairs = np.arange(0, LEVELS + 1, 17)
    grid = np.stack(np.meshgrid(pairs, pairs, pairs, indexing="ij"), axis=-1).reshape(-1, 3)
    starts = np.linspace(0, len(grid) - 1, 1 + SEARCH_EFFORT // count).astype(int)
    found = [_spread_out(_farthest_points(count, grid, start), grid) for start in starts]
    if count > PAIRED_UP_TO:
        found = [_relaxed(colors) for colors in found]
    best = max(found, key=_least_distance)[len(TAKEN) :].astype(np.uint8)
    best.flags.writeable = False
    return best


def _squared_distances(grid: np.ndarray, color: np.ndarray) -> np.ndarray:
    """Whole numbers, so that the choice is the same on every machine."""
    return ((grid - color) ** 2).sum(axis=1)


def _farthest_points(count: int, grid: np.ndarray, start: int) -> np.ndarray:
    """TAKEN, grid[start], then always the colour that is farthest from all so far."""
    chosen = [*TAKEN, grid[start]]
    nearest = np.min([_squared_distances(grid, color) for color in chosen], axis=0)
    while len(chosen) < len(TAKEN) + count:
        chosen.append(grid[nearest.argmax()])
        nearest = np.minimum(nearest, _squared_distances(grid, chosen[-1]))
    return np.array(chosen)


def _spread_out(colors: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Move each colour but TAKEN to where its nearest neighbour is farthest, until none gains."""
    distances = np.array([_squared_distances(grid, color) for color in colors])
    moved = True
    while moved:
        moved = False
        for row in range(len(TAKEN), len(colors)):
            others = np.delete(distances, row, axis=0).min(axis=0)
            here = _squared_distances(np.delete(colors, row, axis=0), colors[row]).min()
            if others.max() > here:
                colors[row] = grid[others.argmax()]
                distances[row] = _squared_distances(grid, colors[row])
                moved = True
    return colors


STEPS = 150
FIRST_STEP_LEVELS = 12
UNIT = 64
"""Parts of a level in which colours move: whole numbers throughout, as above."""


def _relaxed(colors: np.ndarray) -> np.ndarray:
    """The best of what comes about when colours push each other apart, but for TAKEN.

    The force falls with the 32nd power of the distance, so that close pairs count almost alone.
    """
    place, best = colors * UNIT, colors
    for step in range(STEPS):
        force = _push(place)
        largest = max(1, int(np.abs(force).max()))
        reach = FIRST_STEP_LEVELS * UNIT * (STEPS - step) // STEPS
        place[len(TAKEN) :] += force[len(TAKEN) :] * reach // largest
        place = np.clip(place, 0, LEVELS * UNIT)
        best = max(best, (place + UNIT // 2) // UNIT, key=_least_distance)
    return best


def _push(place: np.ndarray) -> np.ndarray:
    """(n, 3) whole numbers: where each colour is pushed by all the others."""
    apart = place[:, None] - place
    squared = (apart**2).sum(axis=-1)
    np.fill_diagonal(squared, squared.max())
    weight = (squared.min() << 10) // squared  # 1024 for the closest pair
    for _ in range(4):
        weight = weight**2 >> 10
    return (apart * weight[..., None]).sum(axis=1)


def _least_distance(colors: np.ndarray) -> int:
    """Squared distance of the closest pair."""
    rows, columns = np.triu_indices(len(colors), k=1)
    return int(((colors[rows] - colors[columns]) ** 2).sum(axis=1).min())
