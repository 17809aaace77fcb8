"""Deal the colours of a legend to its classes anew, several times, for voting.

A generator confuses colours that lie close to each other. Voting over several legends outweighs
that only if no two classes hold close colours in every one of them.
"""

import numpy as np

INSEPARABLE_LEVELS = 8
"""Colours nearer to each other than this count as this far: no generator keeps them apart."""

RISK_SCALE = 1 << 20
"""Makes the risk of the farthest pair, black and white, 5: small whole numbers, exact in float64,
so that the same legends are dealt on every machine."""


def deal_colors(colors: np.ndarray, count: int, seed: int) -> list[np.ndarray]:
    """`count` ways to deal n colours to n classes: (n,) intp rows of `colors`, the first as it is.

    colors: (n, 3) uint8.

    In any n consecutive deals from the first on, every class has every colour once. Close colours
    go to pairs of classes that had distant ones before: each deal minimises, by swaps until none
    gains, the sum over pairs of classes of the risk they ran so far times the risk they run now;
    the risk of a pair is the inverse squared distance of its colours.
    """
    generator = np.random.default_rng(seed)
    classes = np.arange(len(colors))
    risk = _risk(colors)
    deal, deals = classes, []
    uses, run = np.zeros(risk.shape, int), np.zeros_like(risk)
    for number in range(count):
        if number > 0:
            allowed = uses == number // len(colors)
            deal = _improved(_matching(allowed, generator), allowed, run, risk)
        deals.append(deal)
        uses[classes, deal] += 1
        run += risk[np.ix_(deal, deal)]
    return deals


def _risk(colors: np.ndarray) -> np.ndarray:
    """(n, n) float64 whole numbers, large for close colours; 0 on the diagonal."""
    levels = colors.astype(np.int64)
    squared = ((levels[:, None] - levels) ** 2).sum(axis=-1)
    risk = RISK_SCALE // np.maximum(squared, INSEPARABLE_LEVELS**2)
    np.fill_diagonal(risk, 0)
    return risk.astype(float)


def _matching(allowed: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A colour for every class among those allowed (n, n) bool, each colour once: (n,) intp.

    By augmenting paths. One exists: as many colours are allowed to every class as classes to every
    colour.
    """
    holder: dict[int, int] = {}  # colour -> class
    order = generator.permutation(len(allowed))

    def place(row: int, tried: set[int]) -> bool:
        for color in order[allowed[row, order]].tolist():
            if color not in tried:
                tried.add(color)
                if color not in holder or place(holder[color], tried):
                    holder[color] = row
                    return True
        return False

    for row in range(len(allowed)):
        placed = place(row, set())
        assert placed
    return np.array(sorted(holder, key=holder.__getitem__))


def _improved(
    deal: np.ndarray, allowed: np.ndarray, run: np.ndarray, risk: np.ndarray
) -> np.ndarray:
    """Swap the colours of the two classes that gain most, until no allowed swap gains."""
    deal = deal.copy()
    while True:
        now = risk[np.ix_(deal, deal)]
        mixed = run @ now
        kept = mixed.diagonal()
        change = mixed + mixed.T - kept[:, None] - kept + 2 * run * now
        can_take = allowed[:, deal]  # (n, n): class i may have the colour of class j
        change[~(can_take & can_take.T)] = 0
        first, second = np.unravel_index(change.argmin(), change.shape)
        if change[first, second] >= 0:
            return deal
        deal[[first, second]] = deal[[second, first]]
