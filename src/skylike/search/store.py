"""What a search reads, all SQL of this stage: nothing is written, all statements see one moment."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import sqlalchemy as sa
from psycopg import sql
from psycopg.errors import QueryCanceled
from sqlalchemy import ColumnElement, Connection, Engine, Select
from sqlalchemy.exc import OperationalError

from skylike.catalog.columns import is_reported
from skylike.cuts import Cut, Derived, value_expression
from skylike.cuts.derived import SCORE_PREFIX
from skylike.database.comments import ColumnMeaning, read_meanings
from skylike.database.copy import driver_connection
from skylike.database.engine import connect
from skylike.database.partitions import qualified
from skylike.database.sql_files import statement
from skylike.database.tables import galaxy
from skylike.embeddings.store import EncoderRecord, fetch_named_or_active_encoder
from skylike.embeddings.store_tables import VectorTables
from skylike.errors import DatabaseError, EmptyStageError
from skylike.images.index import CutoutIndex
from skylike.search.arrow_arrays import arrow_array
from skylike.search.store_statements import G, S, cut_columns, written_ids
from skylike.search.vocabulary import Vocabulary

Identifiers = npt.NDArray[np.int32]

_BOOKKEEPING: Final = ("survey_id", "object_id", "load_id", "updated_at")
"""Columns of ``galaxy`` that say how a row came here; results have the survey's name instead."""

_ARROW_TYPES: Final = {
    sa.Integer: pa.int32(),
    sa.BigInteger: pa.int64(),
    sa.REAL: pa.float32(),
    sa.Text: pa.string(),
    sa.Boolean: pa.bool_(),
}


@contextmanager
def reading(engine: Engine, *, timeout_s: float | None) -> Iterator[Connection]:
    """Open a read-only transaction whose statements all see the database at one moment.

    Raises
    ------
    DatabaseError
        A statement took longer than ``timeout_s`` or the role's own limit.
    """
    with connect(engine) as opened:
        connection = opened.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
        try:
            with connection.begin():
                if timeout_s is not None:
                    connection.execute(
                        sa.text("SELECT set_config('statement_timeout', :milliseconds, true)"),
                        {"milliseconds": str(max(1, round(1000 * timeout_s)))},
                    )
                yield connection
        except OperationalError as error:
            if isinstance(error.orig, QueryCanceled):
                raise _too_slow() from error
            raise
        except QueryCanceled as error:
            raise _too_slow() from error


def _too_slow() -> DatabaseError:
    return DatabaseError(
        "the search took longer than the statement timeout; narrow it with --where or --cone, "
        "or allow more with --timeout"
    )


def fetch_encoder_to_search(connection: Connection, name: str | None) -> EncoderRecord:
    """Fetch the encoder of this name, or the active one, and check that it has embeddings.

    Raises
    ------
    EncoderNotFoundError
        No encoder has this name, or none is active.
    EmptyStageError
        There is nothing to search; the message names the command that comes next.
    """
    record = fetch_named_or_active_encoder(connection, name)
    if record.embedded_at is None or not record.n_embedded:
        check_filled(connection, encoder_id=record.encoder_id, encoder=record.name)
    return record


def check_filled(connection: Connection, *, encoder_id: int, encoder: str) -> None:
    """Check that there is something to search.

    Raises
    ------
    EmptyStageError
        No galaxy, or no embedding of the encoder; the message names the command that comes next.
    """
    row = connection.execute(statement("search_filled"), {"encoder_id": encoder_id}).one()
    if not row.has_galaxies:
        raise EmptyStageError("no galaxy is loaded yet; run `skylike catalog load FILE...`")
    if not row.has_embeddings:
        raise EmptyStageError(
            f"encoder {encoder} has embedded no galaxy yet; run `skylike embed --encoder {encoder}`"
        )


@dataclass(frozen=True, eq=False)
class GalaxyExample:
    """A galaxy as an example.

    Attributes
    ----------
    vector
        (d,) float16 as stored, or None without an embedding.
    compact
        (m + 1,) float16, or None without an embedding.
    has_cutout
        Is there an image to make one from?
    """

    galaxy_id: int
    ra: float
    dec: float
    vector: npt.NDArray[np.float16] | None
    compact: npt.NDArray[np.float16] | None
    has_cutout: bool


