"""Lists of some rows put in the place of others."""

import numpy as np

from skylike.neighbors.engine.rescore import Lists


def replace_lists(lists: Lists, corrected: list[Lists]) -> Lists:
    """Return ``lists`` with the rows of ``corrected`` taken from there."""
    pieces = [lists, *corrected]
    rows = np.concatenate([piece.rows for piece in pieces])
    lengths = np.concatenate([piece.lengths for piece in pieces])
    positions = np.concatenate([piece.positions for piece in pieces])
    similarities = np.concatenate([piece.similarities for piece in pieces])
    ends = np.cumsum(lengths)
    # Of each row the last piece that has it.
    reverse = np.unique(rows[::-1], return_index=True)[1]
    chosen = len(rows) - 1 - reverse
    taken = np.concatenate([np.arange(ends[c] - lengths[c], ends[c]) for c in chosen])
    return Lists(rows[chosen], lengths[chosen], positions[taken], similarities[taken])
