"""Peers outside of PostgreSQL: Faiss (the oracle, in memory), LanceDB, DuckDB, qdrant-edge.

Each has ``build`` (files below a folder; seconds and bytes, or nothing where they are there) and
``methods`` (ways to ask). Settings are those that each project's documentation advises for filtered
search; none is tuned to these data.
"""

import itertools
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import faiss
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from ours import Ids, Method
from questions import K, Question, Sky, blocks, normalized, unit

COLUMNS: Final = ("ra", "dec", "mag_r", "z_phot")
SHARDS: Final = 2
"""Faiss answers one query on one thread; halves of the rows on two threads use both cores."""

FLOAT32_ROWS: Final = 300_000
"""Up to here Faiss keeps float32 (2.4 GB at d = 2048); above, float16: a million would be 8 GB."""

SPARE: Final = 32
"""Further results that Faiss gives and float64 ranks again, for ties in its float32 sums."""

_BATCH: Final = 8192


@dataclass(frozen=True)
class Peer:
    """A system to compare with."""

    name: str
    build: Callable[[Sky, Path], None]
    methods: Callable[[Sky, Path], list[Method]]


def faiss_flat(sky: Sky) -> Method:
    """Return the oracle: flat inner product with an IDSelector, everything in memory."""
    n, d = sky.vectors.shape
    bounds = np.linspace(0, n, SHARDS + 1).astype(int)
    indexes = []
    for first, last in itertools.pairwise(bounds):
        if n <= FLOAT32_ROWS:
            index = faiss.IndexFlatIP(d)
        else:
            index = faiss.IndexScalarQuantizer(
                d, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
            )
        for _, rows in blocks(sky.vectors[first:last]):
            index.add(rows.astype(np.float32))
        indexes.append(index)
    pool = ThreadPoolExecutor(SHARDS)

    def part(number: int, question: Question, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        chosen = np.flatnonzero(mask[bounds[number] : bounds[number + 1]])
        if not len(chosen):
            return chosen
        # A list of rows touches only those; a bitmap tests every row, cheaply.
        if len(chosen) < len(mask) // 20:
            selector = faiss.IDSelectorArray(chosen)
            if n > FLOAT32_ROWS:
                selector = faiss.IDSelectorBatch(chosen)
        else:
            bits = np.packbits(mask[bounds[number] : bounds[number + 1]], bitorder="little")
            selector = faiss.IDSelectorBitmap(bits)
        query = normalized(question.vector[None]).astype(np.float32)
        wanted = min(K + SPARE, len(chosen))
        parameters = faiss.SearchParameters(sel=selector)
        _, found = indexes[number].search(query, wanted, params=parameters)
        return found[0][found[0] >= 0] + bounds[number]

    def ask(question: Question) -> Ids:
        mask = sky.mask(question)
        parts = pool.map(lambda number: part(number, question, mask), range(SHARDS))
        rows = np.concatenate(list(parts))
        scores = normalized(np.array(sky.vectors[rows])) @ normalized(question.vector[None])[0]
        return sky.ids[rows[np.lexsort((rows, -scores))[:K]]]

    return Method("Faiss flat, IDSelector (oracle)", True, ask, pool.shutdown)


def sql_condition(question: Question) -> str:
    """Write cut or cone in plain SQL."""
    if question.cut is not None:
        return question.cut.sql
    if question.cone is None:
        return "true"
    cone = question.cone
    # Columns x, y, z are what users of systems without spherical geometry add.
    center = unit(np.array([cone.ra]), np.array([cone.dec]))[0].tolist()
    product = " + ".join(f"{axis} * ({value})" for axis, value in zip("xyz", center, strict=True))
    near = f'"dec" BETWEEN {cone.dec - cone.radius} AND {cone.dec + cone.radius}'
    return f"({product}) >= {math.cos(math.radians(cone.radius))} AND {near}"


def without_self(ids: npt.NDArray[np.integer], question: Question) -> Ids:
    """Take the galaxy itself out of K + 1 results."""
    return ids[ids != question.galaxy_id][:K].astype(np.int32)


def iter_batches(sky: Sky, kind: type[np.floating]) -> Iterator[pa.RecordBatch]:
    """Yield all galaxies as Arrow: galaxy_id, columns, x, y, z, embedding."""
    d = sky.vectors.shape[1]
    for start in range(0, len(sky.ids), _BATCH):
        some = slice(start, min(start + _BATCH, len(sky.ids)))
        values = np.array(sky.vectors[some]).astype(kind)
        columns: dict[str, Any] = {"galaxy_id": pa.array(sky.ids[some])}
        columns |= {name: pa.array(sky.columns[name][some]) for name in COLUMNS}
        points = sky.points[some]
        columns |= {name: pa.array(points[:, axis]) for axis, name in enumerate("xyz")}
        columns["embedding"] = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), d)
        yield pa.RecordBatch.from_pydict(columns)


