"""Stored lists beside a float64 brute force that shares no code with the search.

It compares every sampled galaxy with every other, applies the window's rule to each pair as it is
written, and sorts everything. All embeddings are streamed once.

A run is held to what it has read. Where galaxies have changed since, a list is compared as far as
that still determines it: of k entries, s of galaxies that are not what they were, the other k - s
must be the k - s most similar of the galaxies that are.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skylike.neighbors.similarity_codes import LARGEST_STEP, stored_error
from skylike.neighbors.staleness import InputWatch, RunInput, find
from skylike.progress import Task

GalaxyIds = npt.NDArray[np.int32]
Cosines = npt.NDArray[np.float64]
Batches = Iterable[tuple[GalaxyIds, npt.NDArray[np.float16]]]
StoredList = tuple[GalaxyIds, npt.NDArray[np.float32]]
StoredLists = Mapping[int, StoredList]

SIMILARITY_TOLERANCE = stored_error(float(LARGEST_STEP))
"""Largest error of a stored similarity, 4.95e-4: what coding it in a byte may cost in a list of the
widest span (:mod:`skylike.neighbors.similarity_codes`), and the error of the search before."""

CONFIDENCE = 0.95
"""Of the statement that a sample without a wrong list allows."""


@dataclass(frozen=True)
class Verification:
    """How the lists of a sample of galaxies compare with the truth."""

    galaxies: int
    """Lists compared: those of the sample's galaxies that are what they were."""

    neighbors: int
    """Entries that those lists should have."""

    missing: int
    """Of these, entries that the lists have not."""

    order_errors: int
    """Entries that stand where another belongs, or that k more similar galaxies leave no room."""

    window_violations: int
    """Listed galaxies that are no candidates: outside the window, itself, listed twice, or not
    among those that the run compared."""

    similarity_error: float
    """Largest difference between a stored similarity and the true one."""

    wrong_lists: int
    """Lists with any of these."""

    current_recall: float
    """Fraction of the neighbors that the sample's galaxies have by the galaxies of today, changed
    and new ones included, that are in their lists."""

    @property
    def recall(self) -> float:
        """Fraction of the true neighbors that are in the lists."""
        return 1.0 - self.missing / self.neighbors if self.neighbors else 1.0

    @property
    def is_perfect(self) -> bool:
        """Whether every list is what it should be."""
        return self.wrong_lists == 0


def least_fraction_right(sample: int, population: int) -> float:
    """Bound the fraction of right lists from below after a random sample without a wrong one.

    If a fraction f of all lists is right, ``sample`` right ones in a row have a chance of at most
    f^sample; below the bound that is less than 5 %. (About 1 - 3 / sample, the "rule of three".)
    It counts lists, not entries: entries of one list are wrong together. So it bounds recall too.
    """
    if sample >= population:
        return 1.0
    return float((1.0 - CONFIDENCE) ** (1.0 / sample)) if sample else 0.0


@dataclass(frozen=True)
class Rules:
    """Who is whose candidate."""

    galaxy_ids: GalaxyIds
    """(n,) all galaxies with an embedding, ascending."""

    magnitudes: npt.NDArray[np.float32]
    """(n,) NaN where unknown."""

    width: float | None
    """Largest difference of magnitudes; None for no window."""

    k: int

    def magnitudes_of(self, ids: GalaxyIds) -> npt.NDArray[np.float32]:
        """Look magnitudes up; NaN also for galaxies that are not there."""
        place, known = find(ids, self.galaxy_ids)
        magnitudes = np.full(len(ids), np.nan, np.float32)
        magnitudes[known] = self.magnitudes[place[known]]
        return magnitudes

    def are_candidates(self, ids: GalaxyIds, others: GalaxyIds) -> npt.NDArray[np.bool_]:
        """Tell who of ``others`` (b,) may be in the list of each of ``ids`` (m,): (m, b)."""
        allowed: npt.NDArray[np.bool_] = ids[:, None] != others[None, :]  # (m, b)
        if self.width is None:
            return allowed
        own = self.magnitudes_of(ids).astype(np.float64)[:, None]
        theirs = self.magnitudes_of(others).astype(np.float64)[None, :]
        known, others_known = np.isfinite(own), np.isfinite(theirs)
        with np.errstate(invalid="ignore"):
            near = np.abs(own - theirs) <= self.width
        allowed &= np.where(known & others_known, near, known == others_known)
        return allowed


def verify_lists(
    stored: StoredLists,
    queries: tuple[GalaxyIds, npt.NDArray[np.float16]],
    batches: Batches,
    rules: Rules,
    task: Task,
    *,
    watch: InputWatch | None = None,
) -> Verification:
    """Compare stored lists with a brute force over all embeddings.

    Parameters
    ----------
    stored
        Lists by galaxy identifier; a sampled galaxy without one counts as an empty list.
    queries
        The sample: identifiers (m,) and vectors (m, d).
    batches
        All embeddings, the sample's among them.
    rules
        By today's magnitudes.
    watch
        Knows what the run has read, and has seen all batches afterwards. None: the run has read
        what the batches and the rules say.
    """
    if watch is None:
        watch = InputWatch(RunInput(rules.galaxy_ids, None, np.empty(0, np.int32)))
    usable = _norms(queries[1].astype(np.float64))[1]
    ids, vectors = queries[0][usable], queries[1][usable]
    then, now = _brute_force((ids, vectors), batches, rules, watch, task)
    empty = (np.empty(0, np.int32), np.empty(0, np.float32))
    lists = [stored.get(int(galaxy_id), empty) for galaxy_id in ids]
    marks = [
        _compare(int(ids[row]), lists[row], then.list_of(row), rules, watch)
        for row in np.flatnonzero(watch.are_same(ids)).tolist()
    ]
    present = [now.list_of(row)[0] for row in range(len(ids))]
    wanted = sum(len(true) for true in present)
    listed = sum(
        len(np.intersect1d(own[0], true)) for own, true in zip(lists, present, strict=True)
    )
    return Verification(
        galaxies=len(marks),
        neighbors=sum(mark.neighbors for mark in marks),
        missing=sum(mark.missing for mark in marks),
        order_errors=sum(mark.order_errors for mark in marks),
        window_violations=sum(mark.violations for mark in marks),
        similarity_error=max((mark.similarity_error for mark in marks), default=0.0),
        wrong_lists=sum(mark.is_wrong for mark in marks),
        current_recall=listed / wanted if wanted else 1.0,
    )


