"""Extinction, gains, gray, aperture and noise, on real and simulated cutouts."""

import numpy as np
import pytest
import torch

from skylike.embeddings.preprocess import Preprocessing
from skylike.images.render import render_rgb


def test_extinction_dims_each_band_by_its_coefficient(real_flux, draws_of, view_of):
    view = view_of(real_flux, draws_of(3, reddening=torch.full((3,), 0.1)))

    crop = real_flux[:, :, 28:124, 28:124]
    for band, coefficient in enumerate((3.214, 2.165, 1.211)):
        torch.testing.assert_close(
            view[:, band], crop[:, band] * 10 ** (-0.4 * 0.1 * coefficient), atol=1e-5, rtol=1e-4
        )


def test_reddening_of_a_picture_keeps_its_brightness(real_pictures, draws_of, view_of):
    rgb = real_pictures * 0.4 + 0.2

    view = view_of(rgb, draws_of(4, reddening=torch.full((4,), 0.15)), kind="rgb")

    ratio = view / rgb[:, :, 28:124, 28:124]
    assert torch.all(ratio[:, 0] > 1)
    assert torch.all(ratio[:, 2] < 1)
    torch.testing.assert_close(
        ratio.mean(dim=1), torch.ones_like(ratio[:, 0]), atol=1e-3, rtol=1e-3
    )


def test_gray_views_have_the_mean_of_their_bands(real_flux, draws_of, view_of):
    view = view_of(real_flux, draws_of(3, is_gray=torch.tensor([1.0, 0.0, 1.0])))

    crop = real_flux[:, :, 28:124, 28:124]
    for band in range(3):
        torch.testing.assert_close(view[0, band], crop[0].mean(dim=0), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(view[1], crop[1], atol=1e-5, rtol=1e-4)


def test_gray_is_the_mean_of_what_was_observed(real_flux, draws_of, view_of):
    canvas = real_flux.clone()
    canvas[:, 0] = torch.nan

    view = view_of(canvas, draws_of(3, is_gray=torch.ones(3)))

    expected = real_flux[:, 1:, 28:124, 28:124].mean(dim=1)
    torch.testing.assert_close(view[:, 2], expected, atol=1e-5, rtol=1e-4)
    assert torch.all(view[:, 0] == 0)


def test_noise_has_the_drawn_level_and_shape_in_each_band(real_flux, draws_of, view_of):
    level = torch.tensor([[0.01, 0.0, 0.05]]).expand(3, 3)

    noise = view_of(real_flux, draws_of(3, noise_sigma=level)) - view_of(real_flux, draws_of(3))

    np.testing.assert_allclose(noise.std(dim=(0, 2, 3)), [0.01, 0.0, 0.05], rtol=0.02)
    np.testing.assert_allclose(noise.mean(dim=(0, 2, 3)), 0.0, atol=0.001)
    fourth = ((noise[:, 2] / 0.05) ** 4).mean()
    assert float(fourth) == pytest.approx(3.0, abs=0.15)
    neighbors = (noise[:, 2, 1:] * noise[:, 2, :-1]).mean() / 0.05**2
    assert abs(float(neighbors)) < 0.02


def test_averaged_pixels_get_the_noise_of_an_average(simulated, draws_of, view_of):
    halved = Preprocessing(input="flux", bin_pix=2)
    canvas = torch.nn.functional.avg_pool2d(simulated, 2)
    level = torch.full((4, 3), 0.04)

    noise = view_of(canvas, draws_of(4, noise_sigma=level), halved) - view_of(
        canvas, draws_of(4), halved
    )

    assert noise.shape[-1] == 48
    assert float(noise.std()) == pytest.approx(0.02, rel=0.03)


def test_noise_of_a_picture_is_near_that_of_rendered_noisy_flux(draws_of, view_of):
    flux = torch.full((1, 3, 152, 152), 0.02)
    level = torch.tensor([[0.002, 0.003, 0.008]])
    noisy_flux = view_of(flux, draws_of(1, noise_sigma=level))
    expected = render_rgb(noisy_flux, xp=torch).std(dim=(0, 2, 3))

    rgb = render_rgb(flux, xp=torch)
    view = view_of(rgb, draws_of(1, noise_sigma=level), kind="rgb")

    # The rendering mixes the noise of the bands through the brightness; the approximation does not.
    np.testing.assert_allclose(view.std(dim=(0, 2, 3)), expected, rtol=0.35)


def test_aperture_keeps_the_center_and_fades_the_surroundings(real_images, draws_of, view_of):
    images, kind = real_images
    n = len(images)

    view = view_of(images, draws_of(n, aperture=torch.full((n,), 20.0)), kind=kind)

    crop = images[:, :, 28:124, 28:124]
    y, x = np.mgrid[:96, :96] - 47.5
    radius = torch.from_numpy(np.hypot(x, y))
    sky = crop.flatten(2).median(dim=2).values if kind == "rgb" else torch.zeros(n, 3)
    inside, outside = radius < 19.5, radius > 30.5
    torch.testing.assert_close(view[:, :, inside], crop[:, :, inside], atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(
        view[:, :, outside], sky[:, :, None].expand(-1, -1, int(outside.sum())), atol=1e-5, rtol=0
    )
