"""Plain pgvector, as a good user writes it: one table with vectors and columns, B-trees, HNSW.

``exact`` lets the B-tree apply the cut and sorts by distance (the key is an expression, or the
planner would take the approximate index and return too few rows). ``iterative`` walks an HNSW index
with ``hnsw.iterative_scan``, again sorted outside, as pgvector's README has it. The index is on the
halfvec itself, or (``bits``) on the signs of the centered vector, reranked: what the README advises
where a graph of whole vectors does not fit in memory.
"""

import time
from typing import Any, Final

import numpy as np
import psycopg
from ours import Ids, Method
from pgvector import HalfVector
from pgvector.psycopg import register_vector
from psycopg import sql
from questions import K, Question
from sqlalchemy import Engine

SCHEMA: Final = "benchmark"
EF_SEARCH: Final = 200
MAX_SCAN_TUPLES: Final = 100_000
RERANK: Final = 1000
"""Candidates by their signs that are compared in full."""

PARALLEL: Final = (
    # The planner knows nothing of vectors stored out of line (README, troubleshooting).
    "SET max_parallel_workers_per_gather = 2",
    "SET min_parallel_table_scan_size = 0",
    "SET parallel_setup_cost = 10",
)


def open_connection(engine: Engine) -> psycopg.Connection[Any]:
    """Open a psycopg connection to the engine's database."""
    url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    connection = psycopg.connect(url, autocommit=True)
    register_vector(connection)
    connection.execute("SET search_path = skylike, public")
    return connection


def table_name(case: str) -> sql.Identifier:
    """Name the plain table of a case."""
    return sql.Identifier(SCHEMA, f"plain_{case}")


def build_table(engine: Engine, case: str) -> dict[str, float]:
    """Copy vectors and columns into one table with B-trees, unless it is there."""
    start = time.perf_counter()
    with open_connection(engine) as connection:
        connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(SCHEMA)))
        name = table_name(case)
        if (seconds := seconds_of(connection, f"plain_{case}")) is not None:
            return {"seconds": seconds}
        query = sql.SQL(
            "CREATE TABLE {} AS SELECT g.galaxy_id, g.ra, g.dec, g.mag_r, g.z_phot,"
            " e.embedding::halfvec({}) AS embedding FROM skylike.embedding AS e"
            " JOIN skylike.galaxy AS g USING (galaxy_id) JOIN skylike.encoder AS n"
            " USING (encoder_id) WHERE n.name = {} ORDER BY g.healpix29"
        )
        dimension = sql.Literal(dimension_of(connection, case))
        connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(name))  # half-built
        connection.execute(query.format(name, dimension, sql.Literal(case)))
        for columns in ("galaxy_id", "mag_r", "z_phot", "dec, ra"):
            connection.execute(sql.SQL("CREATE INDEX ON {} (" + columns + ")").format(name))
        connection.execute(sql.SQL("VACUUM ANALYZE {}").format(name))
        seconds = time.perf_counter() - start
        note_seconds(connection, sql.SQL("TABLE {}").format(name), seconds)
    return {"seconds": seconds}


def build_hnsw(engine: Engine, case: str, *, bits: bool) -> dict[str, float]:
    """Build the HNSW index, unless it is there."""
    start = time.perf_counter()
    kind = "bits" if bits else "half"
    with open_connection(engine) as connection:
        index = f"plain_{case}_{kind}"
        if (seconds := seconds_of(connection, index)) is not None:
            return {"seconds": seconds}
        connection.execute("SET maintenance_work_mem = '4GB'")
        connection.execute(
            sql.SQL("DROP INDEX IF EXISTS {}").format(sql.Identifier(SCHEMA, index))  # half-built
        )
        connection.execute("SET max_parallel_maintenance_workers = 2")
        key = sql.SQL("embedding halfvec_cosine_ops")
        if bits:
            dimension = dimension_of(connection, case)
            make_signs(connection, case, dimension)
            key = sql.SQL(f"(({signs(case, dimension, 'embedding')})) bit_hamming_ops")
        connection.execute(
            sql.SQL("CREATE INDEX {} ON {} USING hnsw ({})").format(
                sql.Identifier(index), table_name(case), key
            )
        )
        seconds = time.perf_counter() - start
        name = sql.SQL("INDEX {}").format(sql.Identifier(SCHEMA, index))
        note_seconds(connection, name, seconds)
    return {"seconds": seconds}


def signs(case: str, dimension: int, of: str) -> str:
    """Write the signs of a centered vector; the cast is what tells the index their number."""
    return f"{SCHEMA}.signs_{case}({of})::bit({dimension})"


def make_signs(connection: psycopg.Connection[Any], case: str, dimension: int) -> None:
    """Make that function; without centering all signs of a trained encoder's features are one."""
    row = connection.execute(
        sql.SQL(
            "SELECT avg(embedding::vector)::halfvec::text"
            " FROM (SELECT embedding FROM {} LIMIT 50000) AS sample"
        ).format(table_name(case))
    ).fetchone()
    assert row is not None
    connection.execute(
        sql.SQL(
            "CREATE OR REPLACE FUNCTION {}(halfvec) RETURNS bit({}) IMMUTABLE STRICT PARALLEL SAFE"
            " LANGUAGE sql RETURN public.binary_quantize($1 - {}::public.halfvec)::bit({})"
        ).format(
            sql.Identifier(SCHEMA, f"signs_{case}"),
            sql.Literal(dimension),
            sql.Literal(row[0]),
            sql.Literal(dimension),
        )
    )


