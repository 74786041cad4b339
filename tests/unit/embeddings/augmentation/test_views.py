"""The augmentations against scipy, the distributions against their constants, flux conserved."""

import dataclasses
import math

import numpy as np
import pytest
import scipy.ndimage
import scipy.stats
import torch

from cutout_factory import draw_cutouts
from skylike.embeddings.augmentation.views import (
    EBV,
    FWHM_PER_SIGMA,
    NOISE_SIGMA,
    PSF_SIGMA_PIX,
    Draws,
    LogNormal,
    affine_matrix,
    apply,
    blur,
    draw,
)
from skylike.embeddings.preprocess import Preprocessing
from skylike.embeddings.recipe import AugmentRecipe
from skylike.images.render import render_rgb

FLUX = Preprocessing(input="flux")
NOTHING = AugmentRecipe(
    extinction=False,
    rotation=False,
    scale_min=1.0,
    scale_max=1.0,
    psf_blur=False,
    jitter_pix=0.0,
    noise=False,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def unknown(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.full((n,), math.nan), torch.full((n, 3), math.nan)


def draws_of(n: int, **changes: torch.Tensor) -> Draws:
    return dataclasses.replace(draw(*unknown(n), NOTHING, generator=generator()), **changes)


def apply_to(
    canvas: torch.Tensor, draws: Draws, preprocessing: Preprocessing = FLUX, kind: str = "flux"
):
    return apply(canvas, draws, preprocessing, kind=kind, generator=generator())


@pytest.fixture(scope="module")
def cutouts() -> torch.Tensor:
    return torch.from_numpy(draw_cutouts(4, seed=5)[0])


def test_nothing_asked_for_is_the_center_crop(cutouts: torch.Tensor):
    view = apply_to(cutouts, draws_of(4))

    torch.testing.assert_close(view, cutouts[:, :, 28:124, 28:124], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("angle", "scale", "flip"), [(0.7, 1.0, (1, 1)), (4.0, 0.92, (-1, 1)), (2.2, 1.09, (1, -1))]
)
def test_geometry_equals_scipys_affine_transform(
    cutouts: torch.Tensor, angle: float, scale: float, flip: tuple[int, int]
):
    shift = (3.0, -5.5)
    matrix = affine_matrix(
        torch.full((4,), angle),
        flips=torch.tensor([flip] * 4, dtype=torch.float32),
        scale=torch.full((4,), scale),
    )
    draws = draws_of(4, affine=matrix, shift=torch.tensor([shift] * 4))

    view = apply_to(cutouts, draws)

    # scipy: input = matrix @ output + offset in (row, column); ours is in (x, y) about the centers.
    forward = matrix[0].double().numpy()[::-1, ::-1]
    offset = 75.5 + forward @ (np.array(shift[::-1]) - 47.5)
    for band in range(3):
        expected = scipy.ndimage.affine_transform(
            cutouts[0, band].double().numpy(),
            forward,
            offset,
            output_shape=(96, 96),
            order=1,
            mode="grid-constant",
        )
        np.testing.assert_allclose(view[0, band], expected, atol=2e-5)


def test_rotation_by_a_right_angle_turns_the_image(cutouts: torch.Tensor):
    matrix = affine_matrix(
        torch.full((4,), math.pi / 2), flips=torch.ones(4, 2), scale=torch.ones(4)
    )

    view = apply_to(cutouts, draws_of(4, affine=matrix))

    turned = torch.rot90(cutouts, -1, dims=(2, 3))[:, :, 28:124, 28:124]
    torch.testing.assert_close(view, turned, atol=1e-5, rtol=1e-3)


def test_size_above_one_makes_the_galaxy_larger():
    y, x = torch.meshgrid(torch.arange(152) - 75.5, torch.arange(152) - 75.5, indexing="ij")
    canvas = torch.exp(-0.5 * (x**2 + y**2) / 36).expand(1, 3, 152, 152)
    matrix = affine_matrix(torch.zeros(1), flips=torch.ones(1, 2), scale=torch.full((1,), 1.1))

    view = apply_to(canvas, draws_of(1, affine=matrix))

    # Surface brightness stays, so the flux grows with the area.
    assert float(view.sum() / canvas.sum()) == pytest.approx(1.21, rel=5e-3)


def test_blur_equals_scipys_gaussian_filter(cutouts: torch.Tensor):
    sigma = torch.tensor([[0.0, 0.8, 2.5]]).expand(4, 3)

    blurred = blur(cutouts, sigma)

    for band, width in enumerate((0.0, 0.8, 2.5)):
        expected = scipy.ndimage.gaussian_filter(
            cutouts[1, band].double().numpy(), width, mode="reflect", truncate=12
        )
        np.testing.assert_allclose(blurred[1, band], expected, atol=2e-6)


def test_blur_conserves_flux_even_at_the_border():
    image = torch.zeros(1, 1, 40, 40)
    image[0, 0, 1, 20] = 5.0

    blurred = blur(image, torch.full((1, 1), 4.0))

    assert float(blurred.sum()) == pytest.approx(5.0, rel=1e-5)


def test_blur_within_the_margin_equals_blurring_the_whole_image(cutouts: torch.Tensor):
    sigma = torch.full((4, 3), 1.5)

    view = apply_to(cutouts, draws_of(4, blur_sigma=sigma))

    whole = blur(cutouts, sigma)[:, :, 28:124, 28:124]
    torch.testing.assert_close(view, whole, atol=2e-5, rtol=1e-4)


def test_extinction_dims_each_band_by_its_coefficient(cutouts: torch.Tensor):
    view = apply_to(cutouts, draws_of(4, reddening=torch.full((4,), 0.1)))

    crop = cutouts[:, :, 28:124, 28:124]
    for band, coefficient in enumerate((3.214, 2.165, 1.211)):
        torch.testing.assert_close(
            view[:, band], crop[:, band] * 10 ** (-0.4 * 0.1 * coefficient), atol=1e-5, rtol=1e-4
        )


def test_known_extinction_is_removed_before_the_new_one():
    recipe = dataclasses.replace(NOTHING, extinction=True)
    ebv = torch.full((20_000,), 0.4)

    draws = draw(ebv, torch.full((20_000, 3), math.nan), recipe, generator=generator())

    new = draws.reddening + 0.4
    assert float(new.median()) == pytest.approx(EBV.loc + EBV.scale, rel=0.02)
    assert float(new.min()) >= 0.0


def test_unknown_extinction_leaves_no_trend():
    recipe = dataclasses.replace(NOTHING, extinction=True)

    draws = draw(*unknown(20_000), recipe, generator=generator())

    assert abs(float(draws.reddening.mean())) < 1e-3


@pytest.mark.parametrize(
    ("distribution", "median", "low", "high"),
    # Medians and 5-95 % ranges worked out from the published constants with scipy.
    [
        (EBV, 0.0345, 0.012, 0.102),
        (PSF_SIGMA_PIX[0], 2.396, 2.010, 2.942),
        (NOISE_SIGMA[2], 0.01174, 0.00660, 0.0181),
    ],
)
def test_draws_follow_the_published_log_normal(
    distribution: LogNormal, median: float, low: float, high: float
):
    sample = distribution.draw(200_000, generator()).numpy()
    exact = scipy.stats.lognorm(distribution.shape, distribution.loc, distribution.scale)

    quantiles = np.quantile(sample, [0.05, 0.5, 0.95])

    np.testing.assert_allclose(quantiles, exact.ppf([0.05, 0.5, 0.95]), rtol=0.02)
    np.testing.assert_allclose(quantiles, [low, median, high], rtol=0.03)
    assert sample.min() >= distribution.minimum
    assert sample.max() <= distribution.maximum


def test_blur_brings_the_known_psf_up_to_the_drawn_one_and_never_sharpens():
    recipe = dataclasses.replace(NOTHING, psf_blur=True)
    own_sigma = 2.2
    psf = torch.full((20_000, 3), own_sigma * 0.262 * FWHM_PER_SIGMA)

    sigma = draw(torch.full((20_000,), math.nan), psf, recipe, generator=generator()).blur_sigma

    exact = scipy.stats.lognorm(
        PSF_SIGMA_PIX[1].shape, PSF_SIGMA_PIX[1].loc, PSF_SIGMA_PIX[1].scale
    )
    assert float((sigma[:, 1] > 0).float().mean()) == pytest.approx(exact.sf(own_sigma), abs=0.01)
    total = torch.sqrt(sigma[:, 1] ** 2 + own_sigma**2)
    assert float(total.quantile(0.95)) == pytest.approx(exact.ppf(0.95), rel=0.01)


def test_jitter_and_size_stay_within_the_recipe():
    recipe = AugmentRecipe()

    draws = draw(*unknown(20_000), recipe, generator=generator())

    scale = draws.affine.det().abs() ** -0.5
    assert 0.9 <= float(scale.min()) < 0.901
    assert 1.099 < float(scale.max()) <= 1.1001
    assert float(draws.shift.abs().max()) <= 7.0
    assert float(draws.shift.mean(0).abs().max()) < 0.1
    assert float((draws.affine.det() < 0).float().mean()) == pytest.approx(0.5, abs=0.02)


def test_noise_has_the_drawn_level(cutouts: torch.Tensor):
    level = torch.tensor([[0.01, 0.02, 0.05]]).expand(4, 3)

    noise = apply_to(cutouts, draws_of(4, noise_sigma=level)) - apply_to(cutouts, draws_of(4))

    np.testing.assert_allclose(noise.std(dim=(0, 2, 3)), [0.01, 0.02, 0.05], rtol=0.02)


def test_averaged_pixels_get_the_noise_of_an_average(cutouts: torch.Tensor):
    halved = Preprocessing(input="flux", bin_pix=2)
    canvas = torch.nn.functional.avg_pool2d(cutouts, 2)
    level = torch.full((4, 3), 0.04)

    noise = apply_to(canvas, draws_of(4, noise_sigma=level), halved) - apply_to(
        canvas, draws_of(4), halved
    )

    assert noise.shape[-1] == 48
    assert float(noise.std()) == pytest.approx(0.02, rel=0.03)


def test_pixels_that_were_not_observed_are_zero_and_get_no_noise(cutouts: torch.Tensor):
    canvas = cutouts.clone()
    canvas[:, 1] = math.nan
    canvas[:, :, :, :50] = math.nan

    view = apply_to(canvas, draws_of(4, noise_sigma=torch.full((4, 3), 0.1)))

    assert torch.isfinite(view).all()
    assert torch.all(view[:, 1] == 0)
    assert torch.all(view[:, 0, :, :21] == 0)
    assert torch.all(view[:, 0, :, 23:] != 0)


def test_reddening_of_a_picture_keeps_its_brightness(cutouts: torch.Tensor):
    rgb = render_rgb(cutouts, xp=torch) * 0.4 + 0.2
    draws = draws_of(4, reddening=torch.full((4,), 0.15))

    view = apply_to(rgb, draws, Preprocessing(input="rgb"), "rgb")

    crop = rgb[:, :, 28:124, 28:124]
    ratio = view / crop
    assert torch.all(ratio[:, 0] > 1)
    assert torch.all(ratio[:, 2] < 1)
    torch.testing.assert_close(
        ratio.mean(dim=1), torch.ones_like(ratio[:, 0]), atol=1e-3, rtol=1e-3
    )


def test_noise_of_a_picture_is_near_that_of_rendered_noisy_flux():
    flux = torch.full((1, 3, 152, 152), 0.02)
    level = torch.tensor([[0.002, 0.003, 0.008]])
    noisy_flux = apply_to(flux, draws_of(1, noise_sigma=level))
    expected = render_rgb(noisy_flux, xp=torch).std(dim=(0, 2, 3))

    view = apply_to(
        render_rgb(flux, xp=torch),
        draws_of(1, noise_sigma=level),
        Preprocessing(input="rgb"),
        "rgb",
    )

    # The rendering mixes the noise of the bands through the brightness; the approximation does not.
    np.testing.assert_allclose(view.std(dim=(0, 2, 3)), expected, rtol=0.35)


def test_the_same_generator_draws_the_same_view(cutouts: torch.Tensor):
    views = []
    for _ in range(2):
        source = generator(9)
        draws = draw(*unknown(4), AugmentRecipe(), generator=source)
        views.append(apply(cutouts, draws, FLUX, kind="flux", generator=source))

    assert torch.equal(views[0], views[1])


@pytest.mark.parametrize("kind", ["flux", "rgb"])
def test_aperture_keeps_the_center_and_fades_the_surroundings(cutouts: torch.Tensor, kind: str):
    canvas = cutouts if kind == "flux" else render_rgb(cutouts, xp=torch)
    preprocessing = Preprocessing(input=kind)

    view = apply_to(canvas, draws_of(4, aperture=torch.full((4,), 20.0)), preprocessing, kind)

    crop = canvas[:, :, 28:124, 28:124]
    y, x = np.mgrid[:96, :96] - 47.5
    radius = torch.from_numpy(np.hypot(x, y))
    sky = crop.flatten(2).median(dim=2).values if kind == "rgb" else torch.zeros(4, 3)
    inside, outside = radius < 19.5, radius > 30.5
    torch.testing.assert_close(view[:, :, inside], crop[:, :, inside], atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(
        view[:, :, outside], sky[:, :, None].expand(-1, -1, int(outside.sum())), atol=1e-5, rtol=0
    )


def test_aperture_is_drawn_evenly_in_the_logarithm():
    recipe = dataclasses.replace(NOTHING, aperture_min_pix=10.0, aperture_max_pix=40.0)

    radius = draw(*unknown(20_000), recipe, generator=generator()).aperture

    np.testing.assert_allclose(np.quantile(radius, [0.0, 0.5, 1.0]), [10, 20, 40], rtol=0.02)


def test_gain_is_drawn_for_each_band_and_for_all_together():
    recipe = dataclasses.replace(NOTHING, color=0.1, brightness=0.5)

    gain = torch.log(draw(*unknown(20_000), recipe, generator=generator()).gain)

    assert 0.59 < float(gain.abs().max()) <= 0.6
    assert float((gain - gain.mean(dim=1, keepdim=True)).abs().max()) <= 0.1334
    np.testing.assert_allclose(gain.mean(dim=0), 0.0, atol=0.01)
