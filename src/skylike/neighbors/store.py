"""The tables ``neighbor_run``, ``neighbor_shard``, ``neighbor_list``, and the input of a run.

A run's lists go into a table of their own, ``neighbor_list_r<RUN>``, that no reader may look into;
it becomes a partition of ``neighbor_list`` when it is complete, and readers' view follows when the
run is published.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import sqlalchemy as sa
from psycopg import errors, sql
from sqlalchemy import Connection

from skylike.database.copy import array_column, copy_into, driver_connection, iter_halfvec_rows
from skylike.database.engine import SCHEMA
from skylike.database.roles import READER, SERVICE
from skylike.database.sql_files import statement
from skylike.database.tables import embedding, neighbor_run, neighbor_shard
from skylike.embeddings.store import EncoderRecord
from skylike.errors import ConflictError, NeighborRunNotFoundError, SettingsError

GalaxyIds = npt.NDArray[np.int32]

_LOCK_TIMEOUT = "10s"
"""How long attaching or dropping a partition waits for readers: they wait behind it meanwhile."""


@dataclass(frozen=True)
class NeighborRun:
    """A row of ``neighbor_run``, with the name of its encoder and what is done of it."""

    run_id: int
    encoder_id: int
    encoder: str
    is_active: bool
    k: int
    band: str | None
    width: float | None
    state: str
    n_galaxies: int | None
    n_without_magnitude: int | None
    n_excluded: int | None
    recall: float | None
    recall_sample: int | None
    software: dict[str, object]
    started_at: datetime
    finished_at: datetime | None
    published_at: datetime | None
    shards_done: int
    galaxies_done: int


@dataclass(frozen=True)
class Changes:
    """What has changed since a run read its input."""

    embeddings: int
    """There now."""

    new_embeddings: int
    """Newer than the run."""

    changed_galaxies: int
    """Galaxies whose catalog row is newer than the run, the embedding older."""


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


def begin_snapshot(connection: Connection) -> datetime:
    """Let everything read until the transaction's end be of one moment; return that moment."""
    _run(connection, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    # The first query takes the snapshot; a row written later has a later time.
    now: datetime = connection.execute(sa.select(sa.func.clock_timestamp())).scalar_one()
    return now


def fetch_magnitudes(
    connection: Connection, encoder_id: int, band: str | None
) -> tuple[GalaxyIds, npt.NDArray[np.float32]]:
    """Fetch the galaxies with an embedding, by identifier, and their magnitudes (NaN where NULL).

    Parameters
    ----------
    band
        One of :data:`skylike.bands.BANDS`; None gives NaN for all.
    """
    magnitude = sql.Identifier("g", f"mag_{band}") if band else sql.SQL("NULL::real")
    query = sql.SQL(
        "COPY (SELECT e.galaxy_id, coalesce({magnitude}, 'NaN'::real)"
        " FROM {embedding} AS e JOIN {galaxy} AS g ON g.galaxy_id = e.galaxy_id"
        " WHERE e.encoder_id = {encoder_id} ORDER BY e.galaxy_id) TO STDOUT (FORMAT BINARY)"
    ).format(
        magnitude=magnitude,
        embedding=sql.Identifier(SCHEMA, "embedding"),
        galaxy=sql.Identifier(SCHEMA, "galaxy"),
        encoder_id=sql.Literal(encoder_id),
    )
    # A binary row of two columns that are never NULL has a fixed layout: number of fields, then
    # size and value of each; 19 bytes before the first row and 2 after the last.
    row = np.dtype(
        [("fields", ">i2"), ("size", ">i4"), ("id", ">i4"), ("size2", ">i4"), ("magnitude", ">f4")]
    )
    content = bytearray()
    with driver_connection(connection).cursor() as cursor, cursor.copy(query) as copy:
        for part in copy:
            content += part
    rows = np.frombuffer(content, dtype=row, offset=19, count=(len(content) - 21) // row.itemsize)
    return rows["id"].astype(np.int32), rows["magnitude"].astype(np.float32)


def iter_embeddings(
    connection: Connection, record: EncoderRecord
) -> Iterator[tuple[GalaxyIds, npt.NDArray[np.float16]]]:
    """Stream all embeddings of an encoder: identifiers (b,) and vectors (b, d), in any order."""
    query = sql.SQL("SELECT galaxy_id, embedding FROM {} WHERE encoder_id = {}").format(
        sql.Identifier(SCHEMA, "embedding"), sql.Literal(record.encoder_id)
    )
    return iter_halfvec_rows(connection, query, dimension=record.dimension, batch_rows=2048)


def fingerprint(
    connection: Connection,
    record: EncoderRecord,
    galaxy_ids: GalaxyIds,
    magnitudes: npt.NDArray[np.float32],
) -> str:
    """Return a digest that changes when the input of a run does.

    It covers every galaxy and magnitude, and the number and newest time of the embeddings (an
    embedding that is computed again gets a new time).
    """
    newest, number = connection.execute(
        sa.select(sa.func.max(embedding.c.embedded_at), sa.func.count()).where(
            embedding.c.encoder_id == record.encoder_id
        )
    ).one()
    digest = hashlib.sha256(f"{record.checkpoint_sha256} {newest} {number}".encode())
    digest.update(np.ascontiguousarray(galaxy_ids).data)
    digest.update(np.ascontiguousarray(magnitudes).data)
    return digest.hexdigest()


def fetch_runs(connection: Connection, *, encoder_id: int | None = None) -> list[NeighborRun]:
    """Fetch all runs, or those of an encoder, oldest first."""
    rows = connection.execute(
        statement("neighbors_runs"), {"run_id": None, "encoder_id": encoder_id}
    )
    return [NeighborRun(**row._asdict()) for row in rows]


def fetch_run(connection: Connection, run_id: int) -> NeighborRun:
    """Fetch a run.

    Raises
    ------
    NeighborRunNotFoundError
        It does not exist.
    """
    parameters = {"run_id": run_id, "encoder_id": None}
    row = connection.execute(statement("neighbors_runs"), parameters).one_or_none()
    if row is None:
        raise NeighborRunNotFoundError(
            f"there is no neighbor run {run_id}; see `skylike neighbors status`"
        )
    return NeighborRun(**row._asdict())


def fetch_published_run(connection: Connection, encoder_id: int | None = None) -> NeighborRun:
    """Fetch the run that readers see, of an encoder or (None) of the active one.

    Raises
    ------
    NeighborRunNotFoundError
        None is published.
    """
    for run in fetch_runs(connection, encoder_id=encoder_id):
        if run.state == "published" and (encoder_id is not None or run.is_active):
            return run
    raise NeighborRunNotFoundError(
        "no neighbor run of this encoder is published; run `skylike neighbors build` first"
    )


def create_run(connection: Connection, values: dict[str, object]) -> NeighborRun:
    """Enter a run in state ``building`` and make the table of its lists, closed to readers."""
    run_id = connection.execute(
        sa.insert(neighbor_run).values(state="building", **values).returning(neighbor_run.c.run_id)
    ).scalar_one()
    table = _list_table(run_id)
    _run(
        connection,
        "CREATE TABLE {table} (LIKE {parent} INCLUDING DEFAULTS INCLUDING COMMENTS"
        " INCLUDING STORAGE, CONSTRAINT {check} CHECK (run_id = {run_id}))",
        table=sql.Identifier(SCHEMA, table),
        parent=sql.Identifier(SCHEMA, "neighbor_list"),
        check=sql.Identifier(f"{table}_run_check"),
        run_id=sql.Literal(run_id),
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
    return fetch_run(connection, run_id)


def fetch_finished_shards(connection: Connection, run_id: int) -> set[int]:
    """Fetch the numbers of the shards whose lists are stored."""
    query = sa.select(neighbor_shard.c.shard).where(neighbor_shard.c.run_id == run_id)
    return set(connection.scalars(query))


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
    n = len(galaxy_ids)
    batch = pa.RecordBatch.from_pydict(
        {
            "run_id": pa.array(np.full(n, run_id, np.int32)),
            "galaxy_id": pa.array(galaxy_ids),
            "neighbor_ids": array_column(neighbor_ids, lengths),
            "similarities": array_column(similarities, lengths),
        }
    )
    copy_into(connection, f"{SCHEMA}.{_list_table(run_id)}", batch)
    connection.execute(sa.insert(neighbor_shard).values(run_id=run_id, shard=shard, n_galaxies=n))


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


def complete_run(connection: Connection, run_id: int, *, recall: float, recall_sample: int) -> None:
    """Attach the lists to ``neighbor_list`` and set the run's state to ``complete``.

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
    connection.execute(
        sa.update(neighbor_run)
        .where(neighbor_run.c.run_id == run_id)
        .values(
            state="complete",
            finished_at=sa.func.clock_timestamp(),
            recall=recall,
            recall_sample=recall_sample,
        )
    )


def analyze_lists(connection: Connection) -> None:
    """Refresh the planner's statistics; of a partitioned table nothing else does it."""
    _run(connection, "ANALYZE {table}", table=sql.Identifier(SCHEMA, "neighbor_list"))


def publish_run(connection: Connection, run: NeighborRun) -> None:
    """Let readers see a run; the one before is superseded, and stays until it is dropped.

    Both in the caller's transaction: no reader sees none or two.

    Raises
    ------
    SettingsError
        The run is not complete.
    """
    if run.state == "building":
        raise SettingsError(
            f"neighbor run {run.run_id} is not complete; go on with the `skylike neighbors build` "
            "that began it"
        )
    # In this order: a unique index lets an encoder have one published run at any moment.
    connection.execute(
        sa.update(neighbor_run)
        .where(neighbor_run.c.encoder_id == run.encoder_id, neighbor_run.c.state == "published")
        .values(state="superseded")
    )
    connection.execute(
        sa.update(neighbor_run)
        .where(neighbor_run.c.run_id == run.run_id)
        .values(state="published", published_at=sa.func.now())
    )


def drop_run(connection: Connection, run: NeighborRun) -> None:
    """Remove a run and its lists.

    Raises
    ------
    SettingsError
        Readers see it.
    ConflictError
        Readers hold the tables for longer than the lock timeout.
    """
    if run.state == "published":
        raise SettingsError(
            f"neighbor run {run.run_id} is published; publish another before dropping it"
        )
    table = sql.Identifier(SCHEMA, _list_table(run.run_id))
    with _impatient(connection, f"neighbor run {run.run_id} cannot be dropped"):
        _run(connection, "DROP TABLE IF EXISTS {table}", table=table)
    connection.execute(sa.delete(neighbor_run).where(neighbor_run.c.run_id == run.run_id))


def fetch_changes(connection: Connection, run: NeighborRun) -> Changes:
    """Count what has changed since a run read its input."""
    parameters = {"encoder_id": run.encoder_id, "started_at": run.started_at}
    return Changes(**connection.execute(statement("neighbors_stale"), parameters).one()._asdict())


def fetch_runs_with_changes(connection: Connection) -> list[tuple[NeighborRun, Changes | None]]:
    """Fetch all runs, those whose lists readers see or could see with what has changed since."""
    return [
        (run, fetch_changes(connection, run) if run.state in {"complete", "published"} else None)
        for run in fetch_runs(connection)
    ]


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
    with driver_connection(connection).cursor("listed_galaxies") as cursor:
        cursor.itersize = 100_000
        cursor.execute(query)
        ids = np.fromiter((row[0] for row in cursor), dtype=np.int32)
    return np.sort(generator.choice(ids, size=min(size, len(ids)), replace=False))


def fetch_vectors(
    connection: Connection, record: EncoderRecord, galaxy_ids: GalaxyIds
) -> tuple[GalaxyIds, npt.NDArray[np.float16]]:
    """Fetch the embeddings of some galaxies; those without one are missing from the answer."""
    query = sql.SQL(
        "SELECT galaxy_id, embedding FROM {}"
        " WHERE encoder_id = {} AND galaxy_id = ANY ({}::integer[])"
    ).format(
        sql.Identifier(SCHEMA, "embedding"),
        sql.Literal(record.encoder_id),
        sql.Literal(galaxy_ids.tolist()),
    )
    parts = list(iter_halfvec_rows(connection, query, dimension=record.dimension))
    if not parts:
        return np.empty(0, np.int32), np.empty((0, record.dimension), np.float16)
    return np.concatenate([ids for ids, _ in parts]), np.concatenate([rows for _, rows in parts])
