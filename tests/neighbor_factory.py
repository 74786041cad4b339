"""Galaxies with embeddings for the tests of neighbors, and the truth by brute force."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from psycopg import sql
from sqlalchemy import Connection

from skylike.database.copy import copy_into, driver_connection, halfvec_column
from skylike.neighbors.engine.search import NeighborSearch, SearchPlan
from skylike.neighbors.engine.vectors import StagedVectors
from skylike.neighbors.engine.windows import magnitude_windows, order_by_magnitude
from skylike.neighbors.input_hashes import row_hashes


def unit_float16(vectors: np.ndarray) -> np.ndarray:
    """Scale rows to unit length and round them, as the embedding stage does."""
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


def random_magnitudes(generator: np.random.Generator, n: int, *, missing: int = 0) -> np.ndarray:
    """Draw magnitudes whose number rises towards faint ones; ``missing`` of them are NaN."""
    magnitudes = (20.0 - generator.exponential(1.2, n)).astype(np.float32)
    magnitudes[generator.choice(n, missing, replace=False)] = np.nan
    return magnitudes


def stage_in_memory(
    vectors: np.ndarray, magnitudes: np.ndarray, galaxy_ids: np.ndarray | None = None
) -> StagedVectors:
    """Put vectors (n, d) float16 in magnitude order, as staging from the database does."""
    ids = np.arange(1, len(vectors) + 1) if galaxy_ids is None else galaxy_ids
    ids = ids.astype(np.int32)
    order = order_by_magnitude(ids, magnitudes)
    exact = vectors[order].astype(np.float64)
    norms = np.sqrt((exact * exact).sum(axis=1))
    return StagedVectors(
        galaxy_ids=ids[order],
        magnitudes=magnitudes[order],
        vectors=vectors[order],
        norms=norms,
        center=(exact / norms[:, None]).mean(axis=0),
        hashes=row_hashes(vectors[order], magnitudes[order]),
        n_excluded=0,
    )


def search(staged: StagedVectors, *, width: float | None, **plan) -> dict:
    """Search all lists: identifiers and similarities by galaxy; ``plan`` as of a SearchPlan."""
    windows = magnitude_windows(staged.magnitudes, width)
    lists = {}
    with NeighborSearch(staged, windows, SearchPlan(**plan)) as neighbors:
        for found in neighbors.lists(0, len(staged)):
            ends = np.cumsum(found.lengths)
            for row, end, length in zip(found.rows, ends, found.lengths, strict=True):
                own = slice(end - length, end)
                lists[int(staged.galaxy_ids[row])] = (
                    staged.galaxy_ids[found.positions[own]],
                    found.similarities[own],
                )
    return lists


def brute_force(
    galaxy_ids: np.ndarray,
    vectors: np.ndarray,
    magnitudes: np.ndarray,
    *,
    k: int,
    width: float | None,
) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Find the true lists: float64 cosines and the rule for all pairs, everything sorted."""
    exact = vectors.astype(np.float64)
    norms = np.sqrt((exact * exact).sum(axis=1))
    cosines = (exact @ exact.T) / (norms[:, None] * norms[None, :])
    wide = magnitudes.astype(np.float64)
    lists = {}
    for row, galaxy_id in enumerate(galaxy_ids):
        if width is None:
            allowed = np.ones(len(galaxy_ids), np.bool_)
        elif np.isfinite(wide[row]):
            allowed = np.abs(wide - wide[row]) <= width
        else:
            allowed = ~np.isfinite(wide)
        allowed[row] = False
        others = np.flatnonzero(allowed)
        order = others[np.lexsort((galaxy_ids[others], -cosines[row, others]))][:k]
        lists[int(galaxy_id)] = (galaxy_ids[order], cosines[row, order])
    return lists


@dataclass(frozen=True)
class Sky:
    """What was put into the database."""

    encoder_id: int
    galaxy_ids: np.ndarray
    vectors: np.ndarray
    magnitudes: np.ndarray


def insert_sky(
    connection: Connection,
    vectors: np.ndarray,
    magnitudes: np.ndarray,
    *,
    encoder: str = "test",
    active: bool = True,
    galaxy_ids: np.ndarray | None = None,
) -> Sky:
    """Insert galaxies with mag_r, an encoder and its embeddings, and commit."""
    n, dimension = vectors.shape
    ids = (np.arange(1, n + 1) * 3 if galaxy_ids is None else galaxy_ids).astype(np.int32)
    driver = driver_connection(connection)
    driver.execute(
        "INSERT INTO survey (survey_id, name, bands) VALUES (1, 'test', '{g,r,z}')"
        " ON CONFLICT DO NOTHING"
    )
    generator = np.random.default_rng(5)
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
                "healpix29": pa.array(np.arange(n, dtype=np.int64)),
                "mag_r": pa.array(magnitudes, mask=np.isnan(magnitudes)),
            }
        ),
    )
    return insert_encoder(
        connection,
        vectors,
        magnitudes,
        ids=ids,
        encoder=encoder,
        active=active,
        dimension=dimension,
    )


def insert_encoder(
    connection: Connection,
    vectors: np.ndarray,
    magnitudes: np.ndarray,
    *,
    ids: np.ndarray,
    encoder: str,
    active: bool,
    dimension: int,
) -> Sky:
    """Insert an encoder and embeddings of galaxies that are there, and commit."""
    driver = driver_connection(connection)
    row = driver.execute(
        "INSERT INTO encoder (name, architecture, width, dimension, input, bands, pixel_scale,"
        " crop_pix, preprocessing, training, checkpoint, checkpoint_sha256, is_active, embedded_at)"
        " VALUES (%s, 'resnet18', 1, %s, 'rgb', '{g,r,z}', 0.262, 96, '{}', '{}', 'none', %s, %s,"
        " now()) RETURNING encoder_id",
        (encoder, dimension, encoder * 4, active),
    ).fetchone()
    assert row is not None
    encoder_id = int(row[0])
    driver.execute(
        sql.SQL("CREATE TABLE {} PARTITION OF embedding FOR VALUES IN ({})").format(
            sql.Identifier(f"embedding_e{encoder_id}"), sql.Literal(encoder_id)
        )
    )
    n = len(ids)
    copy_into(
        connection,
        "skylike.embedding",
        pa.RecordBatch.from_pydict(
            {
                "encoder_id": pa.array(np.full(n, encoder_id, np.int32)),
                "galaxy_id": pa.array(ids),
                "embedding": halfvec_column(vectors),
                "cutout_id": pa.array(np.zeros(n, np.int32)),
            }
        ),
    )
    driver.commit()  # SQLAlchemy knows nothing of the driver's own transaction
    return Sky(encoder_id, ids, vectors, magnitudes)


def stored_lists(connection: Connection, run_id: int) -> dict[int, tuple[list[int], list[float]]]:
    """Read the lists of a run as the server decodes them."""
    rows = driver_connection(connection).execute(
        "SELECT galaxy_id, neighbor_ids,"
        " coalesce(decode_similarities(first, step, codes), '{}'::real[])"
        " FROM neighbor_list JOIN neighbor_similarity USING (run_id, galaxy_id)"
        " WHERE run_id = %s",
        (run_id,),
    )
    return {row[0]: (row[1], row[2]) for row in rows}
