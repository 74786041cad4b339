"""The tables ``neighbor_list_r<RUN>``, ``neighbor_similarity_r<RUN>`` and ``neighbor_shard``.

The lists of each run are in two tables: identifiers, 999 of which take half a page, and
similarities in a byte each (:mod:`skylike.neighbors.similarity_codes`). Both have a row for each
list, written in one transaction. No reader may look into them before they are partitions of
``neighbor_list`` and ``neighbor_similarity``.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import sqlalchemy as sa
from psycopg import sql
from sqlalchemy import Connection

from skylike.database.copy import (
    array_column,
    bytea_column,
    copy_batches,
    driver_connection,
)
from skylike.database.engine import SCHEMA
from skylike.database.partitions import (
    attach_partition,
    hide,
    impatient,
    qualified,
    relation_exists,
    run,
)
from skylike.database.tables import neighbor_shard
from skylike.neighbors.similarity_codes import decode_list, encode

GalaxyIds = npt.NDArray[np.int32]

_PACKED_LISTS: Final = 128
"""Lists that are packed at a time: half a megabyte at k = 999, which stays in the cache.

The server takes rows in while the next ones are packed.
"""

LISTS: Final = "neighbor_list"
SIMILARITIES: Final = "neighbor_similarity"


def run_table(parent: str, run_id: int) -> str:
    """Return the name of the table that a run has of :data:`LISTS` or :data:`SIMILARITIES`."""
    return f"{parent}_r{run_id}"


def create_table(connection: Connection, run_id: int) -> None:
    """Make the two tables of a run's lists, closed to readers."""
    for parent in (LISTS, SIMILARITIES):
        table = run_table(parent, run_id)
        run(
            connection,
            "CREATE TABLE {table} (LIKE {parent} INCLUDING DEFAULTS INCLUDING COMMENTS"
            " INCLUDING STORAGE, CONSTRAINT {check} CHECK (run_id = {run_id}))",
            table=qualified(table),
            parent=qualified(parent),
            check=sql.Identifier(f"{table}_run_check"),
            run_id=sql.Literal(run_id),
        )
        hide(connection, table)  # half-loaded lists are nobody's business


def write_shard(
    connection: Connection,
    run_id: int,
    shard: int,
    *,
    galaxy_ids: GalaxyIds,
    neighbor_ids: GalaxyIds,
    similarities: npt.NDArray[np.float32],
    lengths: npt.NDArray[np.int64],
) -> None:
    """Write the lists of a shard and that it is done, in the connection's transaction.

    Parameters
    ----------
    galaxy_ids, lengths
        (q,) whose lists these are, and how many neighbors each has.
    neighbor_ids, similarities
        (sum of lengths,) the lists, one after the other, similarities falling in each.
    """
    for parent, batches in (
        (LISTS, pack_lists(run_id, galaxy_ids, neighbor_ids, lengths)),
        (SIMILARITIES, pack_similarities(run_id, galaxy_ids, similarities, lengths)),
    ):
        copy_batches(connection, f"{SCHEMA}.{run_table(parent, run_id)}", batches)
    done = {"run_id": run_id, "shard": shard, "n_galaxies": len(galaxy_ids)}
    connection.execute(sa.insert(neighbor_shard).values(done))


def _blocks(lengths: npt.NDArray[np.int64]) -> Iterator[tuple[slice, slice]]:
    """Cut lists into blocks: which of them, and which of their entries."""
    ends = np.concatenate([[0], np.cumsum(lengths)])
    for start in range(0, max(1, len(lengths)), _PACKED_LISTS):
        stop = min(start + _PACKED_LISTS, len(lengths))
        yield slice(start, stop), slice(int(ends[start]), int(ends[stop]))


def pack_lists(
    run_id: int,
    galaxy_ids: GalaxyIds,
    neighbor_ids: GalaxyIds,
    lengths: npt.NDArray[np.int64],
) -> Iterator[pa.RecordBatch]:
    """Pack lists as rows of ``neighbor_list``; parameters as of :func:`write_shard`."""
    for own, entries in _blocks(lengths):
        yield pa.RecordBatch.from_pydict(
            {
                "run_id": pa.array(np.full(own.stop - own.start, run_id, np.int32)),
                "galaxy_id": pa.array(galaxy_ids[own]),
                "neighbor_ids": array_column(neighbor_ids[entries], lengths[own]),
            }
        )


