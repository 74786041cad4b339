"""Foreground objects: where they lie, how bright they are, what they leave alone."""

import dataclasses

import numpy as np
import pytest
import torch

from skylike.embeddings.augmentation.foreground import Foreground, draw_foreground
from skylike.embeddings.preprocess import Preprocessing
from skylike.images.render import invert_rgb, render_rgb


def star(n: int, flux: float, place: tuple[float, float], half_light: float = 0.0) -> Foreground:
    return Foreground(
        flux=torch.full((n, 3), flux),
        place=torch.tensor([place] * n),
        psf_sigma=torch.full((n,), 2.0),
        half_light=torch.full((n,), half_light),
        axis_ratio=torch.full((n,), 0.5 if half_light else 1.0),
        angle=torch.full((n,), 0.4),
    )


def test_place_and_magnitude_are_drawn_within_the_recipe(nothing, generator):
    recipe = dataclasses.replace(nothing, foreground=1.0)

    objects = draw_foreground(recipe, torch.ones(20_000, dtype=torch.bool), generator=generator())

    radius = objects.place.norm(dim=1).numpy()
    inner, outer = recipe.foreground_min_pix, recipe.foreground_max_pix
    area = (radius**2 - inner**2) / (outer**2 - inner**2)
    magnitude = 22.5 - 2.5 * np.log10(objects.flux[:, 1].numpy())
    evenly = [0.1, 0.5, 0.9]
    np.testing.assert_allclose(np.quantile(area, evenly), evenly, atol=0.02)
    np.testing.assert_allclose(np.quantile(magnitude, evenly), [15.45, 17.25, 19.05], atol=0.1)
    assert float((objects.half_light == 0).float().mean()) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(("half_light", "share"), [(0.0, 0.98), (3.0, 0.99)])
@pytest.mark.parametrize("bin_pix", [1, 2])
def test_object_has_its_flux(half_light: float, share: float, bin_pix: int, draws_of, view_of):
    canvas = torch.zeros(1, 3, 152 // bin_pix, 152 // bin_pix)
    draws = draws_of(1, foreground=star(1, 50.0, (4.0, -3.0), half_light))

    view = view_of(canvas, draws, Preprocessing(input="flux", bin_pix=bin_pix))

    total = view.sum(dim=(2, 3)) * bin_pix**2
    assert share * 50 < float(total.min()) <= float(total.max()) < 50.5


def test_star_is_round_and_as_wide_as_its_psf(draws_of, view_of):
    view = view_of(torch.zeros(1, 3, 152, 152), draws_of(1, foreground=star(1, 50.0, (0.5, 0.5))))

    profile = view[0, 1, 48, 48:]  # the star is on pixel (48, 48)
    half = np.interp(-0.5, -(profile / profile[0]).numpy(), np.arange(48))
    assert 2 * half == pytest.approx(2.0 * 2.3548, rel=0.03)
    torch.testing.assert_close(view[0, 1, 48, 48:], view[0, 1, 48:, 48])


def test_object_lies_where_it_was_put(draws_of, view_of):
    objects = star(1, 50.0, (20.5, -9.5))

    view = view_of(torch.zeros(1, 3, 152, 152), draws_of(1, foreground=objects))

    assert divmod(int(view[0, 0].argmax()), 96) == (38, 68)


def test_galaxies_without_an_object_stay_as_they_are(real_images, draws_of, view_of):
    images, kind = real_images
    n = len(images)
    objects = star(n, 500.0, (20.0, 10.0))
    objects.flux[1:] = 0.0

    view = view_of(images, draws_of(n, foreground=objects), kind=kind)

    crop = images[:, :, 28:124, 28:124]
    torch.testing.assert_close(view[1:], crop[1:], atol=2e-5, rtol=1e-4)
    assert float((view[0] - crop[0]).amax()) > 0.2


def test_object_in_a_picture_is_what_it_would_be_in_the_flux_behind_it(
    real_pictures, draws_of, view_of
):
    objects = star(4, 100.0, (20.0, 10.0))

    view = view_of(real_pictures, draws_of(4, foreground=objects), kind="rgb")

    crop = real_pictures[:, :, 28:124, 28:124]
    flux = view_of(torch.zeros(4, 3, 152, 152), draws_of(4, foreground=objects))
    expected = render_rgb(invert_rgb(crop, torch) + flux, torch)
    torch.testing.assert_close(view, expected, atol=1e-4, rtol=1e-3)
