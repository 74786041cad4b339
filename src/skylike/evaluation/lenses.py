"""``skylike evaluate lenses``: known rare objects of the catalog in each other's lists."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, Engine

from skylike.database.engine import connect
from skylike.database.snapshot import begin_snapshot
from skylike.embeddings.compact import CompactBasis
from skylike.embeddings.store import fetch_compact_basis
from skylike.errors import EmptyStageError, SettingsError
from skylike.evaluation import store
from skylike.evaluation.cosines import Batches, unit_rows
from skylike.evaluation.known_objects import KnownList, find_known
from skylike.evaluation.leave_one_out import (
    MEAN,
    Combine,
    Known,
    Retrieval,
    Units,
    draw_sets,
    judge_known,
    mean_of_units,
)
from skylike.evaluation.store import Population
from skylike.evaluation.subject import Subject, describe_record
from skylike.progress import SILENT, Progress
from skylike.search.examples import Example, combine

DEPTHS: Final = (10, 100, 1000)
"""Ranks down to which recall is counted: the paper's authors looked through the top hundreds."""

MAXIMUM_KNOWN: Final = 4000
"""Known objects taken: each in the list of each other is 16 million ranks, 128 MB."""

MAXIMUM_GROUP: Final = 500
"""Known objects that are combined as examples as search does it: one direction each."""

AS_SEARCH: Final = "all but one, as search combines them"


@dataclass(frozen=True)
class LensOptions:
    """What is asked.

    Raises
    ------
    SettingsError
        A number is out of range.
    """

    depths: tuple[int, ...] = DEPTHS
    among: int | None = None
    """Other galaxies, drawn at random; None takes all."""

    thin: float | None = None
    """Share of all galaxies that known objects are to have; None takes all known objects."""

    draws: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.depths or min(self.depths) < 1:
            raise SettingsError(f"-k {list(self.depths)}: use ranks from 1")
        if self.among is not None and self.among < 1:
            raise SettingsError(f"--among {self.among}: use at least 1")
        if self.thin is not None and not 0 < self.thin < 1:
            raise SettingsError(f"--thin {self.thin:g}: use a share such as 0.001")
        if self.draws < 1:
            raise SettingsError(f"--draws {self.draws}: use at least 1")
        if self.seed < 0:
            raise SettingsError(f"seed {self.seed}: use 0 or more")


@dataclass(frozen=True)
class LensReport:
    """How well the known objects of a list find each other."""

    encoder: Subject
    labels: str
    """File name of the list."""

    label_column: str | None
    value: str | None
    rows: int
    """Rows of the list."""

    left_out: Mapping[str, int]
    """Rows that are not used, by reason."""

    largest_separation_arcsec: float | None
    matched: int
    """Galaxies of the catalog that the list names."""

    without_embedding: int
    """Of these, galaxies that could not be searched for or with."""

    set_aside: int
    """Of the others, galaxies beyond the 4,000 that are taken; nobody's results either."""

    known: int
    others: int
    """Galaxies among which they must be found."""

    thin: float | None
    seed: int
    retrievals: tuple[Retrieval, ...]


def evaluate_lenses(
    engine: Engine,
    listed: KnownList,
    *,
    encoder: str | None = None,
    options: LensOptions | None = None,
    progress: Progress = SILENT,
) -> LensReport:
    """Look for the known objects of a list by each other, by brute force in float64.

    Parameters
    ----------
    encoder
        None takes the active one.

    Raises
    ------
    SurveyFileError, SettingsError, GalaxyNotFoundError
        See :func:`skylike.evaluation.known_objects.find_known` and
        :func:`skylike.evaluation.leave_one_out.draw_sets`.
    EncoderNotFoundError
        There is no such encoder, or none is active.
    EmptyStageError
        Fewer than two known objects have an embedding, or there is no other galaxy.
    """
    chosen = options or LensOptions()
    generator = np.random.default_rng(chosen.seed)
    with connect(engine) as connection:
        begin_snapshot(connection)
        everything = store.fetch_population(connection, encoder)
        found = find_known(connection, listed)
        ids, vectors = store.fetch_usable(connection, everything.record, found.galaxy_ids)
        if len(ids) < 2:
            raise EmptyStageError(
                f"{listed.path}: {len(ids)} of the {len(found.galaxy_ids):,} galaxies that it "
                f"names have an embedding of encoder {everything.record.name!r}; two are the "
                "least: run `skylike embed`, or give a longer list"
            )
        taken = np.sort(generator.choice(len(ids), min(len(ids), MAXIMUM_KNOWN), replace=False))
        others = everything.take(~np.isin(everything.galaxy_ids, found.galaxy_ids))
        others = others.draw(chosen.among, generator)
        n_others = len(others.galaxy_ids)
        if not n_others:
            raise EmptyStageError(
                "every galaxy with an embedding is a known object; there is nothing to tell them "
                "from: load and embed more galaxies, or give --label-column and --value"
            )
        draws = None
        if chosen.thin is not None:
            draws = draw_sets(
                len(taken), n_others, rate=chosen.thin, draws=chosen.draws, seed=chosen.seed
            )
        basis = fetch_compact_basis(connection, everything.record.encoder_id)
        batches = _others(connection, everything, others, n_asked=chosen.among)
        with progress.task("Ranking", total=n_others) as task:
            retrievals = judge_known(
                Known(ids[taken], unit_rows(vectors[taken])),
                batches,
                n_others,
                depths=chosen.depths,
                draws=draws,
                combine=_ways(basis, len(taken) if draws is None else len(draws[0])),
                task=task,
                seed=chosen.seed,
            )
    return LensReport(
        encoder=describe_record(everything.record),
        labels=listed.path.name,
        label_column=listed.column,
        value=listed.value,
        rows=found.rows,
        left_out=found.left_out,
        largest_separation_arcsec=found.largest_separation,
        matched=len(found.galaxy_ids),
        without_embedding=len(found.galaxy_ids) - len(ids),
        set_aside=len(ids) - len(taken),
        known=len(taken),
        others=n_others,
        thin=chosen.thin,
        seed=chosen.seed,
        retrievals=tuple(retrievals),
    )


def _others(
    connection: Connection, everything: Population, others: Population, *, n_asked: int | None
) -> Batches:
    """Stream the others: all in the order of the disk, or those drawn by their identifiers."""
    if n_asked is not None:
        yield from store.iter_population(connection, others)
        return
    for ids, vectors in store.iter_population(connection, everything):
        place = np.searchsorted(others.galaxy_ids, ids)
        place = np.minimum(place, len(others.galaxy_ids) - 1)
        is_other = others.galaxy_ids[place] == ids
        yield ids[is_other], vectors[is_other]


def _ways(basis: CompactBasis | None, n_examples: int) -> dict[str, Combine]:
    """Return the ways to combine examples: their mean, and what ``skylike search`` does."""
    ways: dict[str, Combine] = {MEAN: mean_of_units}
    if basis is not None and n_examples <= MAXIMUM_GROUP:
        ways[AS_SEARCH] = lambda units: _as_search(units, basis)
    return ways


def _as_search(units: Units, basis: CompactBasis) -> npt.NDArray[np.float64]:
    examples = [Example(label="known", vector=unit) for unit in units]
    return combine(examples, basis=basis).vector
