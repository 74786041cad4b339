"""The rows of the sweep: galaxies, and what a loader must drop; and the truth about each."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from skylike.bands import PIXEL_SCALE_ARCSEC
from skylike.errors import SettingsError
from skylike.simulation.bricks import brick_of, object_ids
from skylike.simulation.classes import DUPLICATE, STAR, GalaxyClass
from skylike.simulation.distributions import Floats, offset_positions
from skylike.simulation.population import Population, transmission
from skylike.survey.legacy import SIMULATED_RELEASE

DUPLICATE_SHARE: Final = 0.005
"""DUP rows (a Gaia source on top of a galaxy, of zero flux) for each galaxy."""

STAR_SHARE: Final = 0.01
"""PSF rows of ordinary stars for each galaxy; the stars of star artifacts have one each besides."""

MASK_BRIGHT, MASK_MEDIUM = 1 << 1, 1 << 11
"""MASKBITS of the DR9 catalog description: near a star brighter than 13, than 16."""

OBJID_LIMIT: Final = 1 << 16


@dataclass(frozen=True)
class Keys:
    """The natural key of catalog rows, (n,) each."""

    brickid: npt.NDArray[np.int32]
    brickname: npt.NDArray[np.bytes_]
    objid: npt.NDArray[np.int32]

    @property
    def object_id(self) -> npt.NDArray[np.int64]:
        """``release << 40 | brickid << 16 | objid``."""
        return object_ids(SIMULATED_RELEASE, self.brickid, self.objid)


def number_objects(ra: Floats, dec: Floats) -> Keys:
    """Give each row its brick, and a number within it in the order of the rows.

    Raises
    ------
    SettingsError
        A brick would have more objects than its numbers hold.
    """
    brickid, brickname = brick_of(ra, dec)
    order = np.argsort(brickid, kind="stable")
    sorted_id = brickid[order]
    objid = np.empty(len(ra), dtype=np.int32)
    objid[order] = np.arange(len(ra)) - np.searchsorted(sorted_id, sorted_id)
    if objid.max(initial=0) >= OBJID_LIMIT:
        raise SettingsError(
            f"brick {int(brickid[objid.argmax()])} would have more than {OBJID_LIMIT:,} objects;"
            " give the simulation a larger --radius or fewer --galaxies"
        )
    return Keys(brickid, brickname, objid)


def mask_bits(population: Population) -> npt.NDArray[np.int16]:
    """MASKBITS of galaxies: near a bright star or not."""
    bits = np.where(population.star_mag < 13, MASK_BRIGHT | MASK_MEDIUM, 0)
    return np.where(np.isfinite(population.star_mag), bits | MASK_MEDIUM, 0).astype(np.int16)


def source_types(population: Population) -> npt.NDArray[np.bytes_]:
    """TYPE that the survey's fit would find: DEV, SER, EXP, or REX where small and round."""
    red = np.isin(population.morphology, [GalaxyClass.ELLIPTICAL.value, GalaxyClass.LENS.value])
    small = (population.radius < 1.0) & (population.axis_ratio > 0.8)
    large = population.radius > 2.0
    kind = np.where(red, np.where(large, "SER", "DEV"), np.where(small, "REX", "EXP"))
    return np.where(~red & large, "SER", kind).astype("S3")


def psf_depth(population: Population) -> Floats:
    """PSFDEPTH: inverse variance of a point source's flux, 1 / (noise^2 4 pi sigma^2), (n, 3)."""
    return np.asarray(1 / (population.noise**2 * 4 * np.pi * population.psf_sigma**2))


def psf_size(population: Population) -> Floats:
    """PSFSIZE: FWHM in arcsec, (n, 3)."""
    return population.psf_sigma * (2.3548 * PIXEL_SCALE_ARCSEC)


def extra_rows(population: Population, rng: np.random.Generator) -> pd.DataFrame:
    """Draw the sweep's stars and duplicates: class, ra, dec, ebv, flux_g, flux_r, flux_z."""
    n = len(population)
    beside = np.flatnonzero(np.isfinite(population.star_mag))
    x, y = (
        np.radians(population.star_x[beside] / 3600),
        np.radians(population.star_y[beside] / 3600),
    )
    # Right in a picture is west: north is up and east left.
    star_ra, star_dec = offset_positions(
        population.ra[beside],
        population.dec[beside],
        distance=np.hypot(x, y),
        angle=np.arctan2(-x, y),
    )
    field = rng.choice(n, size=round(n * STAR_SHARE), replace=True)
    field_ra, field_dec = offset_positions(
        population.ra[field],
        population.dec[field],
        distance=np.radians(rng.uniform(30, 120, size=len(field)) / 3600),
        angle=rng.uniform(0, 2 * np.pi, size=len(field)),
    )
    twice = rng.choice(n, size=round(n * DUPLICATE_SHARE), replace=False)
    r_mag = np.concatenate([population.star_mag[beside], rng.uniform(15, 20, size=len(field))])
    relative = 10 ** (0.4 * np.array([-0.6, 0.0, 0.3]))  # g - r = 0.6, r - z = 0.3: a G star
    star_flux = 10 ** (-0.4 * (r_mag - 22.5))[:, None] * relative
    flux = np.concatenate([star_flux, np.zeros((len(twice), 3))])
    frame = pd.DataFrame(
        {
            "class": [STAR] * len(r_mag) + [DUPLICATE] * len(twice),
            "ra": np.concatenate([star_ra, field_ra, population.ra[twice]]),
            "dec": np.concatenate([star_dec, field_dec, population.dec[twice]]),
            "ebv": population.ebv[np.concatenate([beside, field, twice])],
        }
    )
    for place, band in enumerate("grz"):
        frame[f"flux_{band}"] = flux[:, place]
    return frame


