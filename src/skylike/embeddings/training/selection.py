"""Which images are trained on: by kind, at random, or evenly over a column of the catalog."""

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Final

import numpy as np
import numpy.typing as npt

from skylike.embeddings.recipe import TrainRecipe
from skylike.errors import EmptyStageError, SettingsError
from skylike.images.index import NO_GALAXY, CutoutIndex
from skylike.progress import Progress

logger = logging.getLogger(__name__)

Positions = npt.NDArray[np.int64]

MOST_BINS: Final = 50
"""Bins of a uniform selection; 0.3 mag wide over the magnitudes 6 to 20 of the released code."""

LEAST_PER_BIN: Final = 10
"""Images asked of a bin on average: fewer images are taken from fewer bins."""


@dataclass(frozen=True)
class UniformReport:
    """How evenly images could be taken over the range of a column."""

    column: str
    """Of the table ``galaxy``."""

    edges: tuple[float, ...]
    """(n + 1) edges of the bins, ascending, in the unit of the column."""

    available: tuple[int, ...]
    """(n) images in each bin."""

    taken: tuple[int, ...]
    """(n) images taken of each bin."""

    without_galaxy: int
    """Images left out because they belong to no galaxy of the catalog."""

    without_value: int
    """Images left out because their galaxy has no value in the column."""

    @property
    def is_short(self) -> tuple[bool, ...]:
        """Which bins gave all that they had, and less than others did."""
        most = max(self.taken)
        return tuple(
            taken == available and taken < most - 1
            for available, taken in zip(self.available, self.taken, strict=True)
        )

    def summary(self) -> str:
        """Return what fits beside a bar of progress."""
        return f"{sum(self.is_short)} of {len(self.taken)} bins ran short"

    def sentences(self) -> list[str]:
        """Return the bins for people to read, neighbors that are alike put together."""
        told = []
        bins = zip(self.edges, self.edges[1:], self.taken, self.is_short, strict=False)
        for is_short, group in groupby(bins, key=lambda one: one[3]):
            run = list(group)
            counts = [taken for _, _, taken, _ in run]
            each = (
                f"{min(counts):,}" if len(set(counts)) == 1 else f"{min(counts):,}-{max(counts):,}"
            )
            told.append(
                f"{self.column} {run[0][0]:.4g} to {run[-1][1]:.4g}: {each} images in each of "
                f"{len(run)} bins, {sum(counts):,} in all"
                + (" (short: all there are)" if is_short else "")
            )
        if self.without_galaxy or self.without_value:
            told.append(
                f"left out: {self.without_galaxy:,} images that belong to no galaxy, "
                f"{self.without_value:,} whose galaxy has no {self.column}"
            )
        return told

    def to_dict(self) -> dict[str, object]:
        """Return plain values, for JSON; :meth:`from_dict` reads them back."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> "UniformReport":
        """Make a report of what :meth:`to_dict` returned."""
        plain = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**plain)  # type: ignore[arg-type] # JSON that we wrote


@dataclass(frozen=True)
class Selection:
    """The images of a training run."""

    index: CutoutIndex
    """In the order of the disk."""

    uniform: UniformReport | None = None
    """Where they were taken evenly over a column."""


def choose_images(
    index: CutoutIndex,
    recipe: TrainRecipe,
    *,
    kind: str | None = None,
    column: npt.NDArray[np.floating] | None = None,
) -> Selection:
    """Choose what to train on.

    Parameters
    ----------
    index
        All cutouts, with or without a galaxy.
    kind
        ``"flux"`` or ``"rgb"`` only; None takes what the recipe's input can use, and of a galaxy
        that has both its fluxes.
    column
        (n,) what each cutout's galaxy has in the column ``recipe.uniform_in``; NaN where it has
        nothing. Not used where the recipe names no column.

    Raises
    ------
    SettingsError
        Pictures for a network that sees fluxes; fewer images than one batch; a column that is not
        given, or that none of the images has.
    EmptyStageError
        There are no images of that kind.
    """
    chosen = _usable(index, recipe, kind)
    report = None
    generator = np.random.default_rng(recipe.seed)
    if recipe.uniform_in:
        chosen, report = _uniform(index, chosen, recipe, column)
    elif recipe.galaxies and recipe.galaxies < len(chosen):
        chosen = np.sort(generator.choice(chosen, recipe.galaxies, replace=False))
    if len(chosen) < recipe.batch_size:
        raise SettingsError(
            f"there are {len(chosen):,} images to train on, fewer than one batch of "
            f"{recipe.batch_size}; add more, or lower --batch-size"
        )
    return Selection(index.take(chosen), report)


def announce(selection: Selection, progress: Progress) -> None:
    """Show before a long training how even a selection has become."""
    report, n = selection.uniform, len(selection.index)
    if report is None:
        return
    with progress.task(f"uniform in {report.column}", total=n, unit="images") as task:
        task.advance(n)
        task.note(report.summary())
    for sentence in report.sentences():
        logger.info("%s", sentence)


def _usable(index: CutoutIndex, recipe: TrainRecipe, kind: str | None) -> Positions:
    if kind == "rgb" and recipe.input == "flux":
        raise SettingsError(
            f"recipe {recipe.name!r} sees fluxes and cannot be trained on pictures; "
            "use a recipe with rgb input, such as `small`"
        )
    flux, pictures = index.of_kind("flux"), index.of_kind("rgb")
    if kind == "flux" or recipe.input == "flux":
        chosen = flux
    elif kind == "rgb":
        chosen = pictures
    else:
        galaxy = index.galaxy_id[pictures]
        is_double = (galaxy != NO_GALAXY) & np.isin(galaxy, index.galaxy_id[flux])
        chosen = np.sort(np.concatenate([flux, pictures[~is_double]]))
    if not len(chosen):
        raise EmptyStageError(
            f"there are no cutouts to train recipe {recipe.name!r} on; "
            "run `skylike images add` first"
        )
    return chosen


def _uniform(
    index: CutoutIndex,
    usable: Positions,
    recipe: TrainRecipe,
    column: npt.NDArray[np.floating] | None,
) -> tuple[Positions, UniformReport]:
    """Take ``recipe.galaxies`` of the usable images, evenly over the range of a column."""
    name = recipe.uniform_in
    if column is None:
        raise SettingsError(
            f"uniform_in {name!r} is a column of the catalog, and these images are not in it; "
            "train on the images of the database, or leave it out"
        )
    values = column[usable]
    has_value = np.isfinite(values)
    if not has_value.any():
        raise SettingsError(
            f"--uniform-in {name}: none of the {len(usable):,} images belongs to a galaxy with "
            "a value there; choose another column"
        )
    without_galaxy = int((index.galaxy_id[usable] == NO_GALAXY).sum())
    candidates, values = usable[has_value], values[has_value].astype(np.float64)
    n_bins = int(np.clip(recipe.galaxies // LEAST_PER_BIN, 1, MOST_BINS))
    edges = np.linspace(values.min(), values.max(), n_bins + 1)
    bins = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, n_bins - 1)
    available = np.bincount(bins, minlength=n_bins)
    generator = np.random.default_rng(recipe.seed)
    taken = even_counts(available, recipe.galaxies, generator)
    order = generator.permutation(len(candidates))
    order = order[np.argsort(bins[order], kind="stable")]  # bin by bin, at random within each
    starts = np.cumsum(available) - available
    place = np.arange(len(order)) - np.repeat(starts, available)
    kept = order[place < np.repeat(taken, available)]
    report = UniformReport(
        column=name,
        edges=tuple(float(edge) for edge in edges),
        available=tuple(int(count) for count in available),
        taken=tuple(int(count) for count in taken),
        without_galaxy=without_galaxy,
        without_value=len(usable) - len(candidates) - without_galaxy,
    )
    return np.sort(candidates[kept]), report


def even_counts(
    available: npt.NDArray[np.int64], wanted: int, generator: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Return how many to take of each bin: the same of all, and all of those that have less.

    Parameters
    ----------
    available
        (n,) what each bin has.
    wanted
        In all; where there are fewer, all are taken.
    generator
        Draws which bins give the one more that does not divide evenly.
    """
    level = 0
    left = min(wanted, int(available.sum()))
    while True:
        rest = np.maximum(available - level, 0)
        open_bins = np.flatnonzero(rest)
        share = left // len(open_bins) if len(open_bins) else 0
        if not share:
            break
        share = min(share, int(rest[open_bins].min()))
        level, left = level + share, left - share * len(open_bins)
    taken = np.minimum(available, level)
    taken[generator.permutation(open_bins)[:left]] += 1
    return taken


def column_of(
    index: CutoutIndex,
    galaxy_id: npt.NDArray[np.integer],
    values: npt.NDArray[np.floating],
) -> npt.NDArray[np.float64]:
    """Bring values of galaxies to their cutouts.

    Parameters
    ----------
    galaxy_id
        (g,) ascending.
    values
        (g,) of these galaxies.

    Returns
    -------
    ndarray
        (n,) for each cutout of the index, NaN where its galaxy is not among them.
    """
    column = np.full(len(index), np.nan)
    if len(galaxy_id):
        place = np.minimum(np.searchsorted(galaxy_id, index.galaxy_id), len(galaxy_id) - 1)
        found = galaxy_id[place] == index.galaxy_id
        column[found] = values[place[found]]
    return column
