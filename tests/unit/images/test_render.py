import numpy as np
import pytest
import torch

from skylike.images.render import LEGACY_ASINH, Rendering, invert_rgb, render_rgb, to_uint8


def galaxy_flux(peak: float, *, noise: bool = True) -> np.ndarray:
    """A red exponential disk in g r z with survey noise: (3, 152, 152) nanomaggies."""
    y, x = np.indices((152, 152)) - 75.5
    disk = np.exp(-np.hypot(x, y * 1.5) / 10)
    flux = np.stack([0.4 * peak * disk, peak * disk, 1.6 * peak * disk])
    if noise:
        sigma = np.array([0.0031, 0.0044, 0.0117])[:, None, None]
        flux = flux + sigma * np.random.default_rng(1).standard_normal(flux.shape)
    return flux.astype(np.float32)


def test_render_rgb_when_one_pixel_is_worked_out_by_hand_then_it_is_the_viewers_value():
    flux = np.array([0.1, 0.2, 0.3], dtype=np.float64).reshape(3, 1, 1)

    rgb = render_rgb(flux).ravel()

    lifted = np.array([0.3 * 2.2, 0.2 * 3.4, 0.1 * 6.0]) + 0.03
    intensity = lifted.mean()
    expected = lifted * np.arcsinh(20 * intensity) / (np.sqrt(20) * intensity)
    np.testing.assert_allclose(rgb, expected, rtol=1e-12)


def test_render_rgb_when_given_tensors_then_they_agree_with_arrays():
    flux = np.stack([galaxy_flux(0.05), galaxy_flux(1.0)])
    flux[0, 1, :20] = np.nan

    tensors = render_rgb(torch.from_numpy(flux), torch)

    assert isinstance(tensors, torch.Tensor)
    np.testing.assert_allclose(tensors.numpy(), render_rgb(flux), atol=1e-6)


def test_render_rgb_when_a_pixel_is_not_observed_then_it_is_as_dark_as_empty_sky():
    rgb = render_rgb(np.full((3, 2, 2), np.nan, dtype=np.float32))

    np.testing.assert_allclose(rgb, render_rgb(np.zeros((3, 2, 2), dtype=np.float32)))
    assert np.isfinite(rgb).all()


def test_render_rgb_when_flux_is_extreme_then_colors_stay_between_0_and_1():
    flux = np.array([-1e6, -0.005, 1e-30, 1e6], dtype=np.float32).repeat(3).reshape(4, 3, 1, 1)

    rgb = render_rgb(flux)

    assert np.isfinite(rgb).all()
    assert rgb.min() >= 0
    assert rgb.max() <= 1


@pytest.mark.parametrize("peak", [0.02, 0.1, 0.3])
def test_invert_rgb_when_nothing_is_saturated_then_the_flux_comes_back_within_5_percent(
    peak: float,
):
    flux = galaxy_flux(peak)
    y, x = np.indices((152, 152)) - 75.5
    aperture = np.hypot(x, y) < 20

    back = invert_rgb(to_uint8(render_rgb(flux)))

    ratio = back[:, aperture].sum(axis=1) / flux[:, aperture].sum(axis=1)
    np.testing.assert_allclose(ratio, 1, atol=0.05)


def test_invert_rgb_when_colors_are_not_rounded_then_unclipped_pixels_come_back_exactly():
    flux = galaxy_flux(0.1, noise=False)

    np.testing.assert_allclose(invert_rgb(render_rgb(flux)), flux, atol=1e-5)


def test_invert_rgb_when_a_core_is_saturated_then_its_flux_is_underestimated():
    flux = galaxy_flux(20.0)

    assert invert_rgb(to_uint8(render_rgb(flux)))[1, 75, 75] < 0.5 * flux[1, 75, 75]


def test_rendering_when_stored_as_parameters_then_it_is_made_again_from_them():
    assert Rendering(**LEGACY_ASINH.parameters()) == LEGACY_ASINH