def dimension_of(connection: psycopg.Connection[Any], case: str) -> int:
    """Return the dimension of a case's embeddings."""
    query = "SELECT dimension FROM skylike.encoder WHERE name = %s"
    row = connection.execute(query, (case,)).fetchone()
    assert row is not None
    return int(row[0])


def note_seconds(
    connection: psycopg.Connection[Any], relation: sql.Composed, seconds: float
) -> None:
    """Keep the time of a build as a comment, for the runs that find it built."""
    note = sql.Literal(f"{seconds:.1f}")
    connection.execute(sql.SQL("COMMENT ON {} IS {}").format(relation, note))


def seconds_of(connection: psycopg.Connection[Any], relation: str) -> float | None:
    """Return how long a relation of the benchmark's schema took to build, None if it is not."""
    row = connection.execute(
        "SELECT obj_description(to_regclass(%s), 'pg_class')", (f"{SCHEMA}.{relation}",)
    ).fetchone()
    return None if row is None or row[0] is None else float(row[0])


def relation_bytes(engine: Engine, case: str) -> dict[str, int]:
    """Return the bytes of table and indexes."""
    with open_connection(engine) as connection:
        rows = connection.execute(
            "SELECT c.relname, CASE c.relkind WHEN 'r' THEN pg_table_size(c.oid)"
            " ELSE pg_relation_size(c.oid) END FROM pg_class AS c"
            " JOIN pg_namespace AS s ON s.oid = c.relnamespace"
            " WHERE s.nspname = %s AND c.relname LIKE %s AND c.relkind IN ('r', 'i')",
            (SCHEMA, f"plain_{case}%"),
        ).fetchall()
    return {str(name): int(size) for name, size in rows}


def condition(question: Question) -> sql.Composed:
    """Write cut or cone, and that the galaxy itself is no result."""
    parts = [sql.SQL("galaxy_id <> {}").format(sql.Literal(question.galaxy_id))]
    if question.cut is not None:
        cut = question.cut
        parts.append(sql.SQL("{} < {}").format(sql.Identifier(cut.column), sql.Literal(cut.below)))
    if question.cone is not None:
        cone = question.cone
        parts.append(
            sql.SQL("in_cone(ra, dec, {}, {}, {})").format(
                *map(sql.Literal, (cone.ra, cone.dec, cone.radius))
            )
        )
    return sql.SQL(" AND ").join(parts)


def exact(engine: Engine, case: str) -> Method:
    """Return the exact search over the plain table."""
    connection = open_connection(engine)
    for setting in PARALLEL:
        connection.execute(setting)
    query = sql.SQL("SELECT galaxy_id FROM {} WHERE {} ORDER BY (embedding <=> {}) + 0 LIMIT {}")

    def ask(question: Question) -> Ids:
        return run(connection, query, case, question)

    return Method("pgvector exact", True, ask, connection.close)


def run(connection: psycopg.Connection[Any], query: sql.SQL, case: str, question: Question) -> Ids:
    """Run a query of table, condition, vector and limit."""
    # As text inside the statement: a parameter would get a plan that ignores the cut.
    vector = sql.Literal(HalfVector(question.vector).to_text())
    typed = sql.SQL("{}::halfvec").format(vector)
    rows = connection.execute(
        query.format(table_name(case), condition(question), typed, sql.Literal(K))
    ).fetchall()
    return np.array([row[0] for row in rows], dtype=np.int32)


def iterative(engine: Engine, case: str, *, bits: bool) -> Method:
    """Return the approximate search over the HNSW index, iterative."""
    connection = open_connection(engine)
    connection.execute(f"SET hnsw.ef_search = {EF_SEARCH}")
    connection.execute("SET hnsw.iterative_scan = relaxed_order")
    connection.execute(f"SET hnsw.max_scan_tuples = {MAX_SCAN_TUPLES}")
    connection.execute("SET hnsw.scan_mem_multiplier = 4")
    nearness, limit = "embedding <=> {0}", K
    if bits:
        dimension = dimension_of(connection, case)
        stored, asked = (signs(case, dimension, of) for of in ("embedding", "{0}"))
        nearness, limit = f"{stored} <~> {asked}", RERANK

    def ask(question: Question) -> Ids:
        vector = sql.SQL("{}::halfvec").format(sql.Literal(HalfVector(question.vector).to_text()))
        query = sql.SQL(
            "WITH near AS MATERIALIZED (SELECT galaxy_id, embedding <=> {} AS distance FROM {}"
            " WHERE {} ORDER BY {} LIMIT {}) SELECT galaxy_id FROM near ORDER BY distance + 0"
            " LIMIT {}"
        ).format(
            vector,
            table_name(case),
            condition(question),
            sql.SQL(nearness).format(vector),
            sql.Literal(limit),
            sql.Literal(K),
        )
        return np.array([row[0] for row in connection.execute(query).fetchall()], dtype=np.int32)

    return Method(
        "pgvector HNSW on signs, reranked" if bits else "pgvector HNSW",
        False,
        ask,
        connection.close,
    )
