"""Lists in their two tables: what is read back, what the view shows, how large, how planned."""

import json
from collections.abc import Iterator

import numpy as np
import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from neighbor_factory import insert_sky, unit_float16
from skylike.neighbors import store, store_lists
from skylike.neighbors.similarity_codes import LARGEST_STEP, decoding_error

K = 999
TOLERANCE = decoding_error(float(LARGEST_STEP))


def falling(generator: np.random.Generator, n: int, length: int) -> np.ndarray:
    """Similarities of n lists, as dense as the nearest of a hundred thousand: (n, length)."""
    wide = generator.beta(4, 3, (n, 20 * length)).astype(np.float32)
    return np.sort(wide, axis=1)[:, : -length - 1 : -1]


def new_run(connection: Connection, encoder_id: int, *, k: int = K) -> int:
    values = {"encoder_id": encoder_id, "k": k, "band": None, "width": None, "software": {}}
    return store.create_run(connection, values).run_id


def write(connection: Connection, run_id: int, lists: dict[int, tuple[list, list]]) -> None:
    """Write lists, identifiers and similarities by galaxy, as a shard."""
    store_lists.write_shard(
        connection,
        run_id,
        0,
        galaxy_ids=np.array(list(lists), np.int32),
        neighbor_ids=np.concatenate([np.array(ids, np.int32) for ids, _ in lists.values()]),
        similarities=np.concatenate([np.array(some, np.float32) for _, some in lists.values()]),
        lengths=np.array([len(ids) for ids, _ in lists.values()], np.int64),
    )


def publish(connection: Connection, run_id: int) -> None:
    store_lists.index_lists(connection, run_id)
    store_lists.attach_lists(connection, run_id)
    connection.execute(
        sa.text("UPDATE neighbor_run SET state = 'published' WHERE run_id = :r"), {"r": run_id}
    )
    connection.commit()


def small_sky(connection: Connection) -> int:
    generator = np.random.default_rng(1)
    vectors = unit_float16(generator.standard_normal((10, 4)))
    return insert_sky(connection, vectors, np.full(10, 18, np.float32)).encoder_id


LISTS = {
    3: ([6, 9, 12], [1.0, 0.25, -1.0]),  # falls that take several bytes
    6: ([], []),
    9: ([3], [0.5]),
    12: ([15, 18, 21, 24], [0.75, 0.75, 0.75, 0.75]),
    15: ([18, 12, 3], [0.9, 0.89999, 0.88]),
}


def test_lists_when_written_then_are_read_back_within_the_error(connection: Connection):
    run_id = new_run(connection, small_sky(connection))

    write(connection, run_id, LISTS)

    found = store_lists.fetch_lists(connection, run_id, np.array([*LISTS, 777], np.int32))
    assert found.keys() == LISTS.keys()
    for galaxy_id, (ids, similarities) in LISTS.items():
        assert found[galaxy_id][0].tolist() == ids
        assert np.abs(found[galaxy_id][1] - np.float32(similarities)).max(initial=0) <= TOLERANCE


def test_view_when_read_then_decodes_the_same_float32_numbers(connection: Connection):
    run_id = new_run(connection, small_sky(connection))
    generator = np.random.default_rng(2)
    lists = LISTS | {
        18: (list(range(1, K + 1)), falling(generator, 1, K)[0].tolist()),
        21: (list(range(1, 301)), np.linspace(1, -1, 300).tolist()),
    }
    write(connection, run_id, lists)
    publish(connection, run_id)
    expected = store_lists.fetch_lists(connection, run_id, np.array(list(lists), np.int32))

    for galaxy_id in lists:
        rows = connection.execute(
            sa.text(
                "SELECT rank, neighbor_id, similarity FROM neighbor WHERE galaxy_id = :g"
                " ORDER BY rank"
            ),
            {"g": galaxy_id},
        ).all()
        ids, similarities = expected[galaxy_id]
        assert [row.rank for row in rows] == list(range(1, len(ids) + 1))
        assert [row.neighbor_id for row in rows] == ids.tolist()
        shown = np.array([row.similarity for row in rows], np.float32)
        assert np.array_equal(shown, similarities)


