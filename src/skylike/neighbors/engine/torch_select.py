"""Running selection on a device: every candidate that could be among a row's k nearest so far.

A block of scores is looked at once, for the maxima of segments of columns. In a row's first block
the k-th largest maximum is a score that k candidates reach; below it, less the error bound, nothing
matters. Later blocks meet the bound of what was kept before, which few segments of theirs
exceed: only those are read again.
"""

from dataclasses import dataclass
from typing import Final

import torch

from skylike.neighbors.engine.torch_bounds import LOWEST, ErrorBound
from skylike.neighbors.engine.torch_kernels import segment_maxima
from skylike.neighbors.engine.torch_rows import Rows

SEGMENT: Final = 16
"""Columns in a segment, where a block has so many that enough segments remain."""

SPARE: Final = 2
"""A k-th largest maximum among this many times k is a good bound: it leaves 1.4 k candidates."""

_SEGMENT_VALUES: Final = 1 << 28
"""Scores of segments read again in one step: a gigabyte."""

Entries = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""Candidates one after the other, by rising row: row, column or position, score, each (c,)."""


@dataclass
class Kept:
    """Candidates of R rows, in rising order of arrival, in C columns of which each row fills some.

    Attributes
    ----------
    positions
        (R, C) int32 places in magnitude order.
    scores
        (R, C) float32.
    cosines
        (R, C) float64 true cosines; NaN where not computed yet.
    counts
        (R,) int64 columns filled.
    cut
        (R,) float32: nothing below matters.
    set_aside
        (R,) bool rows with more candidates than there are columns: to be searched with more.
    """

    positions: torch.Tensor
    scores: torch.Tensor
    cosines: torch.Tensor
    counts: torch.Tensor
    cut: torch.Tensor
    set_aside: torch.Tensor

    @classmethod
    def nothing(cls, rows: int, columns: int, device: torch.device) -> "Kept":
        """Take memory for rows that have no candidates yet."""
        return cls(
            positions=torch.full((rows, columns), -1, dtype=torch.int32, device=device),
            scores=torch.full((rows, columns), -torch.inf, device=device),
            cosines=torch.full((rows, columns), torch.nan, dtype=torch.float64, device=device),
            counts=torch.zeros(rows, dtype=torch.int64, device=device),
            cut=torch.full((rows,), LOWEST, device=device),
            set_aside=torch.zeros(rows, dtype=torch.bool, device=device),
        )

    def tile(self, rows: slice) -> "Kept":
        """Return some of the rows, in the same memory."""
        return Kept(
            self.positions[rows],
            self.scores[rows],
            self.cosines[rows],
            self.counts[rows],
            self.cut[rows],
            self.set_aside[rows],
        )


class Selection:
    """Selects the candidates of one tile of rows, block of scores after block."""

    def __init__(self, kept: Kept, rows: Rows, *, k: int, bound: ErrorBound) -> None:
        self.kept, self.rows = kept, rows
        self._k, self._bound = k, bound
        self._has_cut = False

    def offer(self, scores: torch.Tensor, first: int) -> None:
        """Take what matters of the scores (q, w) of the rows ``first ..``; -inf is no candidate."""
        maxima = segment_maxima(scores, self._segment(scores.shape[1]))
        if not self._has_cut:
            self._raise_cut(kth_largest(self._coarser(maxima), self._k))
            self._has_cut = bool((self.kept.cut > LOWEST).all())
        row, column, score = passing(scores, maxima, self.kept.cut)
        self._add((row, column + first, score))

    def tighten(self) -> None:
        """Drop what the candidates known by now leave no chance."""
        self._raise_cut(kth_largest(self.kept.scores[:, : self._filled()], self._k))
        self._squeeze()

    def _segment(self, width: int) -> int:
        size = SEGMENT
        while size > 1 and (width % size or width // size < SPARE * self._k):
            size //= 2
        return size

    def _coarser(self, maxima: torch.Tensor) -> torch.Tensor:
        # The k-th largest of fewer values is found sooner, and is as good a bound.
        n = maxima.shape[1]
        for size in (8, 4, 2):
            if n % size == 0 and n // size >= SPARE * self._k:
                return segment_maxima(maxima, size)
        return maxima

    def _raise_cut(self, lowest: torch.Tensor) -> None:
        torch.maximum(self.kept.cut, self._bound.cut(self.rows, lowest), out=self.kept.cut)

    def _filled(self) -> int:
        return int(self.kept.counts.max()) if len(self.kept.counts) else 0

    def _add(self, entries: Entries) -> None:
        if self._append(entries):
            return
        self.tighten()
        entries = _above(entries, self.kept.cut)
        if not self._append(entries):
            self._merge(entries)

    def _append(self, entries: Entries) -> bool:
        """Put entries behind those of their rows; False where a row has no room for its own."""
        row, position, score = entries
        kept = self.kept
        new = _count(row, len(kept.counts))
        if int((kept.counts + new).max()) > kept.scores.shape[1]:
            return False
        column = kept.counts[row] + _rank(row, new)
        kept.positions[row, column] = position.int()
        kept.scores[row, column] = score
        kept.counts += new
        return True

    def _squeeze(self) -> None:
        """Remove candidates below the cut and close the gaps."""
        kept = self.kept
        m = self._filled()
        row, column = (kept.scores[:, :m] >= kept.cut[:, None]).nonzero(as_tuple=True)
        counts = _count(row, len(kept.counts))
        target = _rank(row, counts)
        for values, empty in (
            (kept.positions, -1),
            (kept.scores, -torch.inf),
            (kept.cosines, torch.nan),
        ):
            taken = values[row, column]
            values[:, :m] = empty
            values[row, target] = taken
        kept.counts.copy_(counts)

    def _merge(self, entries: Entries) -> None:
        """Add entries to rows that have no room for all of them, some rows at a time.

        What is close to rank k may still be too much, where many galaxies have one embedding.
        """
        kept = self.kept
        row, position, score = entries
        new = _count(row, len(kept.counts))
        columns = kept.scores.shape[1]
        for some in _groups(kept.counts + new):
            chosen = torch.zeros_like(kept.set_aside)
            chosen[some] = True
            mine = chosen[row]
            own = torch.full((len(some), int(new[some].max())), -torch.inf, device=score.device)
            index = torch.cumsum(chosen, dim=0) - 1
            own[index[row[mine]], _rank(row, new)[mine]] = score[mine]
            known = torch.cat([kept.scores[some], own], dim=1)
            lowest = torch.full_like(kept.cut, -torch.inf)
            lowest[some] = kth_largest(known, self._k)
            self._raise_cut(lowest)
        self._squeeze()
        row, position, score = _above((row, position, score), kept.cut)
        new = _count(row, len(kept.counts))
        crowded = kept.counts + new > columns
        kept.set_aside |= crowded
        kept.cut[crowded] = torch.inf
        self._squeeze()
        self._append(_above((row, position, score), kept.cut))


def kth_largest(values: torch.Tensor, k: int) -> torch.Tensor:
    """Return each row's k-th largest value of (q, m): (q,); -inf where there are fewer."""
    rows, m = values.shape
    if m < k:
        return torch.full((rows,), -torch.inf, device=values.device)
    return torch.kthvalue(values, m - k + 1, dim=1).values


