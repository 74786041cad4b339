"""What evaluation reads of the database: embeddings and magnitudes of one moment, and lists."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection

from skylike.embeddings.store import EncoderRecord, fetch_named_or_active_encoder
from skylike.embeddings.store_vectors import iter_vectors_of
from skylike.evaluation.cosines import has_direction
from skylike.neighbors.store_input import (
    fetch_magnitudes,
    fetch_vectors,
    iter_embeddings,
)
from skylike.neighbors.store_lists import fetch_lists

__all__ = [
    "Population",
    "fetch_neighbor_ids",
    "fetch_population",
    "fetch_usable",
    "iter_population",
]

GalaxyIds = npt.NDArray[np.int32]

_PART_GALAXIES = 65_536
"""Identifiers of a drawn part that one query names."""


@dataclass(frozen=True, eq=False)
class Population:
    """Galaxies with an embedding, all or some."""

    record: EncoderRecord
    galaxy_ids: GalaxyIds
    """(n,) ascending."""

    magnitudes: npt.NDArray[np.float32]
    """(n,) NaN where unknown, or where no band was asked for."""

    is_all: bool = True
    """Are these all that the encoder has?"""

    def draw(self, n: int | None, generator: np.random.Generator) -> "Population":
        """Draw n of them at random; all where n is None or not less."""
        if n is None or n >= len(self.galaxy_ids):
            return self
        return self.take(np.sort(generator.choice(len(self.galaxy_ids), n, replace=False)))

    def take(self, places: npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> "Population":
        """Return those at ascending places, or where a mask is true."""
        return Population(
            self.record, self.galaxy_ids[places], self.magnitudes[places], is_all=False
        )


def fetch_population(
    connection: Connection, encoder: str | None, *, band: str | None = None
) -> Population:
    """Fetch which galaxies have an embedding of an encoder, None for the active one.

    Raises
    ------
    EncoderNotFoundError
        No encoder has this name, or none is active.
    """
    record = fetch_named_or_active_encoder(connection, encoder)
    return Population(record, *fetch_magnitudes(connection, record.encoder_id, band))


def iter_population(
    connection: Connection, population: Population
) -> Iterator[tuple[GalaxyIds, npt.NDArray[np.float16]]]:
    """Stream the embeddings of a population: identifiers (b,) and vectors (b, d), in any order."""
    record = population.record
    if population.is_all:
        yield from iter_embeddings(connection, record)
        return
    for start in range(0, len(population.galaxy_ids), _PART_GALAXIES):
        yield from iter_vectors_of(
            connection,
            population.galaxy_ids[start : start + _PART_GALAXIES],
            encoder_id=record.encoder_id,
            dimension=record.dimension,
            batch_rows=2048,
        )


def fetch_usable(
    connection: Connection, record: EncoderRecord, galaxy_ids: GalaxyIds
) -> tuple[GalaxyIds, npt.NDArray[np.float16]]:
    """Fetch the embeddings of galaxies that have one with a direction, by identifier."""
    ids, vectors = fetch_vectors(connection, record, galaxy_ids)
    order = np.argsort(ids)
    ids, vectors = ids[order], vectors[order]
    is_good = has_direction(vectors)
    return ids[is_good], vectors[is_good]


def fetch_neighbor_ids(
    connection: Connection, run_id: int, galaxy_ids: GalaxyIds
) -> dict[int, GalaxyIds]:
    """Fetch the stored lists of some galaxies in a run: neighbors, best first."""
    lists: dict[int, GalaxyIds] = {}
    for start in range(0, len(galaxy_ids), 512):
        found = fetch_lists(connection, run_id, galaxy_ids[start : start + 512])
        lists |= {galaxy_id: ids for galaxy_id, (ids, _) in found.items()}
    return lists
