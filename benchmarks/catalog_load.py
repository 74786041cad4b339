"""How fast a catalog loads: rows per second of a generated sweep, beside a raw COPY of the rows.

Run: python benchmarks/catalog_load.py --rows 200000 postgresql://USER:PASSWORD@HOST:PORT/DATABASE
The database must be a scratch one that `skylike db upgrade` has prepared.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import sqlalchemy as sa
from astropy.io import fits

from skylike.catalog.clean import clean_batch, galaxy_columns
from skylike.catalog.load import load_file
from skylike.catalog.plan import LoadOptions, plan_load
from skylike.catalog.store import open_staging
from skylike.database.copy import copy_into
from skylike.database.engine import make_engine

BANDS = ("G", "R", "Z")


def write_sweep(path: Path, *, rows: int, seed: int) -> None:
    """Write a sweep-like file of random galaxies in 2,000 bricks of one square degree in 16."""
    rng = np.random.default_rng(seed)
    brick = np.sort(rng.integers(0, 2_000, rows))
    table = {
        "RELEASE": np.full(rows, 9010, dtype=np.int16),
        "BRICKID": (300_000 + brick).astype(np.int32),
        "OBJID": (np.arange(rows) % 60_000).astype(np.int32),
        "TYPE": rng.choice(np.array([b"REX", b"EXP", b"DEV", b"SER", b"PSF"]), rows),
        "RA": 150 + (brick % 50) * 0.25 + rng.uniform(0, 0.25, rows),
        "DEC": -5 + (brick // 50) * 0.25 + rng.uniform(0, 0.25, rows),
        "EBV": rng.lognormal(-3.4, 0.67, rows).astype(np.float32),
        "MASKBITS": rng.choice(np.array([0, 0, 0, 1, 512], dtype=np.int16), rows),
    }
    for band in BANDS:
        table[f"FLUX_{band}"] = rng.lognormal(2, 1.2, rows).astype(np.float32)
        table[f"FLUX_IVAR_{band}"] = rng.uniform(50, 900, rows).astype(np.float32)
        table[f"MW_TRANSMISSION_{band}"] = rng.uniform(0.85, 0.99, rows).astype(np.float32)
        table[f"PSFSIZE_{band}"] = rng.uniform(1, 2, rows).astype(np.float32)
    structured = np.rec.fromarrays(list(table.values()), names=list(table))
    fits.BinTableHDU(structured).writeto(path)


def raw_copy_seconds(engine: sa.Engine, path: Path) -> tuple[float, int]:
    """COPY the cleaned rows, prepared beforehand, into a bare table without index; the floor."""
    plan = plan_load(path, LoadOptions())
    rows = pa.concat_tables(
        clean_batch(batch, plan.rules).galaxies for batch in plan.table.read(plan.names)
    )
    with engine.connect() as connection:
        bare = open_staging(connection, galaxy_columns(plan.rules))
        connection.execute(sa.text("ALTER TABLE staged_galaxy ALTER file_row DROP NOT NULL"))
        connection.execute(sa.text("CREATE TABLE bare_galaxy (LIKE staged_galaxy)"))
        bare.drop(connection)
        connection.commit()
        start = time.perf_counter()
        copy_into(connection, "skylike.bare_galaxy", rows)
        connection.commit()
        seconds = time.perf_counter() - start
        connection.execute(sa.text("DROP TABLE skylike.bare_galaxy"))
        connection.commit()
    return seconds, rows.num_rows


def main() -> None:
    """Measure first load, repeated load and raw COPY in one run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    engine = make_engine(arguments.url)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sweep.fits"
        write_sweep(path, rows=arguments.rows, seed=arguments.seed)
        floor, stored = raw_copy_seconds(engine, path)
        print(f"raw COPY      {stored / floor:10,.0f} rows/s  {floor:6.2f} s  {stored:,} rows")
        for name in ("first load", "second load"):
            start = time.perf_counter()
            report = load_file(engine, path, options=LoadOptions(survey="benchmark"))
            seconds = time.perf_counter() - start
            rate = report.rows_read / seconds
            print(
                f"{name:<13} {rate:10,.0f} rows/s  {seconds:6.2f} s  {report.counts}, "
                f"{seconds / floor:.1f} times the raw COPY"
            )


if __name__ == "__main__":
    main()
