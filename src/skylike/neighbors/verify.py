"""Stored lists beside a float64 brute force that shares no code with the search.

It compares every sampled galaxy with every other, applies the window's rule to each pair as it is
written, and sorts everything. All embeddings are streamed once.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skylike.progress import Task

GalaxyIds = npt.NDArray[np.int32]
Batches = Iterable[tuple[GalaxyIds, npt.NDArray[np.float16]]]
StoredLists = Mapping[int, tuple[GalaxyIds, npt.NDArray[np.float32]]]

SIMILARITY_TOLERANCE = 5e-6
"""Largest error of a stored similarity that the search's error bound allows."""


@dataclass(frozen=True)
class Verification:
    """How the lists of a sample of galaxies compare with the truth."""

    galaxies: int
    """In the sample."""

    recall: float
    """Fraction of the true neighbors that are in the lists."""

    order_errors: int
    """Ranks that hold another galaxy than the truth has there."""

    window_violations: int
    """Listed galaxies that are no candidates: outside the window, itself, or not there."""

    similarity_error: float
    """Largest difference between a stored similarity and the true one."""

    @property
    def is_perfect(self) -> bool:
        """Whether every list is what it should be."""
        return (
            self.recall == 1.0
            and self.order_errors == 0
            and self.window_violations == 0
            and self.similarity_error <= SIMILARITY_TOLERANCE
        )


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

    def magnitudes_of(self, ids: GalaxyIds) -> npt.NDArray[np.float64]:
        """Look magnitudes up; NaN also for galaxies that are not there."""
        if not len(self.galaxy_ids):
            return np.full(len(ids), np.nan)
        place = np.minimum(np.searchsorted(self.galaxy_ids, ids), len(self.galaxy_ids) - 1)
        magnitudes = self.magnitudes[place].astype(np.float64)
        magnitudes[self.galaxy_ids[place] != ids] = np.nan
        return magnitudes

    def are_candidates(self, ids: GalaxyIds, others: GalaxyIds) -> npt.NDArray[np.bool_]:
        """Tell who of ``others`` (b,) may be in the list of each of ``ids`` (m,): (m, b)."""
        allowed: npt.NDArray[np.bool_] = ids[:, None] != others[None, :]  # (m, b)
        if self.width is None:
            return allowed
        own, theirs = self.magnitudes_of(ids)[:, None], self.magnitudes_of(others)[None, :]
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
    """
    truth = _brute_force(queries, batches, rules, task)
    found = wanted = order_errors = violations = 0
    error = 0.0
    empty = (np.empty(0, np.int32), np.empty(0, np.float32))
    for galaxy_id, (true_ids, true_similarities) in truth.items():
        ids, similarities = stored.get(galaxy_id, empty)
        wanted += len(true_ids)
        found += len(np.intersect1d(ids, true_ids))
        shared = min(len(ids), len(true_ids))
        order_errors += int((ids[:shared] != true_ids[:shared]).sum())
        order_errors += abs(len(ids) - len(true_ids))
        allowed = rules.are_candidates(np.array([galaxy_id], np.int32), ids)[0]
        violations += int((~allowed | ~np.isin(ids, rules.galaxy_ids)).sum())
        same = ids[:shared] == true_ids[:shared]
        off = np.abs(similarities[:shared][same] - true_similarities[:shared][same])
        error = max(error, float(off.max(initial=0.0)))
    recall = found / wanted if wanted else 1.0
    return Verification(len(truth), recall, order_errors, violations, error)


def _brute_force(
    queries: tuple[GalaxyIds, npt.NDArray[np.float16]], batches: Batches, rules: Rules, task: Task
) -> dict[int, tuple[GalaxyIds, npt.NDArray[np.float64]]]:
    ids, vectors = queries
    exact = vectors.astype(np.float64)  # (m, d)
    lengths = np.sqrt((exact * exact).sum(axis=1))
    best_ids = np.empty((len(ids), 0), np.int32)
    best = np.empty((len(ids), 0))
    for batch_ids, batch in batches:
        theirs = batch.astype(np.float64)  # (b, d)
        their_lengths = np.sqrt((theirs * theirs).sum(axis=1))
        usable = np.isfinite(their_lengths) & (their_lengths > 0)
        others, theirs, their_lengths = batch_ids[usable], theirs[usable], their_lengths[usable]
        cosines = (exact @ theirs.T) / (lengths[:, None] * their_lengths[None, :])  # (m, b)
        cosines[~rules.are_candidates(ids, others)] = -np.inf
        best = np.concatenate([best, cosines], axis=1)
        best_ids = np.concatenate([best_ids, np.broadcast_to(others, cosines.shape)], axis=1)
        order = np.lexsort((best_ids, -best), axis=1)[:, : rules.k]
        best = np.take_along_axis(best, order, axis=1)
        best_ids = np.take_along_axis(best_ids, order, axis=1)
        task.advance(len(batch_ids))
    return {
        int(galaxy_id): (own[similar > -np.inf], similar[similar > -np.inf])
        for galaxy_id, own, similar in zip(ids, best_ids, best, strict=True)
    }
