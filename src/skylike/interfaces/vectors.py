"""Embeddings as arrays: of some galaxies, or of all that meet a cut."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection

from skylike.embeddings.store import EncoderRecord
from skylike.embeddings.store_vectors import iter_vectors_of
from skylike.interfaces import store
from skylike.search.locate import galaxy_example
from skylike.search.store_vocabulary import parse_where
from skylike.search.vocabulary import Vocabulary

Identifiers = npt.NDArray[np.int32]
Vectors = npt.NDArray[np.float16]

BATCH_ROWS: Final = 4096
"""Embeddings received at a time: 16 MB of 2048 dimensions."""


def vectors_of_galaxies(
    connection: Connection, encoder: EncoderRecord, galaxy_ids: Identifiers
) -> Vectors:
    """Fetch the embeddings of galaxies (n,), which may repeat: (n, d) in their order.

    Raises
    ------
    GalaxyNotFoundError, CutoutNotFoundError, EmptyStageError
        One has none; the message names the first and says why.
    """
    unique, places = np.unique(galaxy_ids, return_inverse=True)
    vectors = np.empty((len(unique), encoder.dimension), dtype=np.float16)  # (u, d)
    missing = np.ones(len(unique), dtype=bool)
    for ids, some in iter_vectors_of(
        connection,
        unique,
        encoder_id=encoder.encoder_id,
        dimension=encoder.dimension,
    ):
        rows = np.searchsorted(unique, ids)
        vectors[rows], missing[rows] = some, False
    if missing.any():
        first = int(unique[np.flatnonzero(missing)[0]])
        galaxy_example(connection, first, encoder)  # it says why there is none
    return vectors[places]  # (n, d)


def vectors_in_cut(
    connection: Connection, encoder: EncoderRecord, words: Vocabulary, *, where: str | None
) -> tuple[Identifiers, Vectors]:
    """Fetch all embeddings whose galaxies meet a cut: (n,) ascending and (n, d).

    Raises
    ------
    CutError
        The cut is not understood.
    """
    cut = parse_where(connection, words, where)
    source = store.embedded_galaxies(encoder.encoder_id, cut, words.scores)
    ids = store.fetch_embedded_ids(connection, source)
    vectors = np.empty((len(ids), encoder.dimension), dtype=np.float16)  # (n, d)
    # The server does not sort rows of kilobytes; their places are known.
    for some, batch in store.iter_embeddings(
        connection, source, dimension=encoder.dimension, batch_rows=BATCH_ROWS
    ):
        vectors[np.searchsorted(ids, some)] = batch
    return ids, vectors


def iter_in_cut(
    connection: Connection,
    encoder: EncoderRecord,
    words: Vocabulary,
    *,
    where: str | None,
    batch_rows: int,
) -> Iterator[tuple[Identifiers, Vectors]]:
    """Stream the embeddings whose galaxies meet a cut, in the order in which they are stored."""
    cut = parse_where(connection, words, where)
    source = store.embedded_galaxies(encoder.encoder_id, cut, words.scores)
    yield from store.iter_embeddings(
        connection, source, dimension=encoder.dimension, batch_rows=batch_rows
    )
