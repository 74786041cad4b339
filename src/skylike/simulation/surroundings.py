"""What else is in the picture: faint galaxies and stars, a neighbor, a bright star with spikes."""

from typing import Final

import galsim
import numpy as np

from skylike.bands import CUTOUT_SIZE_PIX, PIXEL_SCALE_ARCSEC
from skylike.simulation import colors
from skylike.simulation.distributions import Floats, sample_magnitudes
from skylike.simulation.draw import MOFFAT_BETA, Pixels, draw_scene, draw_small
from skylike.simulation.scene import Light, Scene, Target
from skylike.simulation.smooth import background, bulge

FIELD_GALAXIES: Final = 5.0
"""Mean number in a cutout of galaxies of z magnitude 18.5 to 22.5: 40,000 a square degree."""

FIELD_STARS: Final = 0.5
"""Mean number in a cutout of stars of z magnitude 16 to 22, at high galactic latitude."""

SATURATION_NANOMAGGIES: Final = 60.0
"""Brightest pixel of a coadd: beyond it the camera's pixels are full."""

_HALF_SIDE: Final = CUTOUT_SIZE_PIX * PIXEL_SCALE_ARCSEC / 2


def draw_field(
    pixels: Pixels, *, psf_sigma: Floats, transmission: Floats, rng: np.random.Generator
) -> None:
    """Add faint galaxies and stars, as many as the sky has; dimmed by the same dust."""
    n_galaxies, n_stars = rng.poisson(FIELD_GALAXIES), rng.poisson(FIELD_STARS)
    mag = sample_magnitudes(rng, n_galaxies, limits=(18.5, 22.5), slope=0.33)
    redshift = np.clip(
        0.3 * 10 ** (0.12 * (mag - 20)) * rng.lognormal(0, 0.35, n_galaxies), 0.05, 0.8
    )
    red = rng.random(n_galaxies) < 0.3
    relative = np.where(
        red[:, None], colors.old_stars(redshift, rng), colors.young_stars(redshift, rng)
    )
    radius = np.clip(
        0.8 * 10 ** (-0.12 * (mag - 20)) * rng.lognormal(0, 0.25, n_galaxies), 0.15, 1.2
    )
    profiles = [
        background(*shape)
        for shape in zip(
            radius,
            rng.uniform(0.3, 1.0, n_galaxies),
            rng.uniform(0, np.pi, n_galaxies),
            strict=True,
        )
    ]
    profiles += [galsim.Gaussian(sigma=1e-4)] * n_stars  # a point, but for its name
    star_mag = sample_magnitudes(rng, n_stars, limits=(16.0, 22.0), slope=0.15)
    fluxes = np.concatenate(
        [
            relative * (10 ** (-0.4 * (mag - 22.5)))[:, None],
            _star_colors(rng, n_stars) * (10 ** (-0.4 * (star_mag - 22.5)))[:, None],
        ]
    )  # (p, 3)
    places = rng.uniform(-_HALF_SIDE, _HALF_SIDE, size=(len(fluxes), 2))
    # A catalog would not take a galaxy on top of another for one of its own.
    apart = np.hypot(places[:, 0], places[:, 1]) > 3.0
    kept = [profile for profile, is_apart in zip(profiles, apart, strict=True) if is_apart]
    draw_small(
        places[apart],
        profiles=kept,
        fluxes=fluxes[apart] * transmission,
        psf_sigma=psf_sigma,
        pixels=pixels,
    )


def _star_colors(rng: np.random.Generator, n: int, *, reddest: float = 1.5) -> Floats:
    """Flux in g, r, z relative to z of stars between F and M on the stellar locus, (n, 3)."""
    g_r = rng.uniform(0.25, reddest, size=n)
    r_z = np.where(g_r < 1.2, 0.55 * g_r - 0.05, rng.uniform(0.6, 2.0, size=n))
    magnitude = np.stack([g_r + r_z, r_z, np.zeros(n)], axis=1)
    return np.asarray(10 ** (-0.4 * magnitude), dtype=np.float64)


