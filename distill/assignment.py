"""The best one-to-one pairing of two sets, by the shortest augmenting paths of Crouse (2016)."""

import numpy as np


def best_pairs(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pair rows with columns so that the sum of scores is as large as can be.

    scores: (n, m) finite. Returns the rows and the columns of the min(n, m) pairs, rows in rising
    order: what scipy.optimize.linear_sum_assignment does with maximize=True. Takes O(n^2 m).
    """
    scores = np.asarray(scores, np.float64)
    if scores.shape[0] > scores.shape[1]:
        columns, rows = best_pairs(scores.T)
        order = np.argsort(rows)
        return rows[order], columns[order]
    count, width = scores.shape
    row_of = np.full(width, -1)
    row_price, column_price = np.zeros(count), np.zeros(width)
    for row in range(count):
        _add_row(row, -scores, row_of, row_price, column_price)
    columns = np.flatnonzero(row_of >= 0)
    order = np.argsort(row_of[columns])
    return row_of[columns][order], columns[order]


def _add_row(
    row: int,
    cost: np.ndarray,
    row_of: np.ndarray,
    row_price: np.ndarray,
    column_price: np.ndarray,
) -> None:
    """Pair one more row, moving earlier ones along the cheapest path to a free column.

    Changes the last three in place. Prices keep cost - row_price - column_price >= 0 everywhere
    and 0 at pairs, so a path's length is what it adds to the total.
    """
    length = np.full(len(row_of), np.inf)  # of the cheapest path to each column
    via = np.full(len(row_of), row)  # the row before it
    done = np.zeros(len(row_of), bool)
    here, reached = row, 0.0
    while True:
        onward = reached + cost[here] - row_price[here] - column_price
        shorter = ~done & (onward < length)
        length[shorter], via[shorter] = onward[shorter], here
        column = int(np.argmin(np.where(done, np.inf, length)))
        reached = length[column]
        if row_of[column] < 0:
            break
        done[column], here = True, row_of[column]
    row_price[row] += reached
    row_price[row_of[done]] += reached - length[done]
    column_price[done] -= reached - length[done]
    while True:  # back along the path, each column takes the row before it
        before = via[column]
        left = np.flatnonzero(row_of == before)
        row_of[column] = before
        if before == row:
            return
        column = int(left[0])
