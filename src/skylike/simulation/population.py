"""Who is in the survey: magnitudes, colors, sizes, redshifts, positions, image quality."""

from dataclasses import dataclass, fields
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from skylike.bands import EXTINCTION_COEFFICIENT
from skylike.simulation import colors
from skylike.simulation.classes import PREVALENCE, GalaxyClass
from skylike.simulation.distributions import (
    EBV,
    NOISE_NANOMAGGIES,
    PSF_SIGMA_PIX,
    Floats,
    apportion,
    sample_bands,
    sample_cone,
    sample_magnitudes,
    sample_normal,
)

COUNTS_SLOPE: Final = 0.4
"""Rise of the number counts in z, dex for each magnitude.

Between the 0.6 of flat space, true of nearby galaxies, and the 0.3 beyond magnitude 21 (Yasuda et
al. 2001, AJ 122, 1104): 1 galaxy in 16 is brighter than 17, half of them lie beyond 19.25.
"""

RESOLVED_LIMIT_MAG: Final = 19.0
"""Rings and mergers are drawn to this z magnitude: fainter ones are smaller than the PSF."""

LENS_MAG_Z: Final = (18.6, 0.8)
"""Mean and scatter of z magnitudes of lenses (Stein et al. 2021, the 1,615 known lenses)."""


@dataclass(frozen=True)
class Field:
    """Where and how deep the survey looks.

    Attributes
    ----------
    ra, dec, radius
        A cone on the sky, degrees.
    mag_z_range
        Brightest and faintest z magnitude, corrected for extinction.
    """

    ra: float
    dec: float
    radius: float
    mag_z_range: tuple[float, float]


