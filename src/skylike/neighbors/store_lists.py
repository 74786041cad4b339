"""The tables ``neighbor_list_r<RUN>`` and ``neighbor_shard``: the lists of each run.

No reader may look into such a table before it is a partition of ``neighbor_list``.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import sqlalchemy as sa
from psycopg import errors, sql
from sqlalchemy import Connection

from skylike.database.copy import array_column, copy_into, driver_connection, iter_fixed_rows
from skylike.database.engine import SCHEMA
from skylike.database.roles import READER, SERVICE
from skylike.database.tables import neighbor_shard
from skylike.errors import ConflictError

GalaxyIds = npt.NDArray[np.int32]

_LOCK_TIMEOUT: Final = "10s"
"""How long attaching or dropping a partition waits for readers: they wait behind it meanwhile."""

_INLINE_BYTES: Final = 8160
"""Largest row that PostgreSQL keeps on its page (toast_tuple_target), instead of 2 kB.

The two lists of k = 999 fill one page, where chunks beside the table would take six rows of another
and an index entry for each: a quarter less space, loaded faster (our measurement).
"""


def _list_table(run_id: int) -> str:
    return f"neighbor_list_r{run_id}"


def _run(connection: Connection, query: str, **parts: sql.Composable) -> None:
    driver_connection(connection).execute(sql.SQL(query).format(**parts))


@contextmanager
def _impatient(connection: Connection, what: str) -> Iterator[None]:
    """Give up on a lock that readers hold: new readers queue up behind us meanwhile."""
    _run(connection, "SET LOCAL lock_timeout = {timeout}", timeout=sql.Literal(_LOCK_TIMEOUT))
    try:
        yield
    except errors.LockNotAvailable as error:
        raise ConflictError(
            f"{what}: a query or job holds the tables; run the same command again when it has ended"
        ) from error


def create_table(connection: Connection, run_id: int) -> None:
    """Make the table of a run's lists, closed to readers."""
    table = _list_table(run_id)
    _run(
        connection,
        "CREATE TABLE {table} (LIKE {parent} INCLUDING DEFAULTS INCLUDING COMMENTS"
        " INCLUDING STORAGE, CONSTRAINT {check} CHECK (run_id = {run_id}))"
        " WITH (toast_tuple_target = {inline})",
        table=sql.Identifier(SCHEMA, table),
        parent=sql.Identifier(SCHEMA, "neighbor_list"),
        check=sql.Identifier(f"{table}_run_check"),
        run_id=sql.Literal(run_id),
        inline=sql.Literal(_INLINE_BYTES),
    )
    # Half-loaded lists are nobody's business; through neighbor_list a partition is read with its
    # rights.
    _run(
        connection,
        "REVOKE ALL ON {table} FROM {reader}, {service}",
        table=sql.Identifier(SCHEMA, table),
        reader=sql.Identifier(READER),
        service=sql.Identifier(SERVICE),
    )


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
        (sum of lengths,) the lists, one after the other.
    """
    batch = pack_lists(
        run_id,
        galaxy_ids=galaxy_ids,
        neighbor_ids=neighbor_ids,
        similarities=similarities,
        lengths=lengths,
    )
    copy_into(connection, f"{SCHEMA}.{_list_table(run_id)}", batch)
    done = {"run_id": run_id, "shard": shard, "n_galaxies": len(galaxy_ids)}
    connection.execute(sa.insert(neighbor_shard).values(done))


def pack_lists(
    run_id: int,
    *,
    galaxy_ids: GalaxyIds,
    neighbor_ids: GalaxyIds,
    similarities: npt.NDArray[np.float32],
    lengths: npt.NDArray[np.int64],
) -> pa.RecordBatch:
    """Pack lists as rows of their table; parameters as of :func:`write_shard`."""
    return pa.RecordBatch.from_pydict(
        {
            "run_id": pa.array(np.full(len(galaxy_ids), run_id, np.int32)),
            "galaxy_id": pa.array(galaxy_ids),
            "neighbor_ids": array_column(neighbor_ids, lengths),
            "similarities": array_column(similarities, lengths),
        }
    )


def fetch_finished_shards(connection: Connection, run_id: int) -> set[int]:
    """Fetch the numbers of the shards whose lists are stored."""
    query = sa.select(neighbor_shard.c.shard).where(neighbor_shard.c.run_id == run_id)
    return set(connection.scalars(query))


def index_lists(connection: Connection, run_id: int) -> None:
    """Make the primary key of a run's lists, once they are loaded (faster than before)."""
    table = _list_table(run_id)
    if connection.scalar(sa.select(sa.func.to_regclass(f"{SCHEMA}.{table}_pkey"))) is not None:
        return
    _run(
        connection,
        "ALTER TABLE {table} ADD CONSTRAINT {key} PRIMARY KEY (run_id, galaxy_id)",
        table=sql.Identifier(SCHEMA, table),
        key=sql.Identifier(f"{table}_pkey"),
    )


