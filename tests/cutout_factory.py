"""Small sets of synthetic cutouts with known shapes, as HDF5 files and as rows of the database."""

from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy import Connection

from skylike.bands import CUTOUT_SIZE_PIX
from skylike.database.tables import cutout, galaxy, image_file, survey
from skylike.images.index import NO_GALAXY, CutoutFile, CutoutIndex

SHAPES = ("disk", "ring", "edge", "pair")
_COLOR = np.array([0.6, 1.0, 1.4], dtype=np.float32)[:, None, None]
_NOISE = np.array([0.003, 0.004, 0.012], dtype=np.float32)[:, None, None]


def draw_cutouts(n: int, *, seed: int = 0) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Draw (n, 3, 152, 152) nanomaggies and the number of each one's shape in SHAPES."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, len(SHAPES), n)
    y, x = np.mgrid[:CUTOUT_SIZE_PIX, :CUTOUT_SIZE_PIX] - (CUTOUT_SIZE_PIX - 1) / 2
    pixels = np.empty((n, 3, CUTOUT_SIZE_PIX, CUTOUT_SIZE_PIX), dtype=np.float32)
    for i, label in enumerate(labels):
        angle, size = rng.uniform(0, np.pi), rng.uniform(4, 9)
        u = x * np.cos(angle) + y * np.sin(angle)
        v = -x * np.sin(angle) + y * np.cos(angle)
        shape = {
            "disk": np.exp(-np.hypot(u, v) / size),
            "ring": np.exp(-0.5 * ((np.hypot(u, v) - 2 * size) / 2.5) ** 2),
            "edge": np.exp(-np.abs(u) / (1.5 * size) - np.abs(v) / 2),
            "pair": np.exp(-0.5 * ((u - size) ** 2 + v**2) / 9)
            + np.exp(-0.5 * ((u + size) ** 2 + v**2) / 9),
        }[SHAPES[label]]
        color = _COLOR ** rng.uniform(0.5, 1.5)
        pixels[i] = rng.uniform(0.1, 0.6) * color * shape
    pixels += rng.normal(size=pixels.shape).astype(np.float32) * _NOISE
    return pixels, labels


def write_images(path: Path, pixels: npt.NDArray[np.generic]) -> Path:
    """Write the images as our HDF5 files hold them."""
    with h5py.File(path, "w") as file:
        file["images"] = pixels
    return path


def index_of(path: Path, n: int, *, kind: str = "flux") -> CutoutIndex:
    """Return an index of the n cutouts of one file, without a database."""
    ids = np.arange(n, dtype=np.int32)
    bands = ("g", "r", "z") if kind == "flux" else ("R", "G", "B")
    return CutoutIndex(
        cutout_id=ids + 1,
        galaxy_id=np.full(n, NO_GALAXY, dtype=np.int32),
        file_id=np.ones(n, dtype=np.int32),
        file_row=ids,
        ebv=np.where(ids % 2 == 0, np.float32(0.03), np.float32(np.nan)),
        psf_size=np.full((n, 3), np.nan, dtype=np.float32),
        files={1: CutoutFile(1, path, kind, bands, CUTOUT_SIZE_PIX, 0.262)},
    )


def insert_galaxies(connection: Connection, n: int) -> None:
    """Enter n galaxies with identifiers from 1."""
    connection.execute(
        sa.insert(survey).values(survey_id=1, name="synthetic", description="", bands=[])
    )
    add_galaxies(connection, 1, n)


def add_galaxies(connection: Connection, first: int, n: int) -> None:
    """Enter n more galaxies with identifiers from ``first``."""
    rows = [
        {"galaxy_id": i, "survey_id": 1, "object_id": i, "ra": i * 0.1, "dec": 1.0, "healpix29": i}
        | {"mag_r": 17.0 + 0.01 * i, "updated_at": sa.func.now()}
        for i in range(first, first + n)
    ]
    for row in rows:
        connection.execute(sa.insert(galaxy).values(row))


def insert_cutouts(
    connection: Connection, path: Path, galaxy_ids: list[int], *, kind: str = "flux"
) -> None:
    """Enter the rows of a file as the cutouts of these galaxies."""
    file_id = connection.execute(
        sa.insert(image_file)
        .values(
            path=str(path),
            origin=str(path),
            kind=kind,
            bands=["g", "r", "z"] if kind == "flux" else ["R", "G", "B"],
            n_cutouts=len(galaxy_ids),
            size_pix=CUTOUT_SIZE_PIX,
            pixel_scale=0.262,
            added_at=sa.func.now(),
        )
        .returning(image_file.c.file_id)
    ).scalar_one()
    rows = [
        {
            "file_id": file_id,
            "file_row": row,
            "galaxy_id": galaxy_id,
            "name": str(row),
            "kind": kind,
        }
        | {"coverage": [1.0, 1.0, 1.0], "missing_bands": [], "is_complete": True}
        for row, galaxy_id in enumerate(galaxy_ids)
    ]
    connection.execute(sa.insert(cutout).values(updated_at=sa.func.now()), rows)
