from dataclasses import replace

import galsim
import numpy as np
import pytest

from skylike.simulation.classes import PREVALENCE, GalaxyClass
from skylike.simulation.cutouts import draw_cutout, draw_target
from skylike.simulation.draw import draw_scene
from skylike.simulation.population import Field, Population, draw_population
from skylike.simulation.scene import Light, Points, Scene

PSF_SIGMA = np.array([2.4, 2.1, 1.9])
FLUX = np.array([5.0, 10.0, 20.0])


@pytest.fixture(scope="module")
def population() -> Population:
    field = Field(190.0, 25.0, 8.0, (16.5, 18.0))
    return draw_population(400, field=field, rng=np.random.default_rng(2))


def rows_of(population: Population, name: str, n: int) -> np.ndarray:
    return np.flatnonzero(population.galaxy_class == name)[:n]


def blank() -> np.ndarray:
    return np.zeros((3, 152, 152), dtype=np.float32)


def centroid(plane: np.ndarray) -> tuple[float, float]:
    y, x = np.indices(plane.shape)
    return float((plane * x).sum() / plane.sum()), float((plane * y).sum() / plane.sum())


def test_a_profile_is_drawn_as_galsim_draws_it():
    profile = galsim.Exponential(half_light_radius=1.2).shear(q=0.6, beta=0.5 * galsim.radians)
    pixels = blank()

    draw_scene(Scene((Light(profile, FLUX),), extent=8.0), psf_sigma=PSF_SIGMA, pixels=pixels)

    for band in range(3):
        psf = galsim.Moffat(3.5, fwhm=2.3548 * PSF_SIGMA[band] * 0.262)
        expected = galsim.Convolve(profile * FLUX[band], psf).drawImage(
            nx=152, ny=152, scale=0.262, method="no_pixel"
        )
        assert np.abs(pixels[band] - expected.array).max() < 2e-3 * expected.array.max()


def test_a_brightness_map_is_drawn_as_the_same_profile():
    profile, pixels, mapped = galsim.Gaussian(sigma=1.0), blank(), blank()

    draw_scene(Scene((Light(profile, FLUX),), extent=8.0), psf_sigma=PSF_SIGMA, pixels=pixels)
    light = Light(lambda x, y: np.exp(-0.5 * (x**2 + y**2)), FLUX)
    draw_scene(Scene((light,), extent=8.0), psf_sigma=PSF_SIGMA, pixels=mapped)

    assert np.abs(mapped - pixels).max() < 3e-3 * pixels.max()


def test_points_are_drawn_where_they_are_with_their_flux():
    pixels = blank()
    points = Points(np.array([2.62]), np.array([-5.24]), np.ones(1), FLUX)

    draw_scene(Scene((), extent=16.0, points=(points,)), psf_sigma=PSF_SIGMA, pixels=pixels)

    assert pixels.sum(axis=(1, 2)) == pytest.approx(FLUX, rel=0.02)
    y, x = np.unravel_index(pixels[1].argmax(), pixels[1].shape)
    assert abs(x - (75.5 + 10)) <= 0.5
    assert abs(y - (75.5 - 20)) <= 0.5


def test_stars_have_the_asked_width_at_half_maximum():
    pixels = blank()
    point = Points(np.zeros(1), np.zeros(1), np.ones(1), FLUX)

    draw_scene(Scene((), extent=16.0, points=(point,)), psf_sigma=PSF_SIGMA, pixels=pixels)

    distance = np.arange(76) + 0.5
    for band in range(3):
        row = (pixels[band, 75, 76:] + pixels[band, 76, 76:]) / 2  # half a pixel off the axis
        # A Moffat profile, extrapolated from half a pixel on both axes to its center.
        width = 2.3548 * PSF_SIGMA[band]
        scale = (2 ** (1 / 3.5) - 1) * 4 / width**2
        moffat = (1 + scale * (distance**2 + 0.25)) ** -3.5
        assert row[:12] / row[0] == pytest.approx(moffat[:12] / moffat[0], rel=0.03)


