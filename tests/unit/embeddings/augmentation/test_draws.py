"""Parameters of views: what is known, what is drawn, and from what."""

import dataclasses
import math

import numpy as np
import pytest
import scipy.stats
import torch

from skylike.embeddings.augmentation.distributions import (
    EBV,
    FWHM_PER_SIGMA,
    PSF_SIGMA_PIX,
)
from skylike.embeddings.augmentation.draws import draw, draw_views
from skylike.embeddings.augmentation.recipe import AugmentRecipe
from skylike.embeddings.recipes import RECIPES

N = 20_000
RELEASED = RECIPES["released"].augment


@pytest.fixture(scope="module")
def unknown() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.full((N,), math.nan), torch.full((N, 3), math.nan)


def test_known_extinction_is_removed_before_the_new_one(nothing, generator):
    recipe = dataclasses.replace(nothing, extinction=True)

    draws = draw(torch.full((N,), 0.4), torch.full((N, 3), math.nan), recipe, generator=generator())

    new = draws.reddening + 0.4
    assert float(new.median()) == pytest.approx(EBV.loc + EBV.scale, rel=0.02)
    assert float(new.min()) >= 0.0


def test_unknown_extinction_leaves_no_trend(nothing, generator, unknown):
    recipe = dataclasses.replace(nothing, extinction=True)

    draws = draw(*unknown, recipe, generator=generator())

    assert abs(float(draws.reddening.mean())) < 1e-3


def test_released_extinction_is_even_and_ignores_the_known_value(generator, unknown):
    draws = draw(torch.full((N,), 0.9), unknown[1], RELEASED, generator=generator())

    # U(0, 1) minus a log-normal of mean 0.043, not minus 0.9.
    mean = 0.5 - float(scipy.stats.lognorm(EBV.shape, EBV.loc, EBV.scale).mean())
    assert float(draws.reddening.mean()) == pytest.approx(mean, abs=0.01)
    assert float(draws.reddening.max()) > 0.95


@pytest.mark.parametrize(
    ("recipe", "blurred", "noisy"), [(AugmentRecipe(), 0.5, 0.5), (RELEASED, 0.71, 0.81)]
)
def test_share_of_planes_that_change_is_that_of_the_distributions(
    recipe: AugmentRecipe, blurred: float, noisy: float, generator, unknown
):
    draws = draw(*unknown, recipe, generator=generator())

    assert float((draws.blur_sigma > 0).float().mean()) == pytest.approx(blurred, abs=0.02)
    assert float((draws.noise_sigma > 0).float().mean()) == pytest.approx(noisy, abs=0.02)


def test_blur_brings_the_known_psf_up_to_the_drawn_one_and_never_sharpens(
    nothing, generator, unknown
):
    recipe = dataclasses.replace(nothing, psf_blur=True)
    own_sigma = 2.2
    psf = torch.full((N, 3), own_sigma * 0.262 * FWHM_PER_SIGMA)

    sigma = draw(unknown[0], psf, recipe, generator=generator()).blur_sigma

    exact = scipy.stats.lognorm(
        PSF_SIGMA_PIX[1].shape, PSF_SIGMA_PIX[1].loc, PSF_SIGMA_PIX[1].scale
    )
    assert float((sigma[:, 1] > 0).float().mean()) == pytest.approx(exact.sf(own_sigma), abs=0.01)
    total = torch.sqrt(sigma[:, 1] ** 2 + own_sigma**2)
    assert float(total.quantile(0.95)) == pytest.approx(exact.ppf(0.95), rel=0.01)


def test_no_blur_exceeds_the_limit_that_the_draws_state(generator, unknown):
    recipe = dataclasses.replace(RELEASED, blur_max_pix=3.0)

    draws = draw(*unknown, recipe, generator=generator())

    assert 0.9 * draws.blur_limit < float(draws.blur_sigma.max()) <= draws.blur_limit


