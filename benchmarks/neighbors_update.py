"""Time updates of neighbor lists after 1, 10, 100, 1,000 additions beside a rebuild, in one run.

Run: python benchmarks/neighbors_update.py [--galaxies 20000] postgresql://USER:PASSWORD@HOST/DB
The database must be a scratch one that `skylike db upgrade` has prepared: an encoder and galaxies
of the benchmark stay in it.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from neighbors import make_galaxies
from skylike.database.copy import copy_into, halfvec_column
from skylike.database.engine import make_engine
from skylike.neighbors.build import NeighborSettings, build_neighbors, drop_neighbors
from skylike.neighbors.engine.vectors import StagedVectors
from skylike.neighbors.update import update_neighbors

ADDITIONS = (1, 10, 100, 1000)
ENCODER = "benchmark of updates"


def enter_encoder(connection: Connection, dimension: int) -> int:
    """Enter a survey and an encoder with a partition for its embeddings."""
    connection.execute(
        sa.text(
            "INSERT INTO survey (survey_id, name) VALUES (1, 'benchmark') ON CONFLICT DO NOTHING"
        )
    )
    encoder_id = connection.scalar(
        sa.text(
            "INSERT INTO encoder (name, architecture, width, dimension, input, bands, pixel_scale,"
            " crop_pix, preprocessing, training, checkpoint, checkpoint_sha256, is_active)"
            " VALUES (:name, 'none', 1, :dimension, 'rgb', '{g,r,z}', 0.262, 96, '{}', '{}', '',"
            " '', true) RETURNING encoder_id"
        ),
        {"name": ENCODER, "dimension": dimension},
    )
    connection.execute(
        sa.text(
            f"CREATE TABLE embedding_e{encoder_id} PARTITION OF embedding"
            f" FOR VALUES IN ({encoder_id})"
        )
    )
    assert isinstance(encoder_id, int)
    return encoder_id


def insert_galaxies(
    connection: Connection, encoder_id: int, galaxies: StagedVectors, rows: np.ndarray
) -> None:
    """Insert some of the galaxies and their embeddings."""
    n, ids = len(rows), galaxies.galaxy_ids[rows]
    generator = np.random.default_rng(int(ids[0]))
    copy_into(
        connection,
        "skylike.galaxy",
        pa.RecordBatch.from_pydict(
            {
                "galaxy_id": pa.array(ids),
                "survey_id": pa.array(np.full(n, 1, np.int32)),
                "object_id": pa.array(ids.astype(np.int64)),
                "ra": pa.array(generator.uniform(0, 360, n)),
                "dec": pa.array(generator.uniform(-90, 90, n)),
                "healpix29": pa.array(ids.astype(np.int64)),
                "mag_r": pa.array(galaxies.magnitudes[rows]),
            }
        ),
    )
    copy_into(
        connection,
        "skylike.embedding",
        pa.RecordBatch.from_pydict(
            {
                "encoder_id": pa.array(np.full(n, encoder_id, np.int32)),
                "galaxy_id": pa.array(ids),
                "embedding": halfvec_column(galaxies.vectors[rows]),
                "cutout_id": pa.array(np.zeros(n, np.int32)),
            }
        ),
    )


def rebuild_seconds(engine: Engine, settings: NeighborSettings, folder: Path) -> float:
    """Build all lists anew, and drop them."""
    start = time.perf_counter()
    run = build_neighbors(engine, ENCODER, settings=settings, work_folder=folder, publish=False).run
    seconds = time.perf_counter() - start
    drop_neighbors(engine, run.run_id)
    return seconds


def main() -> None:
    """Build once; then add, update and rebuild in turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--galaxies", type=int, default=20_000)
    parser.add_argument("--dimension", type=int, default=2048)
    parser.add_argument("-k", type=int, default=999)
    options = parser.parse_args()
    engine, settings = make_engine(options.url), NeighborSettings(k=options.k)
    every = options.galaxies + sum(ADDITIONS)
    galaxies = make_galaxies(every, options.dimension, np.random.default_rng(0))
    order = np.random.default_rng(1).permutation(every)
    with engine.begin() as connection:
        encoder_id = enter_encoder(connection, options.dimension)
        insert_galaxies(connection, encoder_id, galaxies, order[: options.galaxies])
    print(
        f"N {options.galaxies}, d {options.dimension}, k {options.k}, +-{settings.width} mag in r"
    )
    with tempfile.TemporaryDirectory() as name:
        folder, present = Path(name), options.galaxies
        build_neighbors(engine, ENCODER, settings=settings, work_folder=folder)
        nothing = update_neighbors(engine, work_folder=folder)
        print(f"nothing new: {nothing.seconds:7.2f} s")
        for added in ADDITIONS:
            with engine.begin() as connection:
                insert_galaxies(connection, encoder_id, galaxies, order[present : present + added])
            present += added
            report = update_neighbors(engine, work_folder=folder)
            rebuild = rebuild_seconds(engine, settings, folder)
            print(
                f"{added:5d} added:  {report.seconds:7.2f} s, {report.seconds / rebuild:5.2f} of a"
                f" rebuild ({rebuild:.2f} s); {report.n_changed:6d} of {present - added} lists"
                f" changed, {report.n_changed / added:.0f} for each addition"
            )


if __name__ == "__main__":
    main()