@dataclass(frozen=True)
class _Marks:
    """How one list compares."""

    neighbors: int
    missing: int
    order_errors: int
    violations: int
    similarity_error: float

    @property
    def is_wrong(self) -> bool:
        return bool(
            self.missing
            or self.order_errors
            or self.violations
            or self.similarity_error > SIMILARITY_TOLERANCE
        )


def _compare(
    galaxy_id: int,
    stored: StoredList,
    truth: tuple[GalaxyIds, Cosines],
    rules: Rules,
    watch: InputWatch,
) -> _Marks:
    ids, similarities = stored
    first = np.sort(np.unique(ids, return_index=True)[1])
    repeated = len(ids) - len(first)
    if len(similarities) != len(ids):  # cannot be told which is whose
        similarities = np.full(len(ids), np.nan, np.float32)
    ids, similarities = ids[first], similarities[first]
    known, same = watch.were_there(ids), watch.are_same(ids)
    allowed = rules.are_candidates(np.array([galaxy_id], np.int32), ids)[0] & known
    undecided = int(np.count_nonzero(known & ~same))
    room = max(rules.k - undecided, 0)
    true_ids, true_similarities = truth[0][:room], truth[1][:room]

    is_true = np.isin(ids, true_ids)
    is_found = np.isin(true_ids, ids)
    listed, found = ids[is_true], true_ids[is_found]
    by_id = np.argsort(found)
    place = by_id[np.searchsorted(found, listed, sorter=by_id)]  # of each listed one in found
    off = np.abs(similarities[is_true] - true_similarities[is_found][place])
    too_far = int(np.count_nonzero(same & allowed & ~is_true))
    return _Marks(
        neighbors=len(true_ids),
        missing=len(true_ids) - len(found),
        order_errors=int(np.count_nonzero(listed != found)) + too_far,
        violations=int(np.count_nonzero((same | ~known) & ~allowed)) + repeated,
        similarity_error=float(np.nan_to_num(off, nan=np.inf).max(initial=0.0)),
    )


class _Nearest:
    """The k most similar candidates of m galaxies, ties by identifier, batch after batch."""

    def __init__(self, m: int, k: int) -> None:
        self._k = k
        self._ids = np.empty((m, 0), np.int32)
        self._cosines = np.empty((m, 0))

    def offer(self, ids: GalaxyIds, cosines: Cosines) -> None:
        """Look at candidates (b,), -inf in ``cosines`` (m, b) where they are none."""
        worst = np.full((len(cosines), 1), -np.inf)  # (m, 1)
        if self._cosines.shape[1] == self._k:
            worst = self._cosines[:, -1:]
        column = np.flatnonzero(((cosines >= worst) & (cosines > -np.inf)).any(axis=0))
        if not len(column):
            return
        both = np.concatenate([self._cosines, cosines[:, column]], axis=1)
        theirs = np.broadcast_to(ids[column], (len(both), len(column)))
        both_ids = np.concatenate([self._ids, theirs], axis=1)
        order = np.lexsort((both_ids, -both), axis=1)[:, : self._k]
        self._cosines = np.take_along_axis(both, order, axis=1)
        self._ids = np.take_along_axis(both_ids, order, axis=1)

    def list_of(self, row: int) -> tuple[GalaxyIds, Cosines]:
        """Return the list of one of the m galaxies."""
        filled = self._cosines[row] > -np.inf
        return self._ids[row][filled], self._cosines[row][filled]


def _norms(vectors: npt.NDArray[np.float64]) -> tuple[Cosines, npt.NDArray[np.bool_]]:
    """Return the lengths (n,) of vectors (n, d), and which have a direction."""
    lengths = np.sqrt((vectors * vectors).sum(axis=1))
    return lengths, np.isfinite(lengths) & (lengths > 0)


def _brute_force(
    queries: tuple[GalaxyIds, npt.NDArray[np.float16]],
    batches: Batches,
    rules: Rules,
    watch: InputWatch,
    task: Task,
) -> tuple[_Nearest, _Nearest]:
    """Find the neighbors among the galaxies that are what they were, and among all of today."""
    ids, exact = queries[0], queries[1].astype(np.float64)  # (m, d)
    lengths = _norms(exact)[0]
    then, now = _Nearest(len(ids), rules.k), _Nearest(len(ids), rules.k)
    for batch_ids, batch in batches:
        theirs = batch.astype(np.float64)  # (b, d)
        their_lengths, usable = _norms(theirs)
        others, theirs, their_lengths = batch_ids[usable], theirs[usable], their_lengths[usable]
        same = watch.see(others, batch[usable], rules.magnitudes_of(others))
        cosines = (exact @ theirs.T) / (lengths[:, None] * their_lengths[None, :])  # (m, b)
        cosines[~rules.are_candidates(ids, others)] = -np.inf
        now.offer(others, cosines)
        then.offer(others[same], cosines[:, same])
        task.advance(len(batch_ids))
    return then, now