def test_first_when_a_list_is_empty_then_is_null(connection: Connection):
    run_id = new_run(connection, small_sky(connection))

    write(connection, run_id, LISTS)

    table = store_lists.run_table(store_lists.SIMILARITIES, run_id)
    without = connection.scalars(sa.text(f"SELECT galaxy_id FROM {table} WHERE first IS NULL"))
    assert without.all() == [6]


def test_shard_when_similarities_cannot_be_written_then_has_no_lists_either(
    engine: Engine, connection: Connection
):
    run_id = new_run(connection, small_sky(connection))
    table = store_lists.run_table(store_lists.SIMILARITIES, run_id)
    connection.execute(sa.text(f"ALTER TABLE {table} ADD CHECK (step > 1)"))
    connection.commit()

    with pytest.raises(psycopg.errors.CheckViolation), engine.begin() as writer:
        write(writer, run_id, LISTS)

    assert store_lists.fetch_lists(connection, run_id, np.array([3], np.int32)) == {}
    lists = store_lists.run_table(store_lists.LISTS, run_id)
    assert connection.scalar(sa.text(f"SELECT count(*) FROM {lists}")) == 0
    assert store_lists.fetch_finished_shards(connection, run_id) == set()


def test_shard_when_it_is_empty_then_is_done_all_the_same(connection: Connection):
    run_id = new_run(connection, small_sky(connection))
    none = np.empty(0, np.int32)

    store_lists.write_shard(
        connection,
        run_id,
        4,
        galaxy_ids=none,
        neighbor_ids=none,
        similarities=np.empty(0, np.float32),
        lengths=np.empty(0, np.int64),
    )

    assert store_lists.fetch_finished_shards(connection, run_id) == {4}


@pytest.mark.parametrize("parent", [store_lists.LISTS, store_lists.SIMILARITIES])
def test_reader_when_a_run_is_under_way_then_may_not_look_into_its_tables(
    connection: Connection, parent: str
):
    run_id = new_run(connection, small_sky(connection))
    write(connection, run_id, LISTS)
    connection.commit()

    connection.execute(sa.text("SET ROLE skylike_reader"))

    assert connection.scalar(sa.text(f"SELECT count(*) FROM {parent}")) == 0
    with pytest.raises(sa.exc.ProgrammingError, match="permission denied"):
        connection.execute(sa.text(f"SELECT * FROM {store_lists.run_table(parent, run_id)}"))


def test_reader_when_a_run_is_published_then_reads_the_view_and_both_tables(
    connection: Connection,
):
    run_id = new_run(connection, small_sky(connection))
    write(connection, run_id, LISTS)
    publish(connection, run_id)

    connection.execute(sa.text("SET ROLE skylike_reader"))

    rows = sum(len(ids) for ids, _ in LISTS.values())
    assert connection.scalar(sa.text("SELECT count(similarity) FROM neighbor")) == rows
    for parent in (store_lists.LISTS, store_lists.SIMILARITIES):
        assert connection.scalar(sa.text(f"SELECT count(*) FROM {parent}")) == len(LISTS)


def test_run_when_dropped_then_leaves_no_table(connection: Connection):
    run_id = new_run(connection, small_sky(connection))
    write(connection, run_id, LISTS)
    publish(connection, run_id)

    store_lists.drop_lists(connection, run_id)

    left = connection.scalars(
        sa.text("SELECT relname FROM pg_class WHERE relname LIKE 'neighbor%\\_r' || :run || '%'"),
        {"run": run_id},
    )
    assert left.all() == []