def test_jitter_and_size_stay_within_the_recipe(generator, unknown):
    draws = draw(*unknown, AugmentRecipe(), generator=generator())

    scale = draws.affine.det().abs() ** -0.5
    assert scipy.stats.kstest(scale.numpy(), scipy.stats.uniform(0.9, 0.2).cdf).pvalue > 0.001
    shift = draws.shift.flatten().numpy()
    assert scipy.stats.kstest(shift, scipy.stats.uniform(-7, 14).cdf).pvalue > 0.001
    assert float((draws.affine.det() < 0).float().mean()) == pytest.approx(0.5, abs=0.02)


def test_orientations_are_even(generator, unknown):
    draws = draw(*unknown, AugmentRecipe(), generator=generator())

    angle = torch.atan2(draws.affine[:, 1, 0], draws.affine[:, 0, 0]).numpy()
    even = scipy.stats.uniform(-math.pi, 2 * math.pi)
    assert scipy.stats.kstest(angle, even.cdf).pvalue > 0.001


def test_released_jitter_is_every_whole_number_alike(generator, unknown):
    shift = draw(*unknown, RELEASED, generator=generator()).shift

    values, counts = np.unique(shift.numpy(), return_counts=True)
    np.testing.assert_array_equal(values, np.arange(-7, 8))
    assert scipy.stats.chisquare(counts).pvalue > 0.001


def test_released_size_changes_one_axis_of_the_rotated_image(generator, unknown):
    affine = draw(*unknown, RELEASED, generator=generator()).affine

    lengths = affine.norm(dim=1)  # of the steps along the view's x and y
    torch.testing.assert_close(lengths[:, 0], torch.ones(N))
    rows = 1.0 / lengths[:, 1].numpy()
    assert scipy.stats.kstest(rows, scipy.stats.uniform(0.9, 0.2).cdf).pvalue > 0.001


def test_aperture_is_drawn_evenly_in_the_logarithm(nothing, generator, unknown):
    recipe = dataclasses.replace(nothing, aperture_min_pix=10.0, aperture_max_pix=40.0)

    radius = draw(*unknown, recipe, generator=generator()).aperture

    np.testing.assert_allclose(np.quantile(radius, [0.0, 0.5, 1.0]), [10, 20, 40], rtol=0.02)


def test_gain_is_drawn_for_each_band_and_for_all_together(nothing, generator, unknown):
    recipe = dataclasses.replace(nothing, color=0.1, brightness=0.5)

    gain = torch.log(draw(*unknown, recipe, generator=generator()).gain)

    assert 0.59 < float(gain.abs().max()) <= 0.6
    assert float((gain - gain.mean(dim=1, keepdim=True)).abs().max()) <= 0.1334
    np.testing.assert_allclose(gain.mean(dim=0), 0.0, atol=0.01)


def test_gray_views_are_as_many_as_asked_for(nothing, generator, unknown):
    recipe = dataclasses.replace(nothing, color_drop=0.3)

    is_gray = draw(*unknown, recipe, generator=generator()).is_gray

    assert float(is_gray.mean()) == pytest.approx(0.3, abs=0.02)


def test_foreground_comes_in_one_view_of_a_galaxy_only(nothing, generator, unknown):
    recipe = dataclasses.replace(nothing, foreground=0.6)

    views = draw_views(*unknown, recipe, views=2, generator=generator())

    has_object = torch.stack([view.foreground.flux[:, 1] > 0 for view in views])  # (2, n)
    np.testing.assert_allclose(has_object.float().mean(dim=1), 0.3, atol=0.02)
    assert int(has_object.sum(dim=0).max()) == 1


def test_the_same_generator_draws_the_same(generator, unknown):
    recipe = dataclasses.replace(RECIPES["shape"].augment, foreground=0.5)

    one, other = (draw(*unknown, recipe, generator=generator(4)) for _ in range(2))

    assert torch.equal(one.affine, other.affine)
    assert torch.equal(one.foreground.flux, other.foreground.flux)
