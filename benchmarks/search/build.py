"""Fill an empty database with generated galaxies, as the product would, and time the load.

    export SKYLIKE_HOME=/var/lib/skylike-bench && skylike db start
    python benchmarks/search/build.py --data FOLDER [--case trained --case slow]
        [--basis-sample 100000] [--output build.json]

FOLDER is what data.py wrote. The catalog goes through the functions of ``skylike catalog load``,
embeddings and compact vectors through those of ``skylike embed``, an encoder for each case; there
are no pixels behind the cutouts. Principal axes are fitted to a sample (all of a million galaxies
are minutes of float64 products; the bound of compact vectors holds for any axes). What
is there already is kept: a killed build goes on with the case that it was at.

Every tenth block is also copied, encoded beforehand, into a bare table: that rate is the raw COPY
that loading is compared with. Prints JSON: rates, seconds of each step, bytes of each relation.
"""

import argparse
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import sqlalchemy as sa
from pgpq import ArrowToPostgresBinaryEncoder
from sqlalchemy import Engine

from skylike.catalog.load import load_files
from skylike.catalog.plan import LoadOptions
from skylike.database.copy import driver_connection, halfvec_column
from skylike.database.engine import make_engine
from skylike.database.server import owner_url
from skylike.embeddings import store, store_publication, store_staging, store_vectors
from skylike.embeddings.compact import Moments, default_components
from skylike.embeddings.extract import SHARD_ROWS
from skylike.embeddings.publish import show_vectors, stage_compact_vectors
from skylike.embeddings.store import EncoderRecord
from skylike.embeddings.store_staging import Shard
from skylike.images.rows import CutoutRows, FileDescription
from skylike.images.store import fetch_cutout_index, write_cutouts
from skylike.settings import load_settings

BLOCK_ROWS: Final = 16 * SHARD_ROWS
RAW_EVERY: Final = 10
"""One block in so many is copied both ways."""

NOWHERE: Final = "/nowhere/benchmark.h5"
"""Path of the file of cutouts, which no search opens."""


@dataclass
class Times:
    """Seconds and galaxies of each step."""

    seconds: dict[str, float] = field(default_factory=dict)
    galaxies: dict[str, int] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str, n: int = 0) -> Iterator[None]:
        """Add the time of the ``with`` block, in which n galaxies were handled, to a step."""
        start = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
        self.galaxies[name] = self.galaxies.get(name, 0) + n

    def rate(self, name: str) -> float:
        """Return galaxies per second of a step."""
        return self.galaxies[name] / self.seconds[name]


def open_engine() -> Engine:
    """Return an engine on the database that ``skylike`` itself would use."""
    settings = load_settings()
    given = None if settings.database_url is None else settings.database_url.get_secret_value()
    return make_engine(owner_url(settings.home, given=given), application="skylike benchmark")


def load_catalog(engine: Engine, parquet: Path, times: Times) -> None:
    """Load the catalog, and a cutout for each galaxy."""
    with times.step("catalog"):
        load_files(engine, [parquet], options=LoadOptions(survey="benchmark")).check()
    ids = galaxy_ids(engine)
    times.galaxies["catalog"] = len(ids)
    n = len(ids)
    rows = CutoutRows(
        file_row=np.arange(n, dtype=np.int32),
        name=ids.astype(np.str_),
        ra=np.full(n, np.nan),
        dec=np.full(n, np.nan),
        object_id=np.full(n, -1, dtype=np.int64),
        coverage=np.ones((n, 3), dtype=np.float32),
    )
    file = FileDescription(NOWHERE, NOWHERE, "", "rgb", ("g", "r", "z"), n, 152, 0.262)
    with times.step("cutouts", n), engine.begin() as connection:
        same = np.zeros(n, dtype=np.bool_)
        write_cutouts(connection, file, rows, galaxy_id=ids, is_same=same)