@pytest.fixture
def many(connection: Connection) -> Iterator[int]:
    """A published run of 12,000 lists, and an older one: the run's number."""
    n = 12_000
    generator = np.random.default_rng(3)
    vectors = unit_float16(generator.standard_normal((n, 4)))
    ids = np.arange(1, n + 1, dtype=np.int32)
    sky = insert_sky(
        connection, vectors, generator.uniform(15, 20, n).astype(np.float32), galaxy_ids=ids
    )
    some = falling(generator, 16, K)
    run_id = 0
    for some_ids in (ids[: n // 4], ids):
        run_id = new_run(connection, sky.encoder_id)
        for shard, own in enumerate(np.array_split(some_ids, max(1, len(some_ids) // 4000))):
            store_lists.write_shard(
                connection,
                run_id,
                shard,
                galaxy_ids=own,
                neighbor_ids=generator.integers(1, n + 1, len(own) * K).astype(np.int32),
                similarities=some[np.arange(len(own)) % 16].ravel(),
                lengths=np.full(len(own), K),
            )
        store_lists.index_lists(connection, run_id)
        store_lists.attach_lists(connection, run_id)
    publish_again = "UPDATE neighbor_run SET state = 'published' WHERE run_id = :r"
    connection.execute(sa.text(publish_again), {"r": run_id})
    store_lists.analyze_lists(connection)
    connection.execute(sa.text("ANALYZE galaxy"))
    connection.commit()
    # As our own server is tuned: data in memory or on SSDs.
    connection.execute(sa.text("SET random_page_cost = 1.1"))
    yield run_id
    connection.rollback()


def plan_nodes(connection: Connection, query: str) -> list[dict]:
    """All nodes of a query's plan."""
    explained = connection.scalar(sa.text(f"EXPLAIN (FORMAT JSON) {query}"))
    nodes = []
    waiting = [(explained if isinstance(explained, list) else json.loads(explained))[0]["Plan"]]
    while waiting:
        node = waiting.pop()
        nodes.append(node)
        waiting.extend(node.get("Plans", []))
    return nodes


def scans_of(nodes: list[dict], table: str) -> list[dict]:
    return [node for node in nodes if node.get("Relation Name") == table]


def assert_looked_up_by_galaxy(nodes: list[dict], run_id: int) -> None:
    for parent in (store_lists.LISTS, store_lists.SIMILARITIES):
        table = store_lists.run_table(parent, run_id)
        (scan,) = scans_of(nodes, table)
        assert scan["Index Name"] == f"{table}_pkey"
        assert "run_id =" in scan["Index Cond"]
        assert "galaxy_id =" in scan["Index Cond"]


def test_storage_at_k_999_then_takes_5600_bytes_a_galaxy_at_most(connection: Connection, many: int):
    size = connection.scalar(
        sa.text("SELECT pg_total_relation_size(:a) + pg_total_relation_size(:b)"),
        {
            "a": store_lists.run_table(store_lists.LISTS, many),
            "b": store_lists.run_table(store_lists.SIMILARITIES, many),
        },
    )

    assert 5000 < size / 12_000 <= 5600


def test_plan_when_one_galaxy_is_asked_then_reads_its_rows_by_primary_key(
    connection: Connection, many: int
):
    nodes = plan_nodes(
        connection,
        "SELECT n.rank, n.similarity, g.mag_r FROM neighbor AS n"
        " JOIN galaxy AS g ON g.galaxy_id = n.neighbor_id"
        " WHERE n.galaxy_id = 4711 AND g.mag_r < 18 ORDER BY n.rank",
    )

    assert_looked_up_by_galaxy(nodes, many)
    # Workers take longer to start than one list to read.
    assert not [node for node in nodes if node["Node Type"].startswith("Gather")]


def test_plan_when_1000_galaxies_are_joined_then_looks_each_up_and_expands_no_other(
    connection: Connection, many: int
):
    nodes = plan_nodes(
        connection,
        "SELECT a.galaxy_id, n.rank, n.similarity, g.mag_r FROM galaxy AS a"
        " JOIN neighbor AS n ON n.galaxy_id = a.galaxy_id"
        " JOIN galaxy AS g ON g.galaxy_id = n.neighbor_id"
        " WHERE a.galaxy_id BETWEEN 2001 AND 3000 AND g.mag_r < 18",
    )

    assert_looked_up_by_galaxy(nodes, many)
    (expansion,) = [node for node in nodes if node["Node Type"] == "Function Scan"]
    assert expansion["Plan Rows"] < 2 * K
    (expanded,) = [node for node in nodes if expansion in node.get("Plans", [])]
    assert expanded["Node Type"] == "Nested Loop"
    assert expanded["Plan Rows"] < 3 * 1000 * K
