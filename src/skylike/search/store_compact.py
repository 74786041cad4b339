"""Reads compact vectors, and compares in full what they leave: the server's part of a search."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy import Connection, Engine, Executable
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import ClauseElement, Select

from skylike.database.sql_files import statement
from skylike.database.tables import neighbor_list
from skylike.embeddings.compact import CompactBasis
from skylike.embeddings.store import EncoderRecord, fetch_compact_basis
from skylike.neighbors.similarity_codes import decode_list, stored_error
from skylike.search.store_statements import (
    Scope,
    approximate_statement,
    arrays,
    compared_statement,
    listed_statement,
    nearer_statement,
    nearest_statement,
    ranked_statement,
    sampled_statement,
    written_ids,
)

Identifiers = npt.NDArray[np.int32]
Distances = npt.NDArray[np.float64]

_ENTRIES: Final = {23: np.dtype(">i4"), 701: np.dtype(">f8")}
"""PostgreSQL's integer and double precision (pg_type.oid) as they are sent."""

SAMPLED_ROWS: Final = 4_000
"""Rows of a sample: a hundred pages, read in a millisecond or two."""

_bases: "WeakKeyDictionary[Engine, dict[tuple[int, object], CompactBasis]]" = WeakKeyDictionary()
"""Bases read before: a megabyte each, the same until an encoder's embeddings are published anew."""


def read_arrays(connection: Connection, rows: Select[Any]) -> list[npt.NDArray[Any]]:
    """Execute a query of integer and double precision columns, none NULL: an array of each."""
    return [_decoded(sent) for sent in connection.execute(arrays(rows)).one()]


def _decoded(sent: bytes | None) -> npt.NDArray[Any]:
    if sent is None:
        return np.empty(0, np.int32)
    # Dimensions, has-null, type, length, lower bound; then the size of each entry before it.
    entry = _ENTRIES[int.from_bytes(sent[8:12])]
    values = np.frombuffer(sent, [("size", ">i4"), ("value", entry)], offset=20)["value"]
    return values.astype(values.dtype.newbyteorder("="))


def fetch_compared(
    connection: Connection, scope: Scope, half: npt.NDArray[np.float16], *, limit: int
) -> tuple[Identifiers, Distances]:
    """Compare up to ``limit`` matching rows by compact vectors: identifiers and distances (n,)."""
    ids, distances = read_arrays(connection, compared_statement(scope, half, limit=limit))
    return ids, distances


def fetch_share(connection: Connection, scope: Scope, *, rows: int) -> float:
    """Estimate the share of the rows that match, from about :data:`SAMPLED_ROWS` of them.

    Never below what so small a sample can tell from none.
    """
    percent = min(100.0, 100.0 * SAMPLED_ROWS / max(rows, 1))
    counts = connection.execute(sampled_statement(scope, percent=percent)).one()
    return max(int(counts.matching), 1) / max(int(counts.total), 1)


def fetch_nearest(
    connection: Connection,
    scope: Scope,
    half: npt.NDArray[np.float16],
    *,
    limit: int,
    farthest: bool,
) -> tuple[Identifiers, Distances]:
    """Compare all matching rows and fetch the nearest (or farthest), in order."""
    found = nearest_statement(scope, half, limit=limit, farthest=farthest)
    ids, distances = read_arrays(connection, found)
    return ids, distances


def fetch_nearer(
    connection: Connection,
    scope: Scope,
    half: npt.NDArray[np.float16],
    *,
    reach: float,
    limit: int,
    farthest: bool,
) -> tuple[Identifiers, Distances]:
    """Fetch up to ``limit`` matching rows within (or beyond) a distance, in no certain order."""
    found = nearer_statement(scope, half, reach=reach, limit=limit, farthest=farthest)
    ids, distances = read_arrays(connection, found)
    return ids, distances


def fetch_ranked(
    connection: Connection,
    scope: Scope,
    half: npt.NDArray[np.float16],
    *,
    limit: int,
    least_similar: bool,
) -> tuple[Identifiers, npt.NDArray[np.float64]]:
    """Compare the embeddings of all matching rows in float32: the best ones, and their cosines."""
    # The planner does not see that vectors lie out of line, and takes a serial scan for cheap.
    _configure(
        connection,
        parallel_setup_cost="0",
        parallel_tuple_cost="0",
        min_parallel_table_scan_size="0",
    )
    found = ranked_statement(scope, half, limit=limit, least_similar=least_similar)
    ids, cosines = read_arrays(connection, found)
    return ids, cosines