def folder_bytes(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def build_lancedb(sky: Sky, folder: Path) -> None:
    """Write a LanceDB table of float16 vectors with scalar indexes and IVF_FLAT.

    IVF_PQ, its default, trained for more than 8 minutes on 20,000 such vectors and was given up.
    """
    import lancedb  # noqa: PLC0415 - peers are optional
    from lancedb.index import BTree, IvfFlat  # noqa: PLC0415

    batches = iter_batches(sky, np.float16)
    table = lancedb.connect(folder).create_table("galaxy", pa.Table.from_batches([next(batches)]))
    for batch in batches:
        table.add(pa.Table.from_batches([batch]))
    table.optimize()
    for column in ("mag_r", "z_phot", "dec"):
        table.create_index(column, config=BTree())
    table.create_index("embedding", config=IvfFlat(distance_type="cosine"))


def methods_lancedb(_sky: Sky, folder: Path) -> list[Method]:
    """Return the exact search with prefilter, and IVF_FLAT with prefilter."""
    import lancedb  # noqa: PLC0415

    table = lancedb.connect(folder).open_table("galaxy")

    def ask(question: Question, *, exact: bool) -> Ids:
        search = (
            table.search(question.vector, vector_column_name="embedding")
            .distance_type("cosine")
            .where(sql_condition(question), prefilter=True)
            .select(["galaxy_id", "_distance"])
            .limit(K + 1)
        )
        search = search.bypass_vector_index() if exact else search.nprobes(50)
        return without_self(search.to_arrow()["galaxy_id"].to_numpy(), question)

    return [
        Method("LanceDB exact, prefilter", True, lambda q: ask(q, exact=True)),
        Method("LanceDB IVF_FLAT, prefilter", False, lambda q: ask(q, exact=False)),
    ]


def _open_duckdb(folder: Path) -> Any:  # noqa: ANN401 - duckdb is optional
    import duckdb  # noqa: PLC0415
    import duckdb_extension_vss  # noqa: PLC0415

    package = Path(duckdb_extension_vss.__file__).parent
    extension = next(package.rglob("vss.duckdb_extension"))
    folder.mkdir(parents=True, exist_ok=True)
    connection = duckdb.connect(str(folder / "galaxy.duckdb"), config={"threads": 2})
    connection.execute(f"LOAD '{extension}'")
    connection.execute("SET hnsw_enable_experimental_persistence = true")
    return connection


def build_duckdb(sky: Sky, folder: Path) -> None:
    """Write a DuckDB table of FLOAT arrays with an HNSW index."""
    connection = _open_duckdb(folder)
    d = sky.vectors.shape[1]
    columns = ", ".join(f'"{name}" DOUBLE' for name in (*COLUMNS, *"xyz"))
    connection.execute(f"CREATE TABLE galaxy (galaxy_id INTEGER, {columns}, embedding FLOAT[{d}])")
    for batch in iter_batches(sky, np.float32):
        connection.register("batch", pa.Table.from_batches([batch]))
        connection.execute("INSERT INTO galaxy SELECT * FROM batch")
        connection.unregister("batch")
    connection.execute(
        "CREATE INDEX galaxy_embedding ON galaxy USING HNSW (embedding) WITH (metric = 'cosine')"
    )
    connection.close()


def methods_duckdb(_sky: Sky, folder: Path) -> list[Method]:
    """Return the exact scan, and the query that VSS may answer by its index."""
    connection = _open_duckdb(folder)
    connection.execute("SET hnsw_ef_search = 200")

    def ask(question: Question, key: str) -> Ids:
        vector = question.vector.astype(np.float32).tolist()
        d = len(vector)
        distance = f"array_cosine_distance(embedding, ?::FLOAT[{d}])"
        rows = connection.execute(
            f"SELECT galaxy_id FROM galaxy WHERE {sql_condition(question)}"
            f" ORDER BY {key.format(distance)} LIMIT {K + 1}",
            [vector],
        ).fetchnumpy()
        return without_self(np.asarray(rows["galaxy_id"]), question)

    return [
        Method("DuckDB exact", True, lambda q: ask(q, "{} + 0")),
        Method("DuckDB VSS", False, lambda q: ask(q, "{}"), connection.close),
    ]


def build_qdrant(sky: Sky, folder: Path) -> None:
    """Write a Qdrant shard of float16 vectors with payload indexes and HNSW."""
    import qdrant_edge as qdrant  # noqa: PLC0415

    vectors = qdrant.EdgeVectorParams(
        size=sky.vectors.shape[1],
        distance=qdrant.Distance.Cosine,
        datatype=qdrant.VectorStorageDatatype.Float16,
    )
    folder.mkdir(parents=True, exist_ok=True)
    shard = qdrant.EdgeShard.create(str(folder), qdrant.EdgeConfig(vectors=vectors))
    for name, kind in (("mag_r", "Float"), ("z_phot", "Float"), ("position", "Geo")):
        schema = getattr(qdrant.PayloadSchemaType, kind)
        shard.update(qdrant.UpdateOperation.create_field_index(name, schema))
    for start in range(0, len(sky.ids), 1024):
        rows = range(start, min(start + 1024, len(sky.ids)))
        values = np.array(sky.vectors[start : rows.stop]).astype(np.float32)
        points = [
            qdrant.Point(int(sky.ids[row]), vector.tolist(), _payload(sky, row))
            for row, vector in zip(rows, values, strict=True)
        ]
        shard.update(qdrant.UpdateOperation.upsert_points(points))
    while shard.optimize():
        pass
    shard.flush()
    shard.close()


def _payload(sky: Sky, row: int) -> dict[str, Any]:
    column = sky.columns
    return {
        "mag_r": float(column["mag_r"][row]),
        "z_phot": float(column["z_phot"][row]),
        "position": {"lon": float(column["ra"][row]) - 180, "lat": float(column["dec"][row])},
    }


def methods_qdrant(_sky: Sky, folder: Path) -> list[Method]:
    """Return the shard's own choice of method, and the same with ACORN."""
    import qdrant_edge as qdrant  # noqa: PLC0415

    shard = qdrant.EdgeShard.load(str(folder))

    def ask(question: Question, parameters: Any) -> Ids:  # noqa: ANN401
        must = []
        if question.cut is not None:
            below = qdrant.RangeFloat(lt=question.cut.below)
            must.append(qdrant.FieldCondition(key=question.cut.column, range=below))
        if question.cone is not None:
            center = qdrant.GeoPoint(question.cone.ra - 180, question.cone.dec)
            meters = float(np.radians(question.cone.radius) * 6_371_008.8)
            circle = qdrant.GeoRadius(center=center, radius=meters)
            must.append(qdrant.FieldCondition(key="position", geo_radius=circle))
        found = shard.search(
            qdrant.SearchRequest(
                query=qdrant.Query.Nearest(question.vector.astype(np.float32).tolist()),
                limit=K + 1,
                filter=qdrant.Filter(must=must) if must else None,
                params=parameters,
            )
        )
        return without_self(np.array([point.id for point in found], dtype=np.int32), question)

    plain = qdrant.SearchParams(hnsw_ef=200)
    acorn = qdrant.SearchParams(hnsw_ef=200, acorn=qdrant.AcornSearchParams(enable=True))
    return [
        Method("qdrant-edge", False, lambda q: ask(q, plain)),
        Method("qdrant-edge, ACORN", False, lambda q: ask(q, acorn), shard.close),
    ]


PEERS: Final = (
    Peer("lancedb", build_lancedb, methods_lancedb),
    Peer("duckdb", build_duckdb, methods_duckdb),
    Peer("qdrant", build_qdrant, methods_qdrant),
)


def open_peer(peer: Peer, sky: Sky, folder: Path) -> tuple[list[Method], dict[str, float]]:
    """Build a peer's files where they are missing; return its methods, seconds and bytes."""
    own = folder / peer.name
    done = own.with_suffix(".seconds")
    if not done.exists():
        start = time.perf_counter()
        peer.build(sky, own)
        done.write_text(str(time.perf_counter() - start), encoding="ascii")
    seconds = float(done.read_text(encoding="ascii"))
    return peer.methods(sky, own), {"seconds": seconds, "bytes": float(folder_bytes(own))}
