"""Sums over staged embeddings, kept beside them: axes without reading the embeddings again.

A process adds up what it stages, and writes its sums from time to time with the list of shards they
hold. A sum counts only if the shards that name it hold just as many galaxies: where one was taken
out since, or the process was killed before it wrote, the shards are read instead.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from psycopg import sql
from sqlalchemy import Connection, Engine

from skylike.database.copy import driver_connection, iter_halfvec_rows
from skylike.database.partitions import qualified
from skylike.embeddings.compact import Moments
from skylike.embeddings.store import EncoderRecord
from skylike.embeddings.store_tables import GalaxyIds, VectorTables


def write_sums(
    connection: Connection,
    record: EncoderRecord,
    moments: Moments,
    shards: Sequence[int],
    *,
    sum_id: int | None,
) -> int:
    """Write the sums of a process, in place of those that it wrote before.

    Parameters
    ----------
    shards
        Numbers of :func:`skylike.embeddings.store_vectors.stage_shard` that the sums hold now and
        did not hold then.
    sum_id
        What this function returned before; None the first time.
    """
    tables, driver = VectorTables(record.encoder_id), driver_connection(connection)
    names = {"sums": qualified(tables.sums), "shards": qualified(tables.shards)}
    values = {"n": moments.n, "sums": moments.pack(), "sum_id": sum_id, "shards": list(shards)}
    if sum_id is None:
        query = "INSERT INTO {sums} (galaxies, sums) VALUES (%(n)s, %(sums)b) RETURNING sum_id"
    else:
        query = (
            "UPDATE {sums} SET galaxies = %(n)s, sums = %(sums)b WHERE sum_id = %(sum_id)s"
            " RETURNING sum_id"
        )
    row = driver.execute(sql.SQL(query).format(**names), values).fetchone()
    assert row is not None  # noqa: S101 - the staging tables stay as long as anybody works on them
    values["sum_id"] = row[0]
    update = "UPDATE {shards} SET sum_id = %(sum_id)s WHERE shard_id = ANY (%(shards)s)"
    driver.execute(sql.SQL(update).format(**names), values)
    return int(row[0])


def fetch_sums(connection: Connection, record: EncoderRecord) -> tuple[Moments, list[int]]:
    """Add up all sums that hold what their shards hold; return them and their numbers."""
    tables, moments = VectorTables(record.encoder_id), Moments(record.dimension)
    query = sql.SQL(
        "SELECT s.sum_id, s.galaxies FROM {sums} AS s WHERE s.galaxies ="
        " (SELECT sum(cardinality(h.galaxy_ids)) FROM {shards} AS h WHERE h.sum_id = s.sum_id)"
    ).format(sums=qualified(tables.sums), shards=qualified(tables.shards))
    driver = driver_connection(connection)
    counted = []
    for sum_id, galaxies in driver.execute(query).fetchall():
        one = sql.SQL("SELECT sums FROM {sums} WHERE sum_id = {sum_id}").format(
            sums=qualified(tables.sums), sum_id=sql.Literal(sum_id)
        )
        row = driver.execute(one, binary=True).fetchone()
        assert row is not None  # noqa: S101 - nobody else works on them while one publishes
        moments.add_packed(row[0], n=galaxies)
        counted.append(sum_id)
    return moments, counted


def iter_not_summed(
    engine: Engine, record: EncoderRecord, counted: Sequence[int]
) -> Iterator[tuple[GalaxyIds, npt.NDArray[np.float16]]]:
    """Stream the staged embeddings that are in none of these sums, in batches."""
    tables = VectorTables(record.encoder_id)
    query = sql.SQL(
        "SELECT e.galaxy_id, e.embedding FROM {staging} AS e JOIN"
        " (SELECT unnest(galaxy_ids) AS galaxy_id FROM {shards}"
        " WHERE sum_id IS NULL OR sum_id <> ALL ({counted}::integer[])) AS h USING (galaxy_id)"
    ).format(
        staging=qualified(tables.staging),
        shards=qualified(tables.shards),
        counted=sql.Literal(list(counted)),
    )
    with engine.begin() as connection:
        yield from iter_halfvec_rows(connection, query, dimension=record.dimension)
