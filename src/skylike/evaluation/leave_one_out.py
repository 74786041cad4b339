"""How well the known objects of a rare kind find each other: recall of lists, leave-one-out.

Two ways of asking. *One example*: the list of each known object, itself left out, is searched for
all the others. *All but one*: the others together are the examples, and the one left out is looked
for. Ranks are exact: all galaxies are compared (:mod:`skylike.evaluation.cosines`).

Where a sample holds more of the kind than the sky does, lists are judged with sets drawn from the
known objects, as few as the sky would have among the same other galaxies; what is reported is the
mean over many draws. Ranks among the other galaxies do not depend on who else is known, so that all
draws are counted in one pass.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from skylike.errors import SettingsError
from skylike.evaluation.bootstrap import Estimate, estimate_mean
from skylike.evaluation.chance import median_first_rank
from skylike.evaluation.cosines import TIED, Batches, GalaxyIds, Standing, count_better
from skylike.evaluation.medians import estimate_median
from skylike.progress import Task

Units = npt.NDArray[np.float64]
Ranks = npt.NDArray[np.int64]
Combine = Callable[[Units], npt.NDArray[np.float64]]
"""Unit vectors of some examples (m, d) to one direction (d,) of unit length."""

ONE_EXAMPLE: Final = "one example"

MEAN: Final = "all but one, their mean"

_GROUP_QUERIES: Final = 2000
"""Most queries of groups of examples for each way to combine: further draws have none."""


@dataclass(frozen=True, eq=False)
class Known:
    """Embeddings of the known objects."""

    galaxy_ids: GalaxyIds
    """(l,)"""

    units: Units
    """(l, d) of unit length."""


@dataclass(frozen=True)
class RecallAtK:
    """How many of what there is to find are within the first k, over queries."""

    k: int
    mean: Estimate
    median: float
    """Over the queries of a draw, averaged over draws."""

    best: float
    """Of the best query of a draw, averaged over draws."""

    chance: float
    """Of lists drawn at random."""


@dataclass(frozen=True)
class Retrieval:
    """How deep known objects stand in the lists of one way of asking."""

    way: str
    known: int
    """Known objects in each draw."""

    others: int
    """Galaxies that are not known to be of the kind, among which they must be found."""

    draws: int
    """1 where all known objects were taken."""

    recalls: tuple[RecallAtK, ...]
    first_rank: Estimate
    """Median over queries of the rank of the first known object: how deep one must look."""

    first_rank_best: int
    first_rank_chance: float
    """Median of the same in lists drawn at random."""


def mean_of_units(units: Units) -> npt.NDArray[np.float64]:
    """Combine examples (m, d) to their mean, (d,) of unit length.

    Raises
    ------
    SettingsError
        They cancel each other.
    """
    mean: npt.NDArray[np.float64] = units.mean(axis=0)
    length = float(np.linalg.norm(mean))
    if length < TIED:
        raise SettingsError("the known objects point in opposite directions and cancel each other")
    mean /= length
    return mean


def judge_known(
    known: Known,
    batches: Batches,
    others: int,
    *,
    depths: Sequence[int],
    draws: Sequence[npt.NDArray[np.int64]] | None = None,
    combine: Mapping[str, Combine] | None = None,
    task: Task,
    seed: int = 0,
) -> list[Retrieval]:
    """Rank known objects in each other's lists.

    Parameters
    ----------
    known
        The objects, l of them.
    batches
        Embeddings of all other galaxies.
    others
        How many these are.
    depths
        k of each recall.
    draws
        Places (m,) of the known objects in each draw, all of one size of at least 2; None takes all
        once.
    combine
        By name, ways to make one query of several examples; None takes :func:`mean_of_units`.

    Returns
    -------
    list of Retrieval
        For one example, then for each way to combine (of as many draws as 2,000 queries allow).
    """
    units, galaxy_ids = known.units, known.galaxy_ids
    sets = [np.arange(len(units))] if draws is None else list(draws)
    size = len(sets[0])
    if size < 2:
        raise SettingsError("one known object has no other to find; give at least 2")
    ways = combine or {MEAN: mean_of_units}
    group_sets = sets[: max(1, _GROUP_QUERIES // size)]
    cosines = units @ units.T  # (l, l)
    standings = [Standing(units, cosines, np.broadcast_to(galaxy_ids, cosines.shape))]
    standings += [_group_standing(units, galaxy_ids, group_sets, way) for way in ways.values()]
    better = count_better(standings, batches, task=task)
    single = [_ranks(cosines, better[0], galaxy_ids, chosen) for chosen in sets]
    found = [_summarize(ONE_EXAMPLE, sets, single, others, depths, seed)]
    for name, counts in zip(ways, better[1:], strict=True):
        ranks = (counts + 1).reshape(len(group_sets), size, 1)
        found.append(_summarize(name, group_sets, list(ranks), others, depths, seed))
    return found


def draw_sets(n_known: int, others: int, *, rate: float, draws: int, seed: int) -> list[Ranks]:
    """Draw sets of known objects that are as rare among the others as ``rate`` says.

    Parameters
    ----------
    rate
        Known objects among all galaxies, such as 0.001.

    Returns
    -------
    list of ndarray
        Places (m,), ascending, for each draw.

    Raises
    ------
    SettingsError
        The known objects are rarer than that already, or fewer than 2 would be left.
    """
    if not 0 < rate < 1:
        raise SettingsError(f"--thin {rate:g} is not a share between 0 and 1, such as 0.001")
    if draws < 1:
        raise SettingsError(f"--draws {draws}: use at least 1")
    size = round(others * rate / (1.0 - rate))
    if size < 2:
        raise SettingsError(
            f"--thin {rate:g} leaves {size} known objects among {others:,} others; "
            f"a list needs 2: thin to {2 / (others + 2):.2g} or above, or take more galaxies"
        )
    if size > n_known:
        there = n_known / (n_known + others)
        raise SettingsError(
            f"--thin {rate:g}: the {n_known:,} known objects are {there:.2g} of all galaxies, "
            "rarer than that already; leave --thin out"
        )
    generator = np.random.default_rng(seed)
    return [np.sort(generator.choice(n_known, size, replace=False)) for _ in range(draws)]


def _group_standing(
    units: Units, galaxy_ids: GalaxyIds, sets: Sequence[Ranks], combine: Combine
) -> Standing:
    """Ask with all but one of each set for the one left out."""
    queries = np.array([combine(units[rest]) for _, rest in _left_out(sets)])  # (q, d)
    left = np.array([place for place, _ in _left_out(sets)])  # (q,)
    cosines = np.vecdot(queries, units[left])  # (q,)
    return Standing(queries, cosines[:, None], galaxy_ids[left][:, None])


def _left_out(sets: Sequence[Ranks]) -> Iterator[tuple[int, Ranks]]:
    for chosen in sets:
        for place in chosen.tolist():
            yield place, chosen[chosen != place]


def _ranks(
    cosines: npt.NDArray[np.float64], better: Ranks, galaxy_ids: GalaxyIds, chosen: Ranks
) -> Ranks:
    """Return the ranks of the others of a set in the list of each, (m, m - 1), rising."""
    m = len(chosen)
    block = np.ix_(chosen, chosen)
    steps = np.floor(cosines[block] / TIED)  # (m, m)
    np.fill_diagonal(steps, np.inf)  # itself comes first, and is not counted
    order = np.lexsort((np.broadcast_to(galaxy_ids[chosen], (m, m)), -steps), axis=1)[:, 1:]
    before = np.take_along_axis(better[block], order, axis=1)  # (m, m - 1)
    # A better known object never has more others before it than a worse one.
    return before + np.arange(1, m)


def _summarize(
    way: str,
    sets: Sequence[Ranks],
    ranks: Sequence[Ranks],
    others: int,
    depths: Sequence[int],
    seed: int,
) -> Retrieval:
    """Average ranks: for each draw (m, t) of the t objects that each of m queries looks for."""
    size, wanted = ranks[0].shape
    among = others + wanted
    owner = np.concatenate(sets)
    all_ranks = np.stack(ranks)  # (draws, m, t)
    recalls = []
    for k in depths:
        shares = (all_ranks <= k).mean(axis=2)  # (draws, m)
        recalls.append(
            RecallAtK(
                k=k,
                mean=estimate_mean(_by_owner(shares.ravel(), owner), seed=seed),
                median=float(np.median(shares, axis=1).mean()),
                best=float(shares.max(axis=1).mean()),
                chance=min(k, among) / among,
            )
        )
    first = all_ranks.min(axis=2)  # (draws, m)
    return Retrieval(
        way=way,
        known=size,
        others=others,
        draws=len(sets),
        recalls=tuple(recalls),
        first_rank=estimate_median(_medians_by_owner(first.ravel(), owner), seed=seed),
        first_rank_best=int(first.min()),
        first_rank_chance=median_first_rank(among, wanted),
    )


def _by_owner(
    values: npt.NDArray[np.generic], owner: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Average the values of each known object over the draws that it is in."""
    _, place, counts = np.unique(owner, return_inverse=True, return_counts=True)
    return np.bincount(place, weights=values.astype(np.float64)) / counts


def _medians_by_owner(
    values: npt.NDArray[np.int64], owner: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Return the median of each known object over its draws: a mean of ranks is its worst ones."""
    order = np.argsort(owner, kind="stable")
    starts = np.flatnonzero(np.diff(owner[order], prepend=-1))[1:]
    return np.array([np.median(own) for own in np.split(values[order], starts)])