def draw_neighbor(
    target: Target, pixels: Pixels, *, psf_sigma: Floats, rng: np.random.Generator
) -> None:
    """Add an unrelated galaxy of similar brightness, of another color, overlapping the target."""
    brightness = 10 ** (-0.4 * rng.uniform(-0.4, 1.4))
    radius = float(np.clip(target.radius * brightness**0.35 * rng.uniform(0.8, 1.2), 0.4, 10))
    distance, angle = (
        rng.uniform(1.3, 2.2) * max(target.radius + radius, 2.0) / 1.3,
        rng.uniform(0, 2 * np.pi),
    )
    redshift = rng.uniform(0.05, 0.5, size=1)
    flux_z = brightness * (target.old + target.young)[2]
    old, young = (
        stars(redshift, rng)[0] * flux_z for stars in (colors.old_stars, colors.young_stars)
    )
    share = rng.uniform(0.0, 0.8)
    other = Target(
        radius, rng.uniform(0.3, 0.95), rng.uniform(0, np.pi), (1 - share) * old, share * young
    )
    place = distance * np.cos(angle), distance * np.sin(angle)
    disk = other.flatten(galsim.Exponential(half_light_radius=radius)).shift(*place)
    core = bulge(other, radius=0.4 * radius, roundness=0.4).shift(*place)
    lights = (Light(disk, other.young + 0.5 * other.old), Light(core, 0.5 * other.old))
    draw_scene(Scene(lights, extent=distance + 4 * radius), psf_sigma=psf_sigma, pixels=pixels)


def draw_bright_star(
    pixels: Pixels,
    *,
    mag: float,
    place: tuple[float, float],
    psf_sigma: Floats,
    rng: np.random.Generator,
) -> None:
    """Add a saturated star: core cut off, halo, four diffraction spikes, a bleeding column.

    Parameters
    ----------
    mag
        r magnitude.
    place
        Arcsec right of and above the center of the cutout.
    """
    flux = _star_colors(rng, 1, reddest=1.0)[0]
    flux = flux / flux[1] * 10 ** (-0.4 * (mag - 22.5))
    axis = ((np.arange(CUTOUT_SIZE_PIX) - (CUTOUT_SIZE_PIX - 1) / 2) * PIXEL_SCALE_ARCSEC).astype(
        np.float32
    )
    x, y = axis[None, :] - np.float32(place[0]), axis[:, None] - np.float32(place[1])
    square = x**2 + y**2
    tilt = np.float32(np.pi / 4 + rng.normal(0, 0.03))
    along, across = np.cos(tilt) * x + np.sin(tilt) * y, np.cos(tilt) * y - np.sin(tilt) * x
    spikes = _spike(along, across) + _spike(across, along)
    # The halo of scattered light falls as r^-2 and holds some per cent within 20 arcsec.
    halo = 1.2e-5 / (1 + square / 4.0)
    bleed_length = np.float32(2.0 + 2.5 * max(13.5 - mag, 0.0))
    bleed = np.exp(-0.5 * (x / 0.3) ** 2 - (np.abs(y) / bleed_length) ** 4)
    for band, sigma in enumerate(psf_sigma):
        core_radius = (
            2.3548 * sigma * PIXEL_SCALE_ARCSEC / (2 * np.sqrt(2 ** (1 / MOFFAT_BETA) - 1))
        )
        core = (MOFFAT_BETA - 1) / (np.pi * core_radius**2) * PIXEL_SCALE_ARCSEC**2
        shape = core * (1 + square / core_radius**2) ** -MOFFAT_BETA + halo + spikes
        star = np.minimum(flux[band] * shape, SATURATION_NANOMAGGIES)
        overflow = SATURATION_NANOMAGGIES * bleed * (flux[band] * core > SATURATION_NANOMAGGIES)
        pixels[band] = np.minimum(pixels[band] + np.maximum(star, overflow), SATURATION_NANOMAGGIES)


def _spike(along: Pixels, across: Pixels) -> Pixels:
    fall = 4e-4 * np.exp(-np.abs(along) / 4.0) + 4e-5 / (1 + (along / 6.0) ** 2)
    return np.asarray(fall * np.exp(-0.5 * (across / 0.35) ** 2), dtype=np.float32)