def fetch_example(
    connection: Connection, *, encoder_id: int, galaxy_id: int
) -> GalaxyExample | None:
    """Fetch a galaxy with its embedding, or None where there is no such galaxy."""
    row = connection.execute(
        statement("search_example"), {"encoder_id": encoder_id, "galaxy_id": galaxy_id}
    ).one_or_none()
    if row is None:
        return None
    vector, compact = (
        None if sent is None else halfvec(sent) for sent in (row.embedding, row.compact)
    )
    return GalaxyExample(row.galaxy_id, row.ra, row.dec, vector, compact, row.has_cutout)


def halfvec(sent: bytes) -> npt.NDArray[np.float16]:
    """Decode a halfvec as ``halfvec_send`` writes it: dimension, an unused word, the entries."""
    return np.frombuffer(sent, ">f2", offset=4).astype(np.float16)  # (d,)


def fetch_nearest(
    connection: Connection,
    *,
    encoder_id: int,
    ra: float,
    dec: float,
    radius: float,
    embedded_only: bool,
) -> tuple[int, float] | None:
    """Fetch the galaxy nearest to a position and its separation in degrees, within a radius."""
    row = connection.execute(
        statement("search_nearest"),
        {
            "encoder_id": encoder_id,
            "ra": ra,
            "dec": dec,
            "radius": radius,
            "embedded_only": embedded_only,
        },
    ).one_or_none()
    return None if row is None else (row.galaxy_id, row.separation)


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Embeddings of some galaxies with their places, all (n,) but the vectors (n, d) float16."""

    galaxy_ids: Identifiers
    vectors: npt.NDArray[np.float16]
    ra: npt.NDArray[np.float64]
    dec: npt.NDArray[np.float64]


def fetch_embeddings(
    connection: Connection, *, encoder_id: int, galaxy_ids: Identifiers, dimension: int
) -> Embeddings:
    """Fetch embeddings and ICRS positions (degrees) of galaxies, by rising identifier.

    Two plain statements with binary results: for a hundred rows faster than COPY, or than a join.
    """
    tables = VectorTables(encoder_id)
    where = "WHERE encoder_id = %s AND galaxy_id = ANY (%s::integer[]) ORDER BY galaxy_id"
    parameters = (encoder_id, written_ids(galaxy_ids))
    driver = driver_connection(connection)
    sent = driver.execute(
        sql.SQL(f"SELECT galaxy_id, halfvec_send(embedding) FROM {{}} {where}").format(  # noqa: S608 - constants
            qualified(tables.vectors)
        ),
        parameters,
        binary=True,
    ).fetchall()
    places = driver.execute(
        sql.SQL(f"SELECT galaxy_id, ra, dec FROM {{}} {where}").format(qualified(tables.compact)),  # noqa: S608 - constants
        parameters,
        binary=True,
    ).fetchall()
    on_sky = np.array(places, dtype=np.float64).reshape(-1, 3)
    ids = np.array([galaxy_id for galaxy_id, _ in sent], dtype=np.int32)
    both = np.isin(ids, on_sky[:, 0])
    halves = np.frombuffer(b"".join(half[4:] for _, half in sent), ">f2")
    return Embeddings(
        galaxy_ids=ids[both],
        vectors=halves.reshape(len(ids), dimension).astype(np.float16)[both],  # (n, d)
        ra=on_sky[:, 1],
        dec=on_sky[:, 2],
    )


def fetch_magnitude(connection: Connection, *, galaxy_id: int, band: str) -> float | None:
    """Fetch the magnitude of a galaxy in a band, None where it has none."""
    column = galaxy.c[f"mag_{band}"]
    found = connection.scalar(sa.select(column).where(galaxy.c.galaxy_id == galaxy_id))
    return None if found is None else float(found)


def fetch_galaxies(
    connection: Connection,
    galaxy_ids: Identifiers,
    words: Vocabulary,
    *,
    cut: Cut | None = None,
) -> pa.Table:
    """Fetch the catalog rows of galaxies in the order given.

    Returns
    -------
    pyarrow.Table
        galaxy_id, survey, object_id, then the other columns of ``galaxy`` but those of bands that
        no survey has, derived columns and scores. What the cut names is among them in any case.
        Which columns there are does not depend on the galaxies: some may hold nothing.
    """
    columns = tuple(
        c.name
        for c in G.c
        if c.name not in {*_BOOKKEEPING, "galaxy_id"}
        and (is_reported(c.name, words.bands) or (cut is not None and c.name in cut.columns))
    )
    chosen = _galaxies(columns, tuple(words.derived.values()), words.scores)
    found = connection.execute(chosen, {"galaxy_ids": written_ids(galaxy_ids)}).all()
    place = {int(galaxy_id): n for n, galaxy_id in enumerate(galaxy_ids)}
    ordered = sorted(found, key=lambda row: place[row.galaxy_id])
    values = zip(*ordered, strict=True) if ordered else [()] * len(chosen.selected_columns)
    return pa.table(
        {
            column.name: arrow_array(held, _arrow_type(column.type))
            for column, held in zip(chosen.selected_columns, values, strict=True)
        }
    )


@lru_cache(maxsize=32)
def _galaxies(
    names: tuple[str, ...], derived: tuple[Derived, ...], scores: frozenset[str]
) -> Select[Any]:
    """Make the statement of :func:`fetch_galaxies`: once, it has up to fifty columns."""
    known = cut_columns(G, scores)
    columns: list[ColumnElement[Any]] = [G.c.galaxy_id, S.c.name.label("survey"), G.c.object_id]
    columns += [G.c[name] for name in names]
    columns += [value_expression(column.value, known).label(column.name) for column in derived]
    columns += [known[SCORE_PREFIX + name].label(SCORE_PREFIX + name) for name in sorted(scores)]
    ids = sa.cast(sa.bindparam("galaxy_ids", type_=sa.Text), sa.ARRAY(sa.Integer))
    return (
        sa.select(*columns)
        .join_from(G, S, S.c.survey_id == G.c.survey_id)
        .where(G.c.galaxy_id == sa.any_(ids))
    )


def _arrow_type(column_type: sa.types.TypeEngine[object]) -> pa.DataType:
    for sql_type, arrow_type in _ARROW_TYPES.items():
        if type(column_type) is sql_type:
            return arrow_type
    return pa.float64()


_meanings: "WeakKeyDictionary[Engine, dict[str, ColumnMeaning]]" = WeakKeyDictionary()
"""Comments read before: only a migration changes them, and programs end for that."""


def fetch_meanings(connection: Connection) -> dict[str, ColumnMeaning]:
    """Read what the columns of :func:`fetch_galaxies` mean, once for each engine."""
    if connection.engine not in _meanings:
        meanings = read_meanings(connection, "galaxy")
        meanings["survey"] = read_meanings(connection, "survey")["name"]
        _meanings[connection.engine] = meanings
    return _meanings[connection.engine]


def fetch_cutouts(
    connection: Connection, *, galaxy_ids: Sequence[int], encoder: str
) -> CutoutIndex:
    """Fetch where one cutout of each galaxy is, the one that the encoder embedded if any."""
    # Brings HDF5 and astropy, half a second that searches without a contact sheet need not wait.
    from skylike.images.store import fetch_files  # noqa: PLC0415

    rows = connection.execute(
        statement("search_cutouts"), {"galaxy_ids": list(galaxy_ids), "encoder": encoder}
    ).all()
    columns = {
        name: np.array([getattr(row, name) for row in rows], dtype=np.int32)
        for name in ("cutout_id", "galaxy_id", "file_id", "file_row")
    }
    return CutoutIndex(
        **columns,
        ebv=np.full(len(rows), np.nan, np.float32),  # for people's eyes; only training needs these
        psf_size=np.full((len(rows), 3), np.nan, np.float32),
        files=fetch_files(connection),
    )
