"""Measure the stored neighbor table: bytes, load, and what readers wait for.

    createdb lists && SKYLIKE_DATABASE_URL=postgresql:///lists skylike db upgrade
    python benchmarks/neighbor_table.py --database postgresql:///lists [--galaxies 1000000]

Fills a migrated database without galaxies (a million take 5.3 GB and a few minutes) with galaxies
all over the sky and a published run: neighbors drawn at random, which no cache likes, and
similarities as dense as those of the nearest of many. The search itself is not part of it
(benchmarks/neighbors.py). A second call finds the tables there and measures readers only.

Prints bytes for each galaxy; galaxies loaded a second, through the function that builds write with;
median, 95th percentile and first touch of one galaxy's list joined to the catalog with a cut; and a
join over 1,000 galaxies with its plan.
"""

import argparse
import re
import time
from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from skylike.catalog.object_ids import healpix29
from skylike.database.copy import copy_into, driver_connection
from skylike.database.engine import make_engine
from skylike.neighbors import store, store_lists

SHARD_GALAXIES: Final = 8192
PROFILES: Final = 256
"""Different lists of similarities; which one a galaxy gets does not matter here."""

ONE: Final = """
SELECT n.rank, n.neighbor_id, n.similarity, g.ra, g."dec", g.mag_g, g.mag_r, g.mag_z
FROM skylike.neighbor AS n
JOIN skylike.galaxy AS g ON g.galaxy_id = n.neighbor_id
WHERE n.galaxy_id = %s AND g.mag_r < 19 AND g.mag_g - g.mag_r < 1.2
ORDER BY n.rank
"""

THOUSAND: Final = """
SELECT count(*), avg(n.similarity)
FROM skylike.galaxy AS a
JOIN skylike.neighbor AS n ON n.galaxy_id = a.galaxy_id
JOIN skylike.galaxy AS g ON g.galaxy_id = n.neighbor_id
WHERE a.galaxy_id = ANY (%s) AND g.mag_r < 19 AND abs(g.mag_r - a.mag_r) < 0.2
"""


def make_catalog(n: int, generator: np.random.Generator) -> pa.RecordBatch:
    """Make galaxies all over the sky in the order of a loaded catalog, number counts to z = 20."""
    ra = generator.uniform(0, 360, n)
    dec = np.degrees(np.arcsin(generator.uniform(-1, 1, n)))
    pixel = healpix29(ra, dec)
    order = np.argsort(pixel)
    mag_z = 20 + np.log10(np.maximum(generator.random(n), 1e-5)) / 0.6
    mag_r = mag_z + generator.normal(0.9, 0.4, n)
    columns = {
        "galaxy_id": np.arange(1, n + 1, dtype=np.int32),
        "survey_id": np.ones(n, np.int32),
        "object_id": np.arange(1, n + 1, dtype=np.int64),
        "ra": ra[order],
        "dec": dec[order],
        "healpix29": pixel[order],
        "mag_g": (mag_r + generator.normal(1.0, 0.3, n)).astype(np.float32),
        "mag_r": mag_r.astype(np.float32),
        "mag_z": mag_z.astype(np.float32),
    }
    return pa.RecordBatch.from_pydict({name: pa.array(v) for name, v in columns.items()})


def make_profiles(n: int, k: int, generator: np.random.Generator) -> npt.NDArray[np.float32]:
    """Make similarities of the k nearest of 20,000, falling in each row: (PROFILES, k)."""
    wide = generator.beta(4, 3, (PROFILES, max(20_000, min(n, 40 * k)))).astype(np.float32)
    return np.sort(wide, axis=1)[:, : -k - 1 : -1]


def iter_shards(n: int, k: int, generator: np.random.Generator) -> Iterator[dict[str, np.ndarray]]:
    """Make the lists of one shard after the other."""
    profiles = make_profiles(n, k, generator)
    for start in range(1, n + 1, SHARD_GALAXIES):
        ids = np.arange(start, min(start + SHARD_GALAXIES, n + 1), dtype=np.int32)
        yield {
            "galaxy_ids": ids,
            "neighbor_ids": generator.integers(1, n + 1, len(ids) * k, dtype=np.int32),
            "similarities": profiles[generator.integers(0, PROFILES, len(ids))].ravel(),
            "lengths": np.full(len(ids), k),
        }


def enter_run(connection: Connection, k: int) -> int:
    """Enter an active encoder without weights, and a run."""
    encoder_id = connection.scalar(
        sa.text(
            "INSERT INTO encoder (name, architecture, width, dimension, input, bands,"
            " pixel_scale, crop_pix, preprocessing, training, checkpoint, checkpoint_sha256,"
            " is_active) VALUES ('benchmark', 'none', 1, 1, 'rgb', '{}', 1, 1, '{}', '{}', '', '',"
            " true) RETURNING encoder_id"
        )
    )
    return store.create_run(connection, {"encoder_id": encoder_id, "k": k, "software": {}}).run_id


