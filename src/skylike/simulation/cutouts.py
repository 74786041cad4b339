"""One galaxy of the population to its cutout, by its class."""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from skylike.bands import CUTOUT_SIZE_PIX
from skylike.simulation import disks, lens, merger, smooth
from skylike.simulation.classes import GalaxyClass
from skylike.simulation.draw import Pixels, draw_scene, sky_noise
from skylike.simulation.population import Population
from skylike.simulation.scene import Scene, Target
from skylike.simulation.surroundings import draw_bright_star, draw_field, draw_neighbor

_SCENES: Final[Mapping[str, Callable[[Target, np.random.Generator], Scene]]] = {
    GalaxyClass.ELLIPTICAL: smooth.elliptical,
    GalaxyClass.EDGE_ON: smooth.edge_on,
    GalaxyClass.SPIRAL: disks.spiral,
    GalaxyClass.RING: disks.ring,
    GalaxyClass.MERGER: merger.merger,
    GalaxyClass.LENS: lens.lens,
}


def draw_target(population: Population, row: int, *, rng: np.random.Generator) -> Pixels:
    """Draw a galaxy alone, through the PSF but without noise or neighbors: (3, 152, 152)."""
    pixels = np.zeros((3, CUTOUT_SIZE_PIX, CUTOUT_SIZE_PIX), dtype=np.float32)
    scene = _SCENES[str(population.morphology[row])](_target(population, row), rng)
    draw_scene(scene, psf_sigma=population.psf_sigma[row], pixels=pixels)
    return pixels


def draw_cutout(population: Population, row: int, *, rng: np.random.Generator) -> Pixels:
    """Draw a cutout as a survey sees it.

    Returns
    -------
    pixels
        (3, 152, 152) float32 g r z in nanomaggies.
    """
    psf_sigma = population.psf_sigma[row]
    pixels = draw_target(population, row, rng=rng)
    draw_field(pixels, psf_sigma=psf_sigma, transmission=population.transmission[row], rng=rng)
    if population.galaxy_class[row] == GalaxyClass.BLEND:
        draw_neighbor(_target(population, row), pixels, psf_sigma=psf_sigma, rng=rng)
    if np.isfinite(population.star_mag[row]):
        place = float(population.star_x[row]), float(population.star_y[row])
        draw_bright_star(
            pixels, mag=float(population.star_mag[row]), place=place, psf_sigma=psf_sigma, rng=rng
        )
    return pixels + sky_noise(population.noise[row], rng)


def _target(population: Population, row: int) -> Target:
    return Target(
        radius=float(population.radius[row]),
        axis_ratio=float(population.axis_ratio[row]),
        position_angle=float(population.position_angle[row]),
        old=population.old_flux[row],
        young=population.young_flux[row],
    )


def draw_block(population: Population, *, first: int, seed: int) -> Pixels:
    """Draw consecutive galaxies of a survey in any process: (b, 3, 152, 152).

    Parameters
    ----------
    first
        Row of the first galaxy in the survey: with ``seed`` it fixes the random numbers.
    """
    seeds = (
        np.random.SeedSequence(seed, spawn_key=(3, first + row)) for row in range(len(population))
    )
    return np.stack(
        [
            draw_cutout(population, row, rng=np.random.default_rng(own))
            for row, own in enumerate(seeds)
        ]
    )
