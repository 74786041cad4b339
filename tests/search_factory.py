"""A small searchable database: galaxies with synthetic vectors, without images or a network."""

import dataclasses
import time
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import sqlalchemy as sa
from astropy import units as u
from astropy.coordinates import Latitude, Longitude
from cdshealpix.nested import lonlat_to_healpix
from sqlalchemy import Engine

from skylike.database.copy import copy_into, halfvec_column
from skylike.embeddings import store, store_compact, store_publication
from skylike.embeddings.compact import default_components, fit, project

EMBEDDED_AT = datetime(2026, 1, 2, tzinfo=UTC)
ADDED_AT = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Sky:
    """What the database was filled with; row i is galaxy i + 1."""

    ra: npt.NDArray[np.float64]
    dec: npt.NDArray[np.float64]
    mag_r: npt.NDArray[np.float32]
    vectors: npt.NDArray[np.float16]

    def similarities(self, target: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """The truth by brute force: float64 cosines of the stored vectors."""
        wide = self.vectors.astype(np.float64)
        unit = target.astype(np.float64)
        unit = unit / np.sqrt((unit * unit).sum())
        with np.errstate(invalid="ignore"):
            cosines = (wide * unit).sum(axis=1) / np.sqrt((wide * wide).sum(axis=1))
        return np.clip(cosines, -1, 1)

    def ranked(
        self, target: npt.NDArray[np.floating], *, among: npt.NDArray[np.bool_] | None = None
    ) -> list[int]:
        """Identifiers by falling true similarity, ties by identifier, without undefined ones."""
        similarities = self.similarities(target)
        ids = np.arange(1, len(self.ra) + 1)
        order = np.lexsort((ids, -similarities))
        keep = np.isfinite(similarities) & (True if among is None else among)
        return [int(ids[n]) for n in order if keep[n]]


def scattered_sky(
    vectors: npt.NDArray[np.floating],
    *,
    seed: int = 1,
    mag_r: npt.NDArray[np.floating] | None = None,
) -> Sky:
    """Galaxies all over the sky, far apart, with these vectors rounded to float16."""
    random = np.random.default_rng(seed)
    n = len(vectors)
    if mag_r is None:
        mag_r = random.uniform(14, 20, n)
    return Sky(
        ra=random.uniform(0, 360, n),
        dec=np.degrees(np.arcsin(random.uniform(-1, 1, n))),
        mag_r=mag_r.astype(np.float32),
        vectors=vectors.astype(np.float16),
    )


def random_units(n: int, d: int, *, seed: int = 0) -> npt.NDArray[np.float64]:
    """Directions without any structure, (n, d)."""
    vectors = np.random.default_rng(seed).normal(size=(n, d))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def insert_survey(engine: Engine, name: str = "test") -> int:
    with engine.begin() as connection:
        return int(
            connection.scalar(
                sa.text(
                    "INSERT INTO skylike.survey (name, bands) VALUES (:name, '{g,r,z}')"
                    " RETURNING survey_id"
                ),
                {"name": name},
            )
        )


def insert_galaxies(engine: Engine, sky: Sky, *, survey: str = "test") -> None:
    survey_id = insert_survey(engine, survey)
    n = len(sky.ra)
    ids = np.arange(1, n + 1)
    healpix = lonlat_to_healpix(Longitude(sky.ra, u.deg), Latitude(sky.dec, u.deg), 29)
    batch = pa.table(
        {
            "galaxy_id": pa.array(ids, pa.int32()),
            "survey_id": pa.array(np.full(n, survey_id), pa.int32()),
            "object_id": pa.array((1 << 53) + ids, pa.int64()),
            "ra": pa.array(sky.ra),
            "dec": pa.array(sky.dec),
            "healpix29": pa.array(healpix.astype(np.int64)),
            "mag_r": pa.array(sky.mag_r, from_pandas=True),
        }
    )
    with engine.begin() as connection:
        copy_into(connection, "skylike.galaxy", batch)
        connection.execute(
            sa.text(
                "INSERT INTO skylike.image_file (path, origin, kind, bands, n_cutouts, size_pix)"
                " VALUES ('/nowhere.h5', '/nowhere.h5', 'flux', '{g,r,z}', :n, 152)"
            ),
            {"n": n},
        )
        connection.execute(
            sa.text(
                "INSERT INTO skylike.cutout (cutout_id, file_id, file_row, galaxy_id, name, kind,"
                " coverage, is_complete, updated_at)"
                " SELECT g.galaxy_id, f.file_id, g.galaxy_id - 1, g.galaxy_id, 'x', 'flux',"
                " '{1,1,1}', true, :added_at FROM skylike.galaxy AS g, skylike.image_file AS f"
            ),
            {"added_at": ADDED_AT},
        )


def insert_encoder(
    engine: Engine, *, dimension: int, name: str = "small", is_active: bool = True
) -> int:
    """An encoder with its partition, without weights."""
    with engine.begin() as connection:
        encoder_id = connection.scalar(
            sa.text(
                "INSERT INTO skylike.encoder (name, architecture, width, dimension, input, bands,"
                " pixel_scale, crop_pix, preprocessing, training, checkpoint, checkpoint_sha256,"
                " is_active, embedded_at) VALUES (:name, 'resnet18', 0.5, :dimension, 'rgb',"
                " '{g,r,z}', 0.262, 96, '{}', '{}', '/nowhere.pt', '', :is_active, :embedded_at)"
                " RETURNING encoder_id"
            ),
            {
                "name": name,
                "dimension": dimension,
                "is_active": is_active,
                "embedded_at": EMBEDDED_AT,
            },
        )
        connection.execute(
            sa.text(
                f"CREATE TABLE skylike.embedding_e{encoder_id} PARTITION OF skylike.embedding"
                f" (CHECK (vector_dims(embedding) = {dimension})) FOR VALUES IN ({encoder_id})"
            )
        )
    return int(encoder_id)


def insert_embeddings(
    engine: Engine,
    encoder_id: int,
    vectors: npt.NDArray[np.float16],
    *,
    galaxy_ids: npt.NDArray[np.integer] | None = None,
) -> None:
    n = len(vectors)
    ids = np.arange(1, n + 1) if galaxy_ids is None else galaxy_ids
    batch = pa.table(
        {
            "encoder_id": pa.array(np.full(n, encoder_id), pa.int32()),
            "galaxy_id": pa.array(ids, pa.int32()),
            "embedding": halfvec_column(vectors),
            "cutout_id": pa.array(ids, pa.int32()),
            "embedded_at": pa.array([EMBEDDED_AT] * n, pa.timestamp("us", tz="UTC")),
        }
    )
    with engine.begin() as connection:
        copy_into(connection, "skylike.embedding", batch)
    insert_compact(engine, encoder_id)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(
            sa.text("ANALYZE skylike.galaxy, skylike.embedding, skylike.embedding_compact")
        )


def insert_compact(engine: Engine, encoder_id: int, *, components: int | None = None) -> None:
    """Compact vectors as `skylike embed` publishes them; zero embeddings have none."""
    with engine.begin() as connection:
        name = connection.scalar(
            sa.text("SELECT name FROM skylike.encoder WHERE encoder_id = :id"), {"id": encoder_id}
        )
        record = store.fetch_encoder(connection, name)
        rows = connection.execute(
            sa.text("SELECT galaxy_id, embedding FROM skylike.embedding WHERE encoder_id = :id"),
            {"id": encoder_id},
        ).all()
        ids = np.array([row.galaxy_id for row in rows], dtype=np.int32)
        vectors = np.array([row.embedding.to_numpy() for row in rows]).astype(np.float16)
        ids, vectors = ids[vectors.any(axis=1)], vectors[vectors.any(axis=1)]
        components = components or default_components(record.dimension)
        basis = fit([vectors], dimension=record.dimension, components=components)
        record = dataclasses.replace(record, compact_components=components)
        compact, slack = project(vectors, basis)
        store_compact.begin_compact_staging(connection, record)
        store_compact.stage_compact(connection, record, ids, compact)
        store_publication.publish_compact(
            connection, record, merge=False, without=np.empty(0, np.int32)
        )
        store_publication.record_basis(
            connection, record, basis, slack=slack, published_at=EMBEDDED_AT
        )


def fill(engine: Engine, sky: Sky) -> int:
    """Galaxies, an active encoder and their embeddings; returns the encoder's identifier."""
    insert_galaxies(engine, sky)
    encoder_id = insert_encoder(engine, dimension=sky.vectors.shape[1])
    insert_embeddings(engine, encoder_id, sky.vectors)
    return encoder_id


def vacuum(engine: Engine, table: str) -> None:
    """Mark all pages as seen by all; whatever else looks at the database may delay it."""
    seen = "SELECT relallvisible = relpages FROM pg_class WHERE oid = CAST(:table AS regclass)"
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for _ in range(100):
            connection.execute(sa.text(f"VACUUM (ANALYZE, DISABLE_PAGE_SKIPPING) {table}"))
            if connection.scalar(sa.text(seen), {"table": table}):
                return
            time.sleep(0.1)
    raise AssertionError(f"{table} never became all visible")