def galaxy_ids(engine: Engine) -> npt.NDArray[np.int32]:
    """Return the identifiers in the order of the rows that data.py wrote."""
    with engine.connect() as connection:
        ids = connection.scalars(sa.text("SELECT galaxy_id FROM skylike.galaxy ORDER BY healpix29"))
        return np.fromiter(ids, np.int32)


def enter_encoder(engine: Engine, name: str, dimension: int) -> EncoderRecord:
    """Enter an encoder without weights, unless it is there."""
    with engine.begin() as connection:
        if name not in {record.name for record in store.fetch_encoders(connection)}:
            values = {
                "name": name,
                "architecture": "resnet50",
                "width": 1.0,
                "dimension": dimension,
                "input": "rgb",
                "bands": ["g", "r", "z"],
                "pixel_scale": 0.262,
                "crop_pix": 96,
                "preprocessing": {},
                "training": {"note": "generated by benchmarks/search/data.py"},
                "checkpoint": "/nowhere/benchmark.pt",
                "checkpoint_sha256": "",
            }
            store.insert_encoder(connection, values)
        return store.fetch_encoder(connection, name)


def load_embeddings(
    engine: Engine,
    record: EncoderRecord,
    ids: npt.NDArray[np.int32],
    vectors: npt.NDArray[np.float16],
    times: Times,
) -> None:
    """Stage all embeddings in shards, and some of them raw."""
    cutout_of = cutout_ids(engine, ids)
    with engine.begin() as connection:
        as_of = store_staging.begin_staging(connection, record)
        connection.execute(sa.text("DROP TABLE IF EXISTS skylike.benchmark_raw"))
        columns = "encoder_id, galaxy_id, embedding, cutout_id, is_inverted, embedded_at"
        connection.execute(
            sa.text(
                f"CREATE TABLE skylike.benchmark_raw AS SELECT {columns} FROM skylike.embedding"
                " WITH NO DATA"
            )
        )
    for number, start in enumerate(range(0, len(ids), BLOCK_ROWS)):
        some = slice(start, min(start + BLOCK_ROWS, len(ids)))
        # Read before the clock starts: an encoder would have the vectors in memory.
        block = np.array(vectors[some])
        with times.step("embeddings", len(block)):
            for first in range(0, len(block), SHARD_ROWS):
                rows = slice(first, first + SHARD_ROWS)
                shard = Shard(ids[some][rows], cutout_of[some][rows], block[rows])
                with engine.begin() as connection:
                    store_staging.stage_shard(connection, record, shard, as_of=as_of)
        if number % RAW_EVERY == 0:
            copy_raw(engine, record, ids[some], block, times)
    with engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE skylike.benchmark_raw"))


def copy_raw(
    engine: Engine,
    record: EncoderRecord,
    ids: npt.NDArray[np.int32],
    vectors: npt.NDArray[np.float16],
    times: Times,
) -> None:
    """Copy a block, encoded beforehand, into the bare table in one transaction."""
    n = len(ids)
    batch = pa.RecordBatch.from_pydict(
        {
            "encoder_id": pa.array(np.full(n, record.encoder_id, dtype=np.int32)),
            "galaxy_id": pa.array(ids),
            "embedding": halfvec_column(vectors),
            "cutout_id": pa.array(ids),
            "is_inverted": pa.array(np.zeros(n, dtype=np.bool_)),
            "embedded_at": pa.array([datetime.now(UTC)] * n, pa.timestamp("us", tz="UTC")),
        }
    )
    encoder = ArrowToPostgresBinaryEncoder(batch.schema)
    data = encoder.write_header() + encoder.write_batch(batch) + encoder.finish()
    with times.step("raw COPY", n), engine.begin() as connection:
        cursor = driver_connection(connection).cursor()
        with cursor, cursor.copy("COPY skylike.benchmark_raw FROM STDIN (FORMAT BINARY)") as copy:
            copy.write(data)