def passing(scores: torch.Tensor, maxima: torch.Tensor, cut: torch.Tensor) -> Entries:
    """Find all scores (q, w) of at least each row's cut (q,), by the maxima of their segments."""
    n = maxima.shape[1]
    size = scores.shape[1] // n
    segments = (maxima >= cut[:, None]).view(-1).nonzero().squeeze(1)  # by rising row and column
    by_segment = scores.view(-1, size)
    found = []
    for some in torch.split(segments, max(_SEGMENT_VALUES // size, 1)):
        row = torch.div(some, n, rounding_mode="floor")
        values = by_segment.index_select(0, some)  # (s, size)
        which = (values >= cut[row][:, None]).view(-1).nonzero().squeeze(1)
        segment = torch.div(which, size, rounding_mode="floor")
        row = row[segment]
        column = some[segment] * size + which % size - row * scores.shape[1]
        found.append((row, column, values.view(-1)[which]))
    if len(found) == 1:
        return found[0]
    row, column, value = (torch.cat(parts) for parts in zip(*found, strict=True))
    return row, column, value


def _above(entries: Entries, cut: torch.Tensor) -> Entries:
    row, position, score = entries
    kept = score >= cut[row]
    return row[kept], position[kept], score[kept]


def _count(row: torch.Tensor, rows: int) -> torch.Tensor:
    """Count the entries of each of ``rows`` rows: ``row`` (c,) rising."""
    # Not bincount: thousands of neighboring entries would be added to one place.
    return torch.searchsorted(row.contiguous(), torch.arange(rows + 1, device=row.device)).diff()


def _rank(row: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Return the place of each entry within its row.

    Parameters
    ----------
    row
        (c,) rising.
    counts
        (q,) entries of each.
    """
    before = torch.cumsum(counts, dim=0) - counts
    return torch.arange(len(row), device=row.device) - before[row]


def _groups(sizes: torch.Tensor) -> list[torch.Tensor]:
    """Cut rows into groups of which each has at most so many candidates in a rectangle."""
    most = max(int(sizes.max()), 1)
    return list(
        torch.split(torch.arange(len(sizes), device=sizes.device), max(_SEGMENT_VALUES // most, 1))
    )
