import numpy as np
import pytest
from scipy import stats

from skylike.simulation.classes import PREVALENCE, GalaxyClass
from skylike.simulation.distributions import (
    EBV,
    NOISE_NANOMAGGIES,
    PSF_SIGMA_PIX,
    apportion,
    sample_cone,
    sample_magnitudes,
    sample_normal,
)
from skylike.simulation.population import Field, Population, draw_population

FIELD = Field(190.0, 25.0, 8.0, (14.0, 20.0))


@pytest.fixture(scope="module")
def population() -> Population:
    return draw_population(5000, field=FIELD, rng=np.random.default_rng(1))


@pytest.mark.parametrize(
    ("distribution", "median"),
    [
        (EBV, 0.0346),
        (PSF_SIGMA_PIX["g"], 2.40),
        (PSF_SIGMA_PIX["r"], 2.16),
        (PSF_SIGMA_PIX["z"], 2.02),
        (NOISE_NANOMAGGIES["g"], 0.0031),
        (NOISE_NANOMAGGIES["r"], 0.0044),
        (NOISE_NANOMAGGIES["z"], 0.0117),
    ],
)
def test_image_quality_follows_the_papers_log_normals_within_their_limits(distribution, median):
    drawn = distribution.sample(np.random.default_rng(1), 20_000)

    assert np.median(drawn) == pytest.approx(median, rel=0.02)
    assert drawn.min() >= distribution.low
    assert drawn.max() <= distribution.high


def test_number_counts_rise_by_the_slope():
    drawn = sample_magnitudes(np.random.default_rng(1), 100_000, limits=(14.0, 20.0), slope=0.4)

    counts, _ = np.histogram(drawn, bins=[17, 18, 19, 20])
    assert np.diff(np.log10(counts)) == pytest.approx([0.4, 0.4], abs=0.03)
    assert drawn.min() >= 14.0
    assert drawn.max() <= 20.0


def test_a_normal_cut_far_in_its_wing_stays_within_the_limits():
    drawn = sample_normal(np.random.default_rng(1), 100, mean=18.6, sigma=0.8, limits=(14.0, 15.0))

    assert ((drawn >= 14.0) & (drawn <= 15.0)).all()


@pytest.mark.parametrize(("dec", "radius"), [(25.0, 8.0), (90.0, 3.0), (-89.5, 2.0), (0.0, 180.0)])
def test_positions_fill_the_cone_evenly(dec, radius):
    ra, declination = sample_cone(np.random.default_rng(1), 4000, ra=359.9, dec=dec, radius=radius)

    x = np.cos(np.radians(declination)) * np.cos(np.radians(ra - 359.9))
    cosine = np.sin(np.radians(dec)) * np.sin(np.radians(declination)) + np.cos(np.radians(dec)) * x
    share = (1 - cosine) / (1 - np.cos(np.radians(radius)))
    assert ((ra >= 0) & (ra < 360)).all()
    assert share.max() <= 1 + 1e-9
    assert stats.kstest(share, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("total", [1, 7, 300, 3001])
def test_apportioned_classes_sum_to_the_total(total):
    counts = apportion(total, list(PREVALENCE.values()))

    assert counts.sum() == total
    assert np.abs(counts - total * np.array(list(PREVALENCE.values()))).max() < 1


def test_classes_have_their_stated_prevalence(population: Population):
    for name, share in PREVALENCE.items():
        assert np.sum(population.galaxy_class == name) == round(5000 * share)


def test_population_is_sorted_by_falling_z_flux(population: Population):
    assert (np.diff(population.flux[:, 2]) <= 0).all()


def test_dereddened_catalog_magnitudes_are_the_true_ones_within_errors(population: Population):
    measured = 22.5 - 2.5 * np.log10(population.flux / population.transmission)
    sigma = 1.0857 / (population.flux * np.sqrt(population.flux_ivar))

    pull = (measured - population.mag)[:, 2] / sigma[:, 2]
    assert np.std(pull) == pytest.approx(1.0, abs=0.05)
    assert population.mag[:, 2].max() <= 20.0


def test_ellipticals_are_redder_than_spirals_at_the_same_magnitude(population: Population):
    color = population.mag[:, 0] - population.mag[:, 1]
    bright = population.mag[:, 2] < 18

    red = np.median(color[bright & (population.galaxy_class == GalaxyClass.ELLIPTICAL)])
    blue = np.median(color[bright & (population.galaxy_class == GalaxyClass.SPIRAL)])
    assert red - blue > 0.2


def test_only_star_artifacts_have_a_bright_star(population: Population):
    has_star = np.isfinite(population.star_mag)

    assert np.array_equal(has_star, population.galaxy_class == GalaxyClass.STAR_ARTIFACT)