def sweep_columns(
    population: Population, extra: pd.DataFrame, keys: Keys
) -> dict[str, npt.NDArray[np.generic]]:
    """Return the sweep's columns, named and typed as in DR9: galaxies first, then ``extra``."""
    n, m = len(population), len(extra)
    extra_type = np.where(extra["class"] == STAR, "PSF", "DUP").astype("S3")
    ebv = np.concatenate([population.ebv, extra["ebv"].to_numpy()])
    extra_flux = extra[["flux_g", "flux_r", "flux_z"]].to_numpy()
    typical = np.median(psf_depth(population), axis=0)
    fitted = (extra["class"] == STAR).to_numpy()[:, None]
    bands = {
        "FLUX": np.concatenate([population.flux, extra_flux]),
        "FLUX_IVAR": np.concatenate([population.flux_ivar, np.where(fitted, typical, 0.0)]),
        "MW_TRANSMISSION": transmission(ebv),
        "PSFDEPTH": np.concatenate([psf_depth(population), np.tile(typical, (m, 1))]),
        "PSFSIZE": np.concatenate(
            [psf_size(population), np.tile(np.median(psf_size(population), axis=0), (m, 1))]
        ),
    }
    no_shape = np.zeros(m)
    columns: dict[str, npt.NDArray[np.generic]] = {
        "RELEASE": np.full(n + m, SIMULATED_RELEASE, dtype=np.int16),
        "BRICKID": keys.brickid,
        "BRICKNAME": keys.brickname,
        "OBJID": keys.objid,
        "TYPE": np.concatenate([source_types(population), extra_type]),
        "RA": np.concatenate([population.ra, extra["ra"].to_numpy()]),
        "DEC": np.concatenate([population.dec, extra["dec"].to_numpy()]),
        "EBV": ebv.astype(np.float32),
    }
    for name, values in bands.items():
        for place, band in enumerate("GRZ"):
            columns[f"{name}_{band}"] = values[:, place].astype(np.float32)
    for band in "GRZ":
        columns[f"NOBS_{band}"] = np.full(n + m, 3, dtype=np.int16)
    columns["MASKBITS"] = np.concatenate([mask_bits(population), np.zeros(m, dtype=np.int16)])
    columns["SHAPE_R"] = np.concatenate([population.radius, no_shape]).astype(np.float32)
    # DR9's ellipticity: (1 - b/a) / (1 + b/a), and twice the angle from north through east.
    size = (1 - population.axis_ratio) / (1 + population.axis_ratio)
    double = 2 * (population.position_angle - np.pi / 2)
    for name, part in (("SHAPE_E1", np.cos(double)), ("SHAPE_E2", np.sin(double))):
        columns[name] = np.concatenate([size * part, no_shape]).astype(np.float32)
    columns["PHOTSYS"] = np.full(n + m, b"S", dtype="S1")
    return columns


def truth_table(population: Population, extra: pd.DataFrame, keys: Keys) -> pd.DataFrame:
    """Return the truth of every row of the sweep, in its order.

    ``has_cutout`` is False for stars and duplicates; their galaxy columns are empty.
    """
    has_star = np.isfinite(population.star_mag)
    mag = population.mag
    galaxies = pd.DataFrame(
        {
            "ra": population.ra,
            "dec": population.dec,
            "class": population.galaxy_class,
            "morphology": population.morphology,
            "redshift": population.redshift,
            "mag_g": mag[:, 0],
            "mag_r": mag[:, 1],
            "mag_z": mag[:, 2],
            "ebv": population.ebv,
            "half_light_radius": population.radius,
            "axis_ratio": population.axis_ratio,
            "has_star": has_star,
            "has_cutout": True,
        }
    )
    others = extra[["ra", "dec", "class", "ebv"]].assign(
        has_star=(extra["class"] == STAR).to_numpy(), has_cutout=False
    )
    truth = pd.concat([galaxies, others], ignore_index=True) if len(others) else galaxies
    truth.insert(0, "object_id", keys.object_id)
    return truth