def attach_lists(connection: Connection, run_id: int) -> None:
    """Make a run's lists a partition of ``neighbor_list``.

    Raises
    ------
    ConflictError
        Readers hold the tables for longer than the lock timeout.
    """
    with _impatient(connection, f"neighbor run {run_id} is complete but cannot be attached"):
        _run(
            connection,
            "ALTER TABLE {parent} ATTACH PARTITION {table} FOR VALUES IN ({run_id})",
            parent=sql.Identifier(SCHEMA, "neighbor_list"),
            table=sql.Identifier(SCHEMA, _list_table(run_id)),
            run_id=sql.Literal(run_id),
        )


def drop_lists(connection: Connection, run_id: int) -> None:
    """Remove the table of a run's lists.

    Raises
    ------
    ConflictError
        Readers hold the tables for longer than the lock timeout.
    """
    with _impatient(connection, f"neighbor run {run_id} cannot be dropped"):
        _run(
            connection,
            "DROP TABLE IF EXISTS {table}",
            table=sql.Identifier(SCHEMA, _list_table(run_id)),
        )


def analyze_lists(connection: Connection) -> None:
    """Refresh the planner's statistics; of a partitioned table nothing else does it."""
    _run(connection, "ANALYZE {table}", table=sql.Identifier(SCHEMA, "neighbor_list"))


def fetch_lists(
    connection: Connection, run_id: int, galaxy_ids: GalaxyIds
) -> dict[int, tuple[GalaxyIds, npt.NDArray[np.float32]]]:
    """Fetch stored lists, also of a run under way: neighbors and similarities by galaxy."""
    query = sql.SQL(
        "SELECT galaxy_id, neighbor_ids, similarities FROM {table}"
        " WHERE run_id = {run_id} AND galaxy_id = ANY ({galaxy_ids}::integer[])"
    ).format(
        table=sql.Identifier(SCHEMA, _list_table(run_id)),
        run_id=sql.Literal(run_id),
        galaxy_ids=sql.Literal(galaxy_ids.tolist()),
    )
    with driver_connection(connection).cursor(binary=True) as cursor:
        return {
            galaxy_id: (np.array(ids, np.int32), np.array(similarities, np.float32))
            for galaxy_id, ids, similarities in cursor.execute(query)
        }


def fetch_sample(
    connection: Connection, run_id: int, *, size: int, generator: np.random.Generator
) -> GalaxyIds:
    """Draw galaxies with a list in a run at random, ascending."""
    query = sql.SQL("SELECT galaxy_id FROM {} ORDER BY galaxy_id").format(
        sql.Identifier(SCHEMA, _list_table(run_id))
    )
    columns = [("galaxy_id", ">i4")]
    parts = [
        rows["galaxy_id"].astype(np.int32)
        for rows in iter_fixed_rows(connection, query, columns, batch_rows=65_536)
    ]
    ids = np.concatenate([np.empty(0, np.int32), *parts])
    return np.sort(generator.choice(ids, size=min(size, len(ids)), replace=False))