def pack_similarities(
    run_id: int,
    galaxy_ids: GalaxyIds,
    similarities: npt.NDArray[np.float32],
    lengths: npt.NDArray[np.int64],
) -> Iterator[pa.RecordBatch]:
    """Code similarities as rows of ``neighbor_similarity``; parameters as above."""
    for own, entries in _blocks(lengths):
        coded = encode(similarities[entries], lengths[own])
        yield pa.RecordBatch.from_pydict(
            {
                "run_id": pa.array(np.full(own.stop - own.start, run_id, np.int32)),
                "galaxy_id": pa.array(galaxy_ids[own]),
                "first": pa.array(coded.first, mask=lengths[own] == 0),
                "step": pa.array(coded.step),
                "codes": bytea_column(coded.codes, coded.lengths),
            }
        )


def fetch_finished_shards(connection: Connection, run_id: int) -> set[int]:
    """Fetch the numbers of the shards whose lists are stored."""
    query = sa.select(neighbor_shard.c.shard).where(neighbor_shard.c.run_id == run_id)
    return set(connection.scalars(query))


def index_lists(connection: Connection, run_id: int) -> None:
    """Make the primary keys of a run's lists, once they are loaded (faster than before)."""
    for parent in (LISTS, SIMILARITIES):
        table = run_table(parent, run_id)
        key = f"{table}_pkey"
        if not relation_exists(connection, key):
            run(
                connection,
                "ALTER TABLE {table} ADD CONSTRAINT {key} PRIMARY KEY (run_id, galaxy_id)",
                table=qualified(table),
                key=sql.Identifier(key),
            )


def attach_lists(connection: Connection, run_id: int) -> None:
    """Make a run's lists partitions of ``neighbor_list`` and ``neighbor_similarity``.

    Raises
    ------
    ConflictError
        Readers hold the tables for longer than the lock timeout.
    """
    with impatient(connection, f"neighbor run {run_id} is complete but cannot be attached"):
        for parent in (LISTS, SIMILARITIES):
            attach_partition(connection, parent, run_table(parent, run_id), key=run_id)


def drop_lists(connection: Connection, run_id: int) -> None:
    """Remove the tables of a run's lists.

    Raises
    ------
    ConflictError
        Readers hold the tables for longer than the lock timeout.
    """
    with impatient(connection, f"neighbor run {run_id} cannot be dropped"):
        for parent in (LISTS, SIMILARITIES):
            run(
                connection,
                "DROP TABLE IF EXISTS {table}",
                table=qualified(run_table(parent, run_id)),
            )


def analyze_lists(connection: Connection) -> None:
    """Refresh the planner's statistics; of a partitioned table nothing else does it."""
    for parent in (LISTS, SIMILARITIES):
        run(connection, "ANALYZE {table}", table=qualified(parent))


def fetch_lists(
    connection: Connection, run_id: int, galaxy_ids: GalaxyIds
) -> dict[int, tuple[GalaxyIds, npt.NDArray[np.float32]]]:
    """Fetch stored lists, also of a run under way: neighbors and similarities by galaxy."""
    query = sql.SQL(
        "SELECT galaxy_id, neighbor_ids, first, step, codes"
        " FROM {lists} JOIN {similarities} USING (run_id, galaxy_id)"
        " WHERE run_id = {run_id} AND galaxy_id = ANY ({galaxy_ids}::integer[])"
    ).format(
        lists=qualified(run_table(LISTS, run_id)),
        similarities=qualified(run_table(SIMILARITIES, run_id)),
        run_id=sql.Literal(run_id),
        galaxy_ids=sql.Literal(galaxy_ids.tolist()),
    )
    with driver_connection(connection).cursor(binary=True) as cursor:
        return {
            galaxy_id: (np.array(ids, np.int32), decode_list(first, step, codes))
            for galaxy_id, ids, first, step, codes in cursor.execute(query)
        }