@pytest.mark.parametrize("name", list(PREVALENCE))
def test_the_flux_in_the_pixels_is_the_true_flux(population: Population, name: GalaxyClass):
    for row in rows_of(population, name, 4):
        pixels = draw_target(population, row, rng=np.random.default_rng(row))

        true = population.old_flux[row] + population.young_flux[row]
        assert np.isfinite(pixels).all()
        assert pixels.sum(axis=(1, 2)) == pytest.approx(true, rel=0.1)


@pytest.mark.parametrize("name", ["elliptical", "spiral", "edge_on", "ring", "lens"])
def test_the_galaxy_lies_at_the_center(population: Population, name: str):
    for row in rows_of(population, name, 3):
        pixels = draw_target(population, row, rng=np.random.default_rng(row))

        assert centroid(pixels[2]) == pytest.approx(
            (75.5, 75.5), abs=max(2.0, 1.2 * population.radius[row])
        )


def test_the_sky_has_the_noise_of_its_band(population: Population):
    quiet = replace(
        population, old_flux=population.old_flux * 1e-9, young_flux=population.young_flux * 1e-9
    )
    row = int(rows_of(population, "elliptical", 1)[0])

    pixels = draw_cutout(quiet, row, rng=np.random.default_rng(1))

    for band in range(3):
        plane = pixels[band]
        spread = 1.4826 * np.median(np.abs(plane - np.median(plane)))
        assert spread == pytest.approx(population.noise[row, band], rel=0.1)


def test_a_ring_is_brighter_at_its_radius_than_inside(population: Population):
    rows = rows_of(population, "ring", 20)
    row = int(rows[np.argmax(population.radius[rows] * population.axis_ratio[rows])])

    pixels = draw_target(population, row, rng=np.random.default_rng(row))[0]

    y, x = np.indices(pixels.shape) - 75.5
    along = np.cos(population.position_angle[row]) * x + np.sin(population.position_angle[row]) * y
    across = np.cos(population.position_angle[row]) * y - np.sin(population.position_angle[row]) * x
    radius = np.hypot(along, across / population.axis_ratio[row]) * 0.262 / population.radius[row]
    profile = [
        pixels[(radius >= low) & (radius < low + 0.15)].mean() for low in np.arange(0, 2.1, 0.15)
    ]
    trough, crest = min(profile[3:9]), max(profile[7:12])
    assert crest > 1.15 * trough


def test_a_spiral_has_arms_that_an_elliptical_has_not(population: Population):
    def contrast(name: str) -> float:
        found = []
        for row in rows_of(population, name, 12):
            pixels = draw_target(population, row, rng=np.random.default_rng(row))[0]
            # Arms break the symmetry under reflection that smooth ellipses keep on their axes.
            angle = population.position_angle[row]
            y, x = np.indices(pixels.shape) - 75.5
            u = np.cos(2 * angle) * x + np.sin(2 * angle) * y
            v = np.sin(2 * angle) * x - np.cos(2 * angle) * y
            columns = np.clip(np.round(u + 75.5), 0, 151).astype(int)
            lines = np.clip(np.round(v + 75.5), 0, 151).astype(int)
            found.append(np.abs(pixels - pixels[lines, columns]).sum() / pixels.sum())
        return float(np.median(found))

    assert contrast("spiral") > 2 * contrast("elliptical")


def test_a_lens_is_red_in_the_middle_and_blue_around(population: Population):
    for row in rows_of(population, "lens", 3):
        pixels = draw_target(population, row, rng=np.random.default_rng(row))
        y, x = np.indices(pixels.shape[1:]) - 75.5
        distance = np.hypot(x, y) * 0.262
        inside, around = distance < 0.8, (distance > 1.5) & (distance < 5.0)

        assert (
            pixels[0][around].sum() / pixels[2][around].sum()
            > 1.3 * pixels[0][inside].sum() / pixels[2][inside].sum()
        )


def test_a_star_artifact_is_saturated_where_the_star_is(population: Population):
    row = int(rows_of(population, "star_artifact", 1)[0])

    pixels = draw_cutout(population, row, rng=np.random.default_rng(row))

    y, x = (
        round(75.5 + place / 0.262) for place in (population.star_y[row], population.star_x[row])
    )
    assert pixels[1, y, x] == pytest.approx(60.0, abs=0.2)
