"""What a batch of photographs must be before it is painted."""

from collections.abc import Collection, Sequence

import numpy as np

from teacher.painters.card import TeacherCard


def check_batch(
    card: TeacherCard,
    known: Collection[str],
    photographs: np.ndarray,
    tasks: Sequence[str],
    seeds: Sequence[int],
) -> None:
    """Raise ValueError unless a painter with the `known` instructions can paint it.

    photographs: (B, H, W, 3) uint8 of a size that fits the card; seeds: one for each.
    """
    if unknown := [task for task in tasks if task not in known]:
        raise ValueError(
            f"the teacher {card.name} cannot paint {unknown[0]!r}; known: {', '.join(known)}"
        )
    if photographs.ndim != 4 or photographs.shape[3] != 3 or photographs.dtype != np.uint8:
        found = f"{photographs.dtype} {photographs.shape}"
        raise ValueError(f"photographs must be (B, H, W, 3) uint8, found {found}")
    if len(seeds) != len(photographs):
        raise ValueError(f"{len(photographs)} photographs but {len(seeds)} seeds")
    height, width = photographs.shape[1:3]
    if height % card.multiple_px or width % card.multiple_px or not height * width:
        raise ValueError(
            f"photographs of {height} x {width} px do not fit this teacher: "
            f"height and width must be multiples of {card.multiple_px}"
        )