def fill(engine: Engine, n: int, k: int) -> None:
    """Load galaxies and lists, publish them, and print rates."""
    generator = np.random.default_rng(0)
    with engine.begin() as connection:
        connection.execute(sa.text("INSERT INTO survey (name) VALUES ('benchmark')"))
        copy_into(connection, "skylike.galaxy", make_catalog(n, generator))
        run_id = enter_run(connection, k)
    writing = 0.0
    for shard, arrays in enumerate(iter_shards(n, k, generator)):
        start = time.perf_counter()
        with engine.begin() as connection:
            store_lists.write_shard(connection, run_id, shard, **arrays)
        writing += time.perf_counter() - start
    print(f"loaded {n / writing:,.0f} galaxies/s in shards of {SHARD_GALAXIES:,}")
    start = time.perf_counter()
    with engine.begin() as connection:
        store_lists.index_lists(connection, run_id)
        store_lists.attach_lists(connection, run_id)
        connection.execute(
            sa.text("UPDATE neighbor_run SET state = 'published' WHERE run_id = :run_id"),
            {"run_id": run_id},
        )
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("VACUUM (ANALYZE) skylike.galaxy"))
        store_lists.analyze_lists(connection)
    print(f"primary keys and statistics of the planner: {time.perf_counter() - start:.1f} s")


def print_bytes(connection: Connection, n: int) -> None:
    """Print bytes for each galaxy of both tables with their keys."""
    query = sa.text(
        "SELECT sum(pg_total_relation_size(relid)), sum(pg_indexes_size(relid))"
        " FROM pg_partition_tree(cast(:parent AS regclass)) WHERE isleaf"
    )
    both = 0.0
    for parent in (store_lists.LISTS, store_lists.SIMILARITIES):
        whole, keys = connection.execute(query, {"parent": f"skylike.{parent}"}).one()
        print(f"{parent:20} {whole / n:7,.0f} bytes a galaxy, {keys / n:.0f} of them its key")
        both += float(whole) / n
    print(f"{'together':20} {both:7,.0f} bytes a galaxy")


def milliseconds(connection: Connection, galaxy_ids: list[int]) -> npt.NDArray[np.float64]:
    """Time the query of one galaxy, rows fetched, for each of some."""
    times = []
    with driver_connection(connection).cursor(binary=True) as cursor:
        for galaxy_id in galaxy_ids:
            start = time.perf_counter()
            cursor.execute(ONE, (galaxy_id,)).fetchall()
            times.append(1e3 * (time.perf_counter() - start))
    return np.array(times)


def measure_readers(engine: Engine, n: int, queries: int) -> None:
    """Print what one galaxy and a thousand take."""
    generator = np.random.default_rng(1)
    some = generator.choice(n, min(queries, n), replace=False) + 1
    with engine.connect() as connection:
        touched = milliseconds(connection, some.tolist())
        # Twice over: every page that is read below has been read before.
        warm = np.concatenate([milliseconds(connection, some.tolist()) for _ in range(2)])
        print(
            f"one galaxy and a cut, {len(some)} galaxies: median {np.median(warm):.2f} ms,"
            f" 95 % {np.quantile(warm, 0.95):.2f} ms;"
            f" first touch: median {np.median(touched):.2f} ms"
        )
        thousand = [(generator.choice(n, min(1000, n), replace=False) + 1).tolist()]
        cursor = driver_connection(connection).cursor()
        cursor.execute(THOUSAND, thousand).fetchall()
        start = time.perf_counter()
        cursor.execute(THOUSAND, thousand).fetchall()
        print(f"join over {len(thousand[0]):,} galaxies: {time.perf_counter() - start:.2f} s")
        plan = "\n".join(line for (line,) in cursor.execute(f"EXPLAIN {THOUSAND}", thousand))
        print(re.sub(r"'\{[0-9,]+\}'", "'{...}'", plan))


def main() -> None:
    """Fill the database unless that is done, and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--database", required=True, help="URL of a migrated database")
    parser.add_argument("--galaxies", type=int, default=1_000_000)
    parser.add_argument("-k", type=int, default=999)
    parser.add_argument("--queries", type=int, default=300)
    options = parser.parse_args()
    engine = make_engine(options.database)
    with engine.connect() as connection:
        found = connection.scalar(sa.text("SELECT count(*) FROM skylike.galaxy"))
    if not found:
        fill(engine, options.galaxies, options.k)
    elif found != options.galaxies:
        parser.error(f"the database has {found} galaxies; use another, or --galaxies {found}")
    with engine.connect() as connection:
        version = connection.scalar(sa.text("SELECT current_setting('server_version')"))
        print(f"PostgreSQL {version}, {options.galaxies:,} galaxies, k {options.k}")
        print_bytes(connection, options.galaxies)
    measure_readers(engine, options.galaxies, options.queries)


if __name__ == "__main__":
    main()