@dataclass(frozen=True)
class Population:
    """n galaxies, the brightest in z first; every attribute has n rows.

    Attributes
    ----------
    galaxy_class, morphology
        Class, and shape of the galaxy itself: of a blend or beside a star elliptical, spiral or
        edge_on, otherwise the class again.
    ra, dec
        ICRS degrees.
    ebv
        E(B-V), magnitudes.
    redshift
        True redshift.
    radius
        Half-light radius along the major axis, arcsec.
    axis_ratio, position_angle
        Minor to major axis, and angle of the major axis from the image's x axis, radians.
    old_flux, young_flux
        (n, 3) observed flux of old (red) and young (blue) stars in g, r, z, nanomaggies, dimmed by
        extinction. Their sum is the true flux; of a merger, of the whole system; of a lens, old is
        the lens and young the arcs.
    flux, flux_ivar
        (n, 3) measured flux, with its error, and 1 / error^2.
    psf_sigma, noise
        (n, 3) sigma of the PSF in pixels, and of the noise of a pixel in nanomaggies.
    star_mag, star_x, star_y
        r magnitude of the bright star in the picture and its place in arcsec right of and above the
        galaxy; NaN without one.
    """

    galaxy_class: npt.NDArray[np.str_]
    morphology: npt.NDArray[np.str_]
    ra: Floats
    dec: Floats
    ebv: Floats
    redshift: Floats
    radius: Floats
    axis_ratio: Floats
    position_angle: Floats
    old_flux: Floats
    young_flux: Floats
    flux: Floats
    flux_ivar: Floats
    psf_sigma: Floats
    noise: Floats
    star_mag: Floats
    star_x: Floats
    star_y: Floats

    def __len__(self) -> int:
        return len(self.ra)

    def take(self, rows: npt.NDArray[np.intp] | slice) -> Self:
        """Return some rows, in the order given."""
        return type(self)(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    @property
    def transmission(self) -> Floats:
        """Share of the light that passes the Galaxy's dust in g, r, z, (n, 3)."""
        return transmission(self.ebv)

    @property
    def mag(self) -> Floats:
        """True AB magnitudes g, r, z corrected for extinction, (n, 3)."""
        return 22.5 - 2.5 * np.log10((self.old_flux + self.young_flux) / self.transmission)


def transmission(ebv: Floats) -> Floats:
    """Return the share of light in g, r, z that passes dust of this E(B-V), (n, 3)."""
    coefficients = np.array([EXTINCTION_COEFFICIENT[band] for band in "grz"])
    return np.asarray(10 ** (-0.4 * ebv[:, None] * coefficients), dtype=np.float64)


def draw_population(n: int, *, field: Field, rng: np.random.Generator) -> Population:
    """Draw n galaxies in the shares of ``PREVALENCE``, sorted by falling measured z flux."""
    names = np.array([str(name) for name in PREVALENCE])
    galaxy_class = np.repeat(names, apportion(n, list(PREVALENCE.values())))
    rng.shuffle(galaxy_class)
    morphology = _morphologies(galaxy_class, rng)
    mag_z = _magnitudes(galaxy_class, field.mag_z_range, rng)
    redshift = _redshifts(morphology, mag_z, rng)
    radius = _radii(morphology, mag_z, rng)
    ra, dec = sample_cone(rng, n, ra=field.ra, dec=field.dec, radius=field.radius)
    ebv = EBV.sample(rng, n)
    old, young = _fluxes(morphology, mag_z, redshift, rng)
    dimming = transmission(ebv)
    psf_sigma = sample_bands(PSF_SIGMA_PIX, rng, n)
    noise = sample_bands(NOISE_NANOMAGGIES, rng, n)
    flux_ivar = _inverse_variance(radius, psf_sigma, noise)
    star_mag, star_x, star_y = _stars(galaxy_class, rng)
    true_flux = (old + young) * dimming
    population = Population(
        galaxy_class=galaxy_class,
        morphology=morphology,
        ra=ra,
        dec=dec,
        ebv=ebv,
        redshift=redshift,
        radius=radius,
        axis_ratio=_axis_ratios(morphology, rng),
        position_angle=rng.uniform(0, np.pi, size=n),
        old_flux=old * dimming,
        young_flux=young * dimming,
        flux=true_flux + rng.normal(size=(n, 3)) / np.sqrt(flux_ivar),
        flux_ivar=flux_ivar,
        psf_sigma=psf_sigma,
        noise=noise,
        star_mag=star_mag,
        star_x=star_x,
        star_y=star_y,
    )
    return population.take(np.argsort(-population.flux[:, 2], kind="stable"))


def _morphologies(
    galaxy_class: npt.NDArray[np.str_], rng: np.random.Generator
) -> npt.NDArray[np.str_]:
    ordinary = [GalaxyClass.ELLIPTICAL, GalaxyClass.SPIRAL, GalaxyClass.EDGE_ON]
    drawn = rng.choice(
        [str(name) for name in ordinary], size=galaxy_class.shape, p=[0.5, 0.35, 0.15]
    )
    hosts = np.isin(galaxy_class, [GalaxyClass.BLEND.value, GalaxyClass.STAR_ARTIFACT.value])
    return np.where(hosts, drawn, galaxy_class)


def _magnitudes(
    galaxy_class: npt.NDArray[np.str_], limits: tuple[float, float], rng: np.random.Generator
) -> Floats:
    n = len(galaxy_class)
    quantity = sample_magnitudes(rng, n, limits=limits, slope=COUNTS_SLOPE)
    if limits[0] < RESOLVED_LIMIT_MAG < limits[1]:
        resolved = sample_magnitudes(
            rng, n, limits=(limits[0], RESOLVED_LIMIT_MAG), slope=COUNTS_SLOPE
        )
        small = np.isin(galaxy_class, [GalaxyClass.RING.value, GalaxyClass.MERGER.value])
        quantity = np.where(small, resolved, quantity)
    mean, sigma = LENS_MAG_Z
    lenses = sample_normal(rng, n, mean=mean, sigma=sigma, limits=limits)
    return np.where(galaxy_class == GalaxyClass.LENS, lenses, quantity)


def _redshifts(morphology: npt.NDArray[np.str_], mag_z: Floats, rng: np.random.Generator) -> Floats:
    """Fainter is farther: medians of 0.08 at z magnitude 17 and 0.25 (red: 0.35) at 20."""
    red = morphology == GalaxyClass.ELLIPTICAL
    median = np.where(red, 0.10 * 10 ** (0.18 * (mag_z - 17)), 0.08 * 10 ** (0.165 * (mag_z - 17)))
    scatter = rng.lognormal(0, 0.3, size=mag_z.shape)
    lens = np.clip(rng.normal(0.5, 0.12, size=mag_z.shape), 0.2, 0.8)
    return np.where(morphology == GalaxyClass.LENS, lens, np.clip(median * scatter, 0.005, 0.8))


_SIZE_DEX: Final = {
    GalaxyClass.SPIRAL: 0.08,
    GalaxyClass.EDGE_ON: 0.08,
    GalaxyClass.RING: 0.15,
    GalaxyClass.MERGER: 0.15,
}


def _radii(morphology: npt.NDArray[np.str_], mag_z: Floats, rng: np.random.Generator) -> Floats:
    """Half-light radii: 2 arcsec at z magnitude 17.5, 0.85 at 20 (Shen et al. 2003, seen by us)."""
    dex = 0.30 - 0.15 * (mag_z - 17.5) + rng.normal(0, 0.10, size=mag_z.shape)
    for name, larger in _SIZE_DEX.items():
        dex = dex + np.where(morphology == name, larger, 0.0)
    return np.clip(10**dex, 0.35, 12.0)


def _axis_ratios(morphology: npt.NDArray[np.str_], rng: np.random.Generator) -> Floats:
    n = len(morphology)
    # A disk of thickness 0.2 seen from anywhere but the edge; rings are known as such when open.
    cos_disk, cos_open = rng.uniform(0.35, 1.0, size=n), rng.uniform(0.5, 1.0, size=n)
    cosine = np.where(morphology == GalaxyClass.RING, cos_open, cos_disk)
    disk = np.sqrt(cosine**2 * (1 - 0.2**2) + 0.2**2)
    round_one = np.clip(rng.normal(0.8, 0.13, size=n), 0.45, 1.0)
    ratio = np.where(np.isin(morphology, ["elliptical", "lens"]), round_one, disk)
    return np.where(morphology == GalaxyClass.EDGE_ON, rng.uniform(0.14, 0.30, size=n), ratio)


_YOUNG_SHARE: Final = {
    GalaxyClass.ELLIPTICAL: (0.0, 0.0),
    GalaxyClass.SPIRAL: (0.35, 0.70),
    GalaxyClass.EDGE_ON: (0.25, 0.60),
    GalaxyClass.RING: (0.35, 0.65),
    GalaxyClass.MERGER: (0.30, 0.65),
    GalaxyClass.LENS: (0.10, 0.22),
}
"""Share of the z flux in young stars."""


def _fluxes(
    morphology: npt.NDArray[np.str_], mag_z: Floats, redshift: Floats, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Return flux in g, r, z of old and young stars, before extinction: (n, 3) each."""
    limits = np.array([_YOUNG_SHARE[GalaxyClass(name)] for name in morphology])
    share = rng.uniform(limits[:, 0], limits[:, 1])
    flux_z = 10 ** (-0.4 * (mag_z - 22.5))
    # The source behind a lens is a faint blue galaxy at redshift 1 to 3: its ultraviolet is flat.
    young_redshift = np.where(morphology == GalaxyClass.LENS, 0.0, redshift)
    old = colors.old_stars(redshift, rng) * (flux_z * (1 - share))[:, None]
    young = colors.young_stars(young_redshift, rng) * (flux_z * share)[:, None]
    return old, young


def _inverse_variance(radius: Floats, psf_sigma: Floats, noise: Floats) -> Floats:
    """1 / error^2 of a flux fitted with a Gaussian as large as galaxy and PSF together, (n, 3)."""
    galaxy_sigma = (
        radius[:, None] / 1.1774 / 0.262
    )  # half-light radius of a Gaussian to sigma, pixels
    return np.asarray(1 / (noise**2 * 4 * np.pi * (psf_sigma**2 + galaxy_sigma**2)))


def _stars(
    galaxy_class: npt.NDArray[np.str_], rng: np.random.Generator
) -> tuple[Floats, Floats, Floats]:
    n = len(galaxy_class)
    magnitude = sample_magnitudes(rng, n, limits=(10.5, 14.0), slope=0.15)
    distance, angle = rng.uniform(6.0, 16.0, size=n), rng.uniform(0, 2 * np.pi, size=n)
    absent = galaxy_class != GalaxyClass.STAR_ARTIFACT
    values = (magnitude, distance * np.cos(angle), distance * np.sin(angle))
    bright, x, y = (np.where(absent, np.nan, value) for value in values)
    return bright, x, y
