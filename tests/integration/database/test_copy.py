import numpy as np
import pyarrow as pa
import pytest
import sqlalchemy as sa
from psycopg import sql
from sqlalchemy import Connection

from skylike.database.copy import (
    array_column,
    copy_into,
    halfvec_column,
    iter_fixed_rows,
    iter_halfvec_rows,
)


@pytest.fixture
def vectors(connection: Connection) -> Connection:
    connection.execute(sa.text("CREATE TABLE vectors (galaxy_id integer, embedding halfvec(5))"))
    return connection


@pytest.mark.parametrize("n", [0, 1, 3, 1000])
def test_halfvecs_when_copied_in_and_out_then_are_the_same_bits(vectors: Connection, n: int):
    rng = np.random.default_rng(7)
    values = rng.normal(size=(n, 5)).astype(np.float16)
    ids = rng.permutation(n).astype(np.int32)
    batch = pa.record_batch({"galaxy_id": pa.array(ids), "embedding": halfvec_column(values)})

    written = copy_into(vectors, "vectors", batch)
    query = sql.SQL("SELECT galaxy_id, embedding FROM vectors ORDER BY ctid")
    blocks = list(iter_halfvec_rows(vectors, query, dimension=5, batch_rows=256))

    assert written == n
    assert all(len(block_ids) <= 256 for block_ids, _ in blocks)
    found_ids = np.concatenate([block_ids for block_ids, _ in blocks] or [ids])
    found = np.concatenate([block for _, block in blocks] or [values])
    np.testing.assert_array_equal(found_ids, ids)
    np.testing.assert_array_equal(found, values)


def test_arrays_when_copied_then_keep_elements_and_empty_lists(connection: Connection):
    connection.execute(sa.text("CREATE TABLE lists (name text, ids integer[], likes real[])"))
    lengths = np.array([3, 0, 1, 2], dtype=np.int64)
    ids = np.array([5, -7, 2**31 - 1, 0, 11, 12], dtype=np.int32)
    likes = np.array([0.5, -1.0, 1e-30, 3.25, 0.1, np.nan], dtype=np.float32)
    batch = pa.record_batch(
        {
            "name": pa.array(["a", "b", None, "d"]),
            "ids": array_column(ids, lengths),
            "likes": array_column(likes, lengths),
        }
    )

    copy_into(connection, "lists", batch)

    rows = connection.execute(sa.text("SELECT name, ids, likes FROM lists ORDER BY ctid")).all()
    assert [row.name for row in rows] == ["a", "b", None, "d"]
    assert [row.ids for row in rows] == [[5, -7, 2**31 - 1], [], [0], [11, 12]]
    np.testing.assert_array_equal(np.concatenate([row.likes for row in rows]).astype("f4"), likes)


def test_arrays_when_all_equally_long_then_are_those_of_any_length(connection: Connection):
    connection.execute(sa.text("CREATE TABLE lists (ids integer[], likes real[])"))
    rng = np.random.default_rng(8)
    # 600 rows of 4 kB: more than one chunk of the copy.
    ids = rng.integers(-(2**31), 2**31, (600, 250), dtype=np.int32)
    likes = rng.normal(size=(600, 250)).astype(np.float32)
    lengths = np.full(600, 250)
    batch = pa.record_batch(
        {
            "ids": array_column(ids.ravel(), lengths),
            "likes": array_column(likes.ravel(), lengths),
        }
    )

    copy_into(connection, "lists", batch)

    rows = connection.execute(sa.text("SELECT ids, likes FROM lists ORDER BY ctid")).all()
    np.testing.assert_array_equal([row.ids for row in rows], ids)
    np.testing.assert_array_equal(np.array([row.likes for row in rows], np.float32), likes)


@pytest.mark.parametrize("n", [0, 1, 4, 9])
def test_rows_of_fixed_width_when_streamed_then_come_in_batches(connection: Connection, n: int):
    query = sql.SQL("SELECT i, i / 2.0::real FROM generate_series(1, {}) AS i").format(n)

    batches = list(
        iter_fixed_rows(connection, query, [("i", ">i4"), ("half", ">f8")], batch_rows=4)
    )

    assert all(1 <= len(batch) <= 4 for batch in batches)
    assert [int(i) for batch in batches for i in batch["i"]] == list(range(1, n + 1))
    assert [float(h) for batch in batches for h in batch["half"]] == [
        i / 2 for i in range(1, n + 1)
    ]


def test_table_when_copied_in_chunks_then_all_rows_arrive(connection: Connection):
    connection.execute(sa.text('CREATE TABLE points (ra double precision, "dec" double precision)'))
    ra = np.linspace(0, 359, 70_000)
    table = pa.table({"ra": ra, "dec": pa.array(ra / 4 - 45, mask=ra > 358)})

    assert copy_into(connection, "points", table) == 70_000

    row = connection.execute(sa.text('SELECT count(*), count("dec"), sum(ra) FROM points')).one()
    assert row[0] == 70_000
    assert row[1] == int((ra <= 358).sum())
    assert row[2] == pytest.approx(ra.sum())
