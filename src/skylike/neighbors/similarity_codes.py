"""Similarities of a list in a byte each: how far each falls below the one before it.

A list of falling similarities s_0 >= s_1 >= ... is kept as its ``first`` similarity, a ``step`` and
bytes. Each similarity is rounded to a whole number of steps below the first, q_i = round((first -
s_i) / step), and the bytes are the differences q_i - q_(i-1) of the second and all further ones. A
byte of 255 says "add 255, and go on with the next byte". Decoded: first - step q_i, or -1 where
that is below.

How far off
-----------
Rounding a quotient puts it off by at most half a step, whatever the list's span, because q_i counts
from the first and not from the one before: errors do not add up. ``step`` enters q_i as the very
float32 that is stored, and the quotients are float64: what they err by, relative 2^-52 of a
number below 2^25, is nothing beside the last rounding, of the decoded number to float32, at most
2^-25 for numbers of at most 1. Hence |error| <= step / 2 + 2^-25, rounded up in
:func:`decoding_error`.

The step is the largest fall in the list / 253, so that no difference exceeds 254 (rounding may add
1) and there is one byte for each; but at most :data:`LARGEST_STEP`, where larger falls take bytes
of 255, and not below :data:`SMALLEST_STEP`, where float32 ends. So the error is at most 4.9e-4 +
2^-25 for any list, and typically 100 times smaller: neighbors thin out slowly.

q_i never falls, the product with ``step`` and all roundings are monotonic: decoded similarities
never rise, and ties stay ties. The order of a list is that of its identifiers in any case.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Similarities = npt.NDArray[np.float32]
Lengths = npt.NDArray[np.int64]

UNCODED_ERROR: Final = 5e-6
"""Largest error of a similarity before it is coded that the bound of the search allows."""

LARGEST_STEP: Final = np.float32(9.8e-4)
"""Half of it, the error before, and the last rounding make less than 5e-4."""

SMALLEST_STEP: Final = np.float32(2.0**-24)
"""Spacing of float32 below 1."""

ESCAPE: Final = 255
"""The byte that says: add this and go on."""

_LARGEST_FALL: Final = np.float32(253)
"""Steps in the largest fall; rounding of both its ends may make it one more."""


@dataclass(frozen=True)
class CodedSimilarities:
    """Similarities of n lists, coded."""

    first: Similarities
    """(n,) of the most similar; NaN where the list is empty."""

    step: Similarities
    """(n,) what a code of one stands for."""

    codes: npt.NDArray[np.uint8]
    """(sum of lengths,) bytes of all lists, one after the other."""

    lengths: Lengths
    """(n,) bytes of each list: one less than its similarities where it has no escapes."""


def encode(similarities: Similarities, lengths: Lengths) -> CodedSimilarities:
    """Code lists.

    Parameters
    ----------
    similarities
        (sum of lengths,) falling within each list, one list after the other, in [-1, 1]. One that
        rises above the one before it is coded like that one.
    lengths
        (n,) similarities in each list.
    """
    rows = _as_rows(similarities, lengths)  # (n, k)
    falls = rows[:, :-1] - rows[:, 1:]  # (n, k - 1)
    if falls.size and falls.min() < 0:
        rows = np.minimum.accumulate(rows, axis=1)
        falls = rows[:, :-1] - rows[:, 1:]
    largest = falls.max(axis=1, initial=0)
    step = np.clip(largest / _LARGEST_FALL, SMALLEST_STEP, LARGEST_STEP)  # (n,)
    steps: npt.NDArray[np.float64] = np.subtract(rows[:, :1], rows, dtype=np.float64)  # (n, k)
    steps *= 1 / step.astype(np.float64)[:, None]
    np.rint(steps, out=steps)
    jumps = steps[:, 1:] - steps[:, :-1]  # (n, k - 1)
    codes, code_lengths = _as_bytes(jumps, lengths)
    first = np.where(lengths > 0, rows[:, 0], np.float32(np.nan)).astype(np.float32)
    return CodedSimilarities(first, step, codes, code_lengths)


def _as_rows(similarities: Similarities, lengths: Lengths) -> Similarities:
    """Pad lists on the right with their last similarity: (n, longest), at least one column."""
    n = len(lengths)
    if n and lengths[0] > 0 and (lengths == lengths[0]).all():
        return similarities.reshape(n, -1)
    rows = np.zeros((n, max(1, int(lengths.max(initial=0)))), np.float32)
    if not len(similarities):
        return rows
    ends = np.cumsum(lengths)
    place = (ends - lengths)[:, None] + np.arange(rows.shape[1])  # (n, k)
    filled = lengths > 0
    rows[filled] = similarities[np.minimum(place, ends[:, None] - 1)[filled]]
    return rows


def _as_bytes(
    jumps: npt.NDArray[np.float64], lengths: Lengths
) -> tuple[npt.NDArray[np.uint8], Lengths]:
    """Write jumps (n, k - 1), padded with 0, as bytes of each list: all bytes, and how many."""
    n, width = jumps.shape
    if (lengths == width + 1).all() and jumps.max(initial=0) < ESCAPE:
        return jumps.astype(np.uint8).ravel(), np.full(n, width, np.int64)
    is_there = np.arange(1, width + 1) < lengths[:, None]  # (n, k - 1)
    escapes, rest = np.divmod(jumps[is_there].astype(np.int64), ESCAPE)
    ends = np.cumsum(escapes + 1)
    codes = np.full(int(ends[-1]) if len(ends) else 0, ESCAPE, np.uint8)
    codes[ends - 1] = rest
    counts = np.zeros(jumps.shape, np.int64)
    counts[is_there] = escapes + 1
    return codes, counts.sum(axis=1)


def decode(coded: CodedSimilarities) -> Similarities:
    """Decode lists: all similarities, one list after the other, as the view ``neighbor`` does.

    Empty lists have none; the length of any other list is one more than its bytes below 255.
    """
    filled = np.isfinite(coded.first)
    lengths = coded.lengths + filled  # (n,) with a zero for each first similarity
    ends = np.cumsum(lengths)
    heads = (ends - lengths)[filled]
    bytes_ = np.zeros(int(lengths.sum()), np.int64)
    is_code = np.ones(len(bytes_), np.bool_)
    is_code[heads] = False
    bytes_[is_code] = coded.codes
    totals = np.cumsum(bytes_)
    is_last = bytes_ < ESCAPE
    steps = (totals - np.repeat(totals[heads], lengths[filled]))[is_last]
    own = np.repeat(np.flatnonzero(filled), lengths[filled])[is_last]
    wide = coded.first.astype(np.float64)[own] - coded.step.astype(np.float64)[own] * steps
    decoded: Similarities = np.maximum(wide, -1.0).astype(np.float32)
    return decoded


def decode_list(first: float | None, step: float, codes: bytes) -> Similarities:
    """Decode one list as a row of ``neighbor_similarity`` holds it; ``first`` is None if empty."""
    return decode(
        CodedSimilarities(
            first=np.array([np.nan if first is None else first], np.float32),
            step=np.array([step], np.float32),
            codes=np.frombuffer(codes, np.uint8),
            lengths=np.array([len(codes)], np.int64),
        )
    )


def decoding_error(step: float) -> float:
    """Bound how far decoded similarities are from those that were coded."""
    return 0.5 * step + 2.0**-24


def stored_error(step: float) -> float:
    """Bound how far decoded similarities are from the true ones."""
    return decoding_error(step) + UNCODED_ERROR
