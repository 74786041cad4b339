"""Files of the simulated survey: HDF5 cutouts, sweep, truth; each appears whole or not at all."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import h5py
import numpy as np
import numpy.typing as npt
import pandas as pd
from astropy.table import Table

from skylike.bands import CUTOUT_SIZE_PIX, PIXEL_SCALE_ARCSEC
from skylike.errors import SettingsError
from skylike.files import replaced_file
from skylike.simulation.catalog import (
    Keys,
    mask_bits,
    psf_depth,
    psf_size,
    source_types,
)
from skylike.simulation.population import Population
from skylike.survey.legacy import SIMULATED_RELEASE

NO_REDSHIFT: Final = -99.0
"""z_spec of a galaxy without a spectrum, as in ssl-legacysurvey."""

PHOTOZ_SCATTER: Final = 0.02
"""Scatter of photometric redshifts, times 1 + z (as Zhou et al. 2021, MNRAS 501, 3309)."""

SPECTROSCOPIC_LIMIT_MAG: Final = 17.5
"""z magnitude to which galaxies have spectra, as many as SDSS has."""


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Write under another name, then rename; what a failed run leaves is never taken for the file.

    Raises
    ------
    SettingsError
        The place cannot be written to.
    """
    try:
        with replaced_file(path) as part:
            yield part
    except OSError as error:
        raise SettingsError(
            f"{path}: cannot be written ({error.strerror or error}); free disk space or choose"
            " another --output"
        ) from error


def catalog_datasets(
    population: Population, keys: Keys, rows: slice, rng: np.random.Generator
) -> dict[str, npt.NDArray[np.generic]]:
    """Return the fields beside the images, under the names of ssl-legacysurvey.

    Parameters
    ----------
    rows
        Which rows of the survey these are; ``population`` and ``keys`` hold all rows of it.
    rng
        For errors of redshifts.
    """
    part = population.take(rows)
    n = len(part)
    spread = PHOTOZ_SCATTER * (1 + part.redshift)
    photometric = np.maximum(part.redshift + rng.normal(size=n) * spread, 0.001)
    has_spectrum = (part.mag[:, 2] < SPECTROSCOPIC_LIMIT_MAG) & (rng.random(n) < 0.8)
    # What a fiber of 1.5 arcsec catches of a Gaussian as large as galaxy and PSF together.
    sigma = np.hypot(part.radius[:, None] / 1.1774, psf_size(part) / 2.3548)  # (n, 3) arcsec
    fiber_share = 1 - np.exp(-0.5 * (0.75 / sigma) ** 2)
    by_band = {
        "flux": part.flux,
        "fiberflux": part.flux * fiber_share,
        "fracin": np.ones((n, 3)),
        "psfdepth": psf_depth(part),
        "psfsize": psf_size(part),
        "transmission": part.transmission,
    }
    redshifts = {
        "z_spec": np.where(has_spectrum, part.redshift, NO_REDSHIFT),
        "z_phot_mean": photometric,
        "z_phot_median": photometric,
        "z_phot_std": spread,
        "z_phot_l68": photometric - spread,
        "z_phot_u68": photometric + spread,
        "z_phot_l95": photometric - 2 * spread,
        "z_phot_u95": photometric + 2 * spread,
    }
    return {
        "inds": np.arange(rows.start, rows.stop, dtype=np.int64),
        "ra": part.ra,
        "dec": part.dec,
        "ebv": part.ebv.astype(np.float32),
        **{name: values.astype(np.float32) for name, values in by_band.items()},
        "nobs": np.full((n, 3), 3, dtype=np.int16),
        "maskbits": mask_bits(part),
        "brickid": keys.brickid[rows],
        "objid": keys.objid[rows],
        "release": np.full(n, SIMULATED_RELEASE, dtype=np.int16),
        "source_type": source_types(part),
        **{name: values.astype(np.float32) for name, values in redshifts.items()},
        "z_training": has_spectrum,
    }


def write_cutouts(
    path: Path,
    n: int,
    datasets: Mapping[str, npt.NDArray[np.generic]],
    blocks: Iterator[npt.NDArray[np.float32]],
) -> None:
    """Write an HDF5 file of n cutouts, given in blocks of (b, 3, 152, 152) in order."""
    shape = (n, 3, CUTOUT_SIZE_PIX, CUTOUT_SIZE_PIX)
    with whole_file(path) as part, h5py.File(part, "w") as file:
        for name, values in datasets.items():
            file.create_dataset(name, data=values)
        images = file.create_dataset(
            "images", shape=shape, dtype=np.float32, chunks=(1, *shape[1:])
        )
        images.attrs["unit"] = "nanomaggy"
        file.attrs["bands"] = ["g", "r", "z"]
        file.attrs["pixel_scale"] = PIXEL_SCALE_ARCSEC
        file.attrs["simulated"] = True
        start = 0
        for block in blocks:
            images[start : start + len(block)] = block
            start += len(block)


def write_sweep(path: Path, columns: Mapping[str, npt.NDArray[np.generic]]) -> None:
    """Write the catalog as a FITS binary table."""
    with whole_file(path) as part:
        Table(dict(columns)).write(part, format="fits", overwrite=True)


def write_truth(path: Path, truth: pd.DataFrame) -> None:
    """Write the truth as CSV; floats keep all their digits, unknown values are empty."""
    with whole_file(path) as part:
        truth.to_csv(part, index=False)