def fetch_cosines(
    connection: Connection,
    encoder_id: int,
    half: npt.NDArray[np.float16],
    galaxy_ids: Identifiers,
) -> npt.NDArray[np.float64]:
    """Compute cosines in pgvector's float32, in the order of ``galaxy_ids``; -inf if undefined."""
    row = connection.execute(
        statement("search_cosines"),
        {
            "encoder_id": encoder_id,
            "galaxy_ids": written_ids(galaxy_ids),
            "vector": _written_half(half.tobytes()),
        },
    ).one()
    ids, cosines = _decoded(row.galaxy_ids), _decoded(row.cosines)
    found = np.full(len(galaxy_ids), -np.inf)
    order = np.argsort(galaxy_ids)
    found[order[np.searchsorted(galaxy_ids, ids, sorter=order)]] = cosines
    return np.where(np.isnan(found), -np.inf, found)


@lru_cache(maxsize=8)
def _written_half(entries: bytes) -> str:
    """Write a halfvec as text, from its float16 entries: once for each search, it takes a while."""
    return "[" + ",".join(map(str, np.frombuffer(entries, np.float16).tolist())) + "]"


@dataclass(frozen=True, eq=False)
class Listed:
    """What a neighbor list says.

    Attributes
    ----------
    galaxy_ids, similarities
        Members that match, best first, (n,).
    is_there
        Has the galaxy a list?
    length
        Of the whole list.
    last
        Similarity of its last member; infinite without a list.
    error
        Bound on the error of these similarities.
    """

    galaxy_ids: Identifiers
    similarities: npt.NDArray[np.float64]
    is_there: bool
    length: int
    last: float
    error: float


def fetch_listed(connection: Connection, scope: Scope, *, galaxy_id: int, run_id: int) -> Listed:
    """Walk a neighbor list: those that match, best first, with their similarity as stored."""
    whole = connection.execute(
        statement("search_list_similarities"), {"run_id": run_id, "galaxy_id": galaxy_id}
    ).one_or_none()
    if whole is None:
        none = np.empty(0, np.int32)
        return Listed(none, np.empty(0), is_there=False, length=0, last=np.inf, error=0.0)
    lists = neighbor_list.alias("list")
    ids, ranks = read_arrays(
        connection, listed_statement(scope, lists, galaxy_id=galaxy_id, run_id=run_id)
    )
    similarities = decode_list(whole.first, whole.step, whole.codes).astype(np.float64)
    return Listed(
        ids,
        similarities[ranks - 1],
        is_there=True,
        length=len(similarities),
        last=float(similarities[-1]) if len(similarities) else -np.inf,
        error=stored_error(whole.step),
    )


def fetch_approximate(
    connection: Connection, scope: Scope, half: npt.NDArray[np.float16], *, limit: int
) -> tuple[Identifiers, Distances]:
    """Fetch about ``limit`` of the nearest rows from the approximate index, in no certain order.

    pgvector looks at the cut after the index has given a row, and goes on until ``limit`` rows
    passed or ``max_scan_tuples`` were seen.
    """
    off = dict.fromkeys(("enable_seqscan", "enable_bitmapscan", "enable_sort"), "off")
    walk = {
        "hnsw.ef_search": str(min(1000, max(40, limit))),
        "hnsw.iterative_scan": "relaxed_order",
        "hnsw.max_scan_tuples": str(max(20_000, 100 * limit)),
        "hnsw.scan_mem_multiplier": "8",
    }
    _configure(connection, **walk, **off)
    ids, distances = read_arrays(connection, approximate_statement(scope, half, limit=limit))
    _configure(connection, **dict.fromkeys(off, "on"))
    return ids, distances


def _configure(connection: Connection, **settings: str) -> None:
    """Change settings of the server until the transaction ends, all in one statement."""
    changed = [sa.func.set_config(name, value, True) for name, value in settings.items()]
    connection.execute(sa.select(*changed))


def fetch_basis(connection: Connection, record: EncoderRecord) -> CompactBasis:
    """Fetch mean and principal axes of an encoder, from memory if they were read before."""
    known = _bases.setdefault(connection.engine, {})
    key = (record.encoder_id, record.embedded_at)
    if key not in known:
        basis = fetch_compact_basis(connection, record.encoder_id)
        assert basis is not None  # noqa: S101 - published together with the embeddings
        known.clear()
        known[key] = basis
    return known[key]


class _Explained(Executable, ClauseElement):
    """``EXPLAIN (ANALYZE)`` of a statement."""

    inherit_cache = False

    def __init__(self, explained: Select[Any]) -> None:
        self.explained = explained


@compiles(_Explained, "postgresql")
def _compile_explained(element: _Explained, compiler: SQLCompiler, **options: object) -> str:
    return f"EXPLAIN (ANALYZE, BUFFERS, SETTINGS) {compiler.process(element.explained, **options)}"


def explain(connection: Connection, explained: Select[Any]) -> str:
    """Run a statement once more and return the server's plan with timings."""
    plan = "\n".join(connection.execute(_Explained(explained)).scalars())
    return re.sub(r"'\[[-+.,0-9e]+\]'", "'[...]'", plan)  # the query vector, up to 20 kB