def cutout_ids(engine: Engine, ids: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Return the cutout of each galaxy."""
    with engine.connect() as connection:
        index = fetch_cutout_index(connection, with_galaxy_only=True)
    order = np.argsort(index.galaxy_id)
    return index.cutout_id[order[np.searchsorted(index.galaxy_id, ids, sorter=order)]]


def publish(
    engine: Engine,
    record: EncoderRecord,
    vectors: npt.NDArray[np.float16],
    times: Times,
    sample: int,
) -> EncoderRecord:
    """Fit axes, make compact vectors and show everything, as ``skylike embed`` ends."""
    chosen = np.sort(
        np.random.default_rng(0).choice(len(vectors), min(sample, len(vectors)), False)
    )
    with times.step("principal axes of a sample", len(chosen)):
        moments = Moments(record.dimension)
        for rows in np.array_split(chosen, max(1, len(chosen) // 4096)):
            moments.add(vectors[rows])
        basis = moments.basis(default_components(record.dimension))
    record = replace(record, compact_components=len(basis.directions))
    none = np.empty(0, dtype=np.int32)
    with times.step("compact vectors", len(vectors)):
        slack = stage_compact_vectors(engine, record, basis, none, staged_only=False)
    with times.step("publication", len(vectors)):
        with engine.begin() as connection:
            published_at = store_staging.wait_for_cutouts(connection)
        show_vectors(
            engine,
            record,
            basis,
            none,
            slack=slack,
            published_at=published_at,
            is_new_basis=True,
        )
    with engine.begin() as connection:
        store_staging.drop_staging(connection, record)
        store_publication.activate_if_none_is(connection, record)
    return replace(record, compact_slack=slack)


def vacuum(engine: Engine) -> None:
    """Do at once what autovacuum would do within minutes."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("VACUUM (ANALYZE)"))


def relation_bytes(engine: Engine, record: EncoderRecord) -> dict[str, int]:
    """Return bytes on disk: true vectors, compact vectors, and every index of either."""
    tables = store_vectors.VectorTables(record.encoder_id)
    query = sa.text("SELECT pg_table_size(to_regclass(:name)), pg_indexes_size(to_regclass(:name))")
    found = {}
    with engine.connect() as connection:
        for label, name in (("embedding", tables.vectors), ("compact", tables.compact)):
            table, indexes = connection.execute(query, {"name": f"skylike.{name}"}).one()
            found |= {label: table, f"{label} indexes": indexes}
    return found


def build(engine: Engine, folder: Path, cases: list[str], sample: int) -> dict[str, object]:
    """Load what is missing and return the report."""
    report: dict[str, object] = {}
    times = Times()
    if not len(ids := galaxy_ids(engine)):
        load_catalog(engine, folder / "catalog.parquet", times)
        ids = galaxy_ids(engine)
    for case in cases:
        vectors = np.load(folder / f"{case}.npy", mmap_mode="r")
        record = enter_encoder(engine, case, vectors.shape[1])
        if record.embedded_at is None:
            own = Times()
            load_embeddings(engine, record, ids, vectors, own)
            record = publish(engine, record, vectors, own, sample)
            report[case] = told(own)
        report[f"{case}, bytes"] = relation_bytes(engine, record)
    vacuum(engine)
    return {"galaxies": len(ids), "catalog": told(times), **report}


def told(times: Times) -> dict[str, object]:
    """Return seconds and rates, and loading against raw COPY where both were measured."""
    found: dict[str, object] = {
        name: {"seconds": round(s, 2), "galaxies_per_second": round(times.rate(name))}
        for name, s in times.seconds.items()
    }
    if "raw COPY" in times.seconds:
        found["embeddings / raw COPY"] = round(times.rate("embeddings") / times.rate("raw COPY"), 3)
    return found


def main() -> None:
    """Build and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--case", action="append")
    parser.add_argument("--basis-sample", type=int, default=100_000)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    report = build(open_engine(), options.data, options.case or ["trained"], options.basis_sample)
    text = json.dumps(report, indent=2)
    print(text)
    if options.output:
        options.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
