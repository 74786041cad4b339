"""The tables ``neighbor_statistic_r<RUN>``: what the lists of a run tell of each galaxy.

New rows are written to ``neighbor_statistic_r<RUN>_next``, which no reader may look into, and take
the place of the run's partition, if it has one, when they are attached.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from psycopg import sql
from sqlalchemy import Connection

from skylike.database.copy import copy_into, driver_connection, iter_fixed_rows
from skylike.database.engine import SCHEMA
from skylike.database.partitions import (
    attach_partition,
    hide,
    impatient,
    qualified,
    relation_exists,
    run,
)
from skylike.neighbors.statistics.mutual import FIRST, NOBODY

GalaxyIds = npt.NDArray[np.int32]

_PARENT: Final = "neighbor_statistic"

_ROWS_AT_ONCE: Final = 262_144
"""Rows packed together: 9 MB."""


@dataclass(frozen=True)
class Statistics:
    """What lists tell of n galaxies, in magnitude order."""

    galaxy_ids: GalaxyIds
    """(n,)"""

    hashes: npt.NDArray[np.int64]
    """(n,) of embedding and magnitude."""

    distances: npt.NDArray[np.float64]
    """(n,) to the neighbor at rank :data:`~skylike.neighbors.statistics.rarity.RANK`; NaN in
    shorter lists."""

    rarity: npt.NDArray[np.float64]
    """(n,) NaN where unknown."""

    hubness: npt.NDArray[np.int32]
    """(n,)"""

    n_mutual: npt.NDArray[np.int16]
    """(n,)"""

    groups: npt.NDArray[np.int32]
    """(n,) smallest galaxy_id of the group; -1 for none."""

    def __len__(self) -> int:
        return len(self.galaxy_ids)


@dataclass(frozen=True)
class FirstNeighbors:
    """The beginnings of b lists; -1 where a list is shorter."""

    galaxy_ids: GalaxyIds
    """(b,) whose lists these are."""

    first: GalaxyIds
    """(b, FIRST)"""

    at_rank: GalaxyIds
    """(b,) the neighbor at the rank that was asked for."""


def iter_first_neighbors(
    connection: Connection, run_id: int, *, rank: int
) -> Iterator[FirstNeighbors]:
    """Stream the first neighbors of all lists of a run, also of one under way, in any order."""
    names = [*(f"n{place}" for place in range(1, FIRST + 1)), "at_rank"]
    ranks = [*range(1, FIRST + 1), rank]
    query = sql.SQL("SELECT galaxy_id, {entries} FROM {table} WHERE run_id = {run_id}").format(
        entries=sql.SQL(", ").join(
            sql.SQL("coalesce(neighbor_ids[{}], {})").format(sql.Literal(n), sql.Literal(NOBODY))
            for n in ranks
        ),
        table=qualified(f"neighbor_list_r{run_id}"),
        run_id=sql.Literal(run_id),
    )
    columns: list[tuple[str, npt.DTypeLike]] = [(name, ">i4") for name in ("galaxy_id", *names)]
    for rows in iter_fixed_rows(connection, query, columns, batch_rows=65_536):
        yield FirstNeighbors(
            galaxy_ids=rows["galaxy_id"].astype(np.int32),
            first=np.stack([rows[name].astype(np.int32) for name in names[:-1]], axis=1),
            at_rank=rows["at_rank"].astype(np.int32),
        )


def iter_positions(
    connection: Connection, encoder_id: int
) -> Iterator[tuple[GalaxyIds, npt.NDArray[np.float64], npt.NDArray[np.float64]]]:
    """Stream the galaxies with an embedding: identifiers, ra and dec (ICRS degrees), (b,) each."""
    query = sql.SQL(
        "SELECT g.galaxy_id, g.ra, g.dec FROM {galaxy} AS g"
        " JOIN {embedding} AS e ON e.galaxy_id = g.galaxy_id WHERE e.encoder_id = {encoder_id}"
    ).format(
        galaxy=qualified("galaxy"),
        embedding=qualified("embedding"),
        encoder_id=sql.Literal(encoder_id),
    )
    columns = [("galaxy_id", ">i4"), ("ra", ">f8"), ("dec", ">f8")]
    for rows in iter_fixed_rows(connection, query, columns, batch_rows=65_536):
        yield (
            rows["galaxy_id"].astype(np.int32),
            rows["ra"].astype(np.float64),
            rows["dec"].astype(np.float64),
        )


def write_statistics_table(connection: Connection, run_id: int, statistics: Statistics) -> None:
    """Write the statistics of a run beside what readers see, in place of what was written before.

    They count once :func:`attach_statistics` has been called.
    """
    table = _next(run_id)
    run(connection, "DROP TABLE IF EXISTS {table}", table=qualified(table))
    run(
        connection,
        "CREATE TABLE {table} (LIKE {parent} INCLUDING DEFAULTS INCLUDING COMMENTS,"
        " CONSTRAINT {check} CHECK (run_id = {run_id}))",
        table=qualified(table),
        parent=qualified(_PARENT),
        check=sql.Identifier(f"{_partition(run_id)}_run_check"),
        run_id=sql.Literal(run_id),
    )
    hide(connection, table)
    for start in range(0, len(statistics), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        copy_into(connection, f"{SCHEMA}.{table}", _packed(run_id, statistics, rows))
    for statement in (
        "ALTER TABLE {table} ADD PRIMARY KEY (run_id, galaxy_id)",
        "CREATE INDEX ON {table} (rarity DESC NULLS LAST, galaxy_id)",
        "CREATE INDEX ON {table} (duplicate_group) WHERE duplicate_group IS NOT NULL",
        "ANALYZE {table}",
    ):
        run(connection, statement, table=qualified(table))


def _packed(run_id: int, statistics: Statistics, rows: slice) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict(
        {
            "run_id": pa.array(np.full(len(statistics.galaxy_ids[rows]), run_id, np.int32)),
            "galaxy_id": pa.array(statistics.galaxy_ids[rows]),
            "input_hash": pa.array(statistics.hashes[rows]),
            "distance": _nullable(statistics.distances[rows].astype(np.float32)),
            "rarity": _nullable(statistics.rarity[rows].astype(np.float32)),
            "hubness": pa.array(statistics.hubness[rows]),
            "n_mutual": pa.array(statistics.n_mutual[rows]),
            "duplicate_group": pa.array(statistics.groups[rows], mask=statistics.groups[rows] < 0),
        }
    )


def _nullable(values: npt.NDArray[np.float32]) -> pa.Array:
    return pa.array(values, mask=np.isnan(values))


def attach_statistics(connection: Connection, run_id: int) -> None:
    """Let statistics that were written take their place, all in the connection's transaction.

    Nothing happens where none were written.

    Raises
    ------
    ConflictError
        Readers hold the tables for longer than the lock timeout.
    """
    if not relation_exists(connection, _next(run_id)):
        return
    with impatient(connection, f"the statistics of neighbor run {run_id} cannot be attached"):
        run(connection, "DROP TABLE IF EXISTS {table}", table=qualified(_partition(run_id)))
        run(
            connection,
            "ALTER TABLE {table} RENAME TO {name}",
            table=qualified(_next(run_id)),
            name=sql.Identifier(_partition(run_id)),
        )
        for index in _indexes(connection, _partition(run_id)):
            run(
                connection,
                "ALTER INDEX {index} RENAME TO {name}",
                index=qualified(index),
                name=sql.Identifier(index.replace("_next_", "_")),
            )
        attach_partition(connection, _PARENT, _partition(run_id), key=run_id)


def drop_statistics(connection: Connection, run_id: int) -> None:
    """Remove the statistics of a run, attached or not.

    Raises
    ------
    ConflictError
        Readers hold the tables for longer than the lock timeout.
    """
    with impatient(connection, f"neighbor run {run_id} cannot be dropped"):
        for table in (_next(run_id), _partition(run_id)):
            run(connection, "DROP TABLE IF EXISTS {table}", table=qualified(table))


def _partition(run_id: int) -> str:
    return f"{_PARENT}_r{run_id}"


def _next(run_id: int) -> str:
    return f"{_partition(run_id)}_next"


def _indexes(connection: Connection, table: str) -> list[str]:
    rows = driver_connection(connection).execute(
        "SELECT indexname FROM pg_catalog.pg_indexes WHERE schemaname = %s AND tablename = %s",
        (SCHEMA, table),
    )
    return [name for (name,) in rows]
