"""Views as a whole: the order of the steps, what is missing, every kind and size."""

import dataclasses
import math

import numpy as np
import pytest
import scipy.ndimage
import skimage.transform
import torch

from skylike.embeddings.augmentation.draws import draw
from skylike.embeddings.augmentation.geometry import affine_matrix
from skylike.embeddings.augmentation.views import apply
from skylike.embeddings.preprocess import Preprocessing, preprocessing_of, to_canvas, to_colors
from skylike.embeddings.recipes import RECIPES


def test_nothing_asked_for_is_the_center_crop(real_images, draws_of, view_of):
    images, kind = real_images

    view = view_of(images, draws_of(len(images)), kind=kind)

    torch.testing.assert_close(view, images[:, :, 28:124, 28:124], atol=1e-5, rtol=1e-4)


def test_steps_one_after_the_other_give_the_same_view(real_flux, draws_of, view_of):
    """Size is left out: scikit-image would interpolate twice where we do once."""
    degrees, sigma, shift = 40.0, (1.1, 0.0, 2.0), (5.0, -4.0)
    draws = draws_of(
        3,
        reddening=torch.full((3,), 0.08),
        affine=affine_matrix(
            torch.full((3,), math.radians(degrees)),
            flips=torch.tensor([[-1.0, 1.0]] * 3),
            scale=torch.ones(3),
        ),
        blur_sigma=torch.tensor([sigma] * 3),
        shift=torch.tensor([shift] * 3),
    )

    view = view_of(real_flux, draws)

    image = real_flux[2].permute(1, 2, 0).double().numpy()
    image = image * 10 ** (-0.4 * 0.08 * np.array([3.214, 2.165, 1.211]))
    image = skimage.transform.rotate(np.flip(image, axis=1), -degrees, order=1, clip=False)
    for band, width in enumerate(sigma):
        if width:
            image[..., band] = scipy.ndimage.gaussian_filter(
                image[..., band], width, mode="reflect"
            )
    image = image[76 - 4 - 48 : 76 - 4 + 48, 76 + 5 - 48 : 76 + 5 + 48]
    np.testing.assert_allclose(view[2].permute(1, 2, 0), image, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("kind", ["flux", "rgb"])
def test_every_recipe_makes_views_of_both_kinds(name: str, kind: str, simulated, generator):
    recipe = RECIPES[name]
    preprocessing = dataclasses.replace(preprocessing_of(recipe), input="rgb")
    pixels = simulated if kind == "flux" else (simulated.clamp(0, 1) * 255).to(torch.uint8)
    canvas = to_canvas(pixels.repeat(5, 1, 1, 1), kind, preprocessing)
    unknown = torch.full((20, 3), math.nan)
    source = generator(2)

    draws = draw(unknown[:, 0], unknown, recipe.augment, generator=source)
    view = apply(canvas.half(), draws, preprocessing, kind=kind, generator=source)

    colors = to_colors(view, kind, preprocessing)
    size = recipe.crop_pix // recipe.bin_pix
    assert colors.shape == (20, 3, size, size)
    assert float(colors.min()) >= 0.0
    assert float(colors.max()) <= 1.0
    assert float(colors.std()) > 0.01


def test_a_view_does_not_depend_on_its_neighbors_in_the_batch(simulated, draws_of, view_of):
    n = 11
    canvas = simulated.repeat(3, 1, 1, 1)[:n]
    sigma = torch.linspace(0, 4, 3 * n).reshape(n, 3)
    draws = draws_of(n, blur_sigma=sigma, shift=torch.full((n, 2), 0.3))

    together = view_of(canvas, draws)

    for i in (0, 6, 10):
        alone = view_of(
            canvas[i : i + 1],
            draws_of(1, blur_sigma=sigma[i : i + 1], shift=torch.full((1, 2), 0.3)),
        )
        torch.testing.assert_close(together[i], alone[0], atol=1e-5, rtol=1e-5)


def test_pixels_that_were_not_observed_are_zero_and_get_no_noise(simulated, draws_of, view_of):
    canvas = simulated.clone()
    canvas[:, 1] = math.nan
    canvas[:, :, :, :50] = math.nan

    view = view_of(canvas, draws_of(4, noise_sigma=torch.full((4, 3), 0.1)))

    assert torch.isfinite(view).all()
    assert torch.all(view[:, 1] == 0)
    assert torch.all(view[:, 0, :, :21] == 0)
    assert torch.all(view[:, 0, :, 23:] != 0)


def test_the_same_generator_makes_the_same_view(simulated, generator):
    unknown = torch.full((4, 3), math.nan)
    views = []
    for _ in range(2):
        source = generator(9)
        draws = draw(unknown[:, 0], unknown, RECIPES["paper"].augment, generator=source)
        preprocessing = Preprocessing(input="flux")
        views.append(apply(simulated, draws, preprocessing, kind="flux", generator=source))

    assert torch.equal(views[0], views[1])


def test_an_empty_batch_makes_no_views(draws_of, view_of):
    assert view_of(torch.empty(0, 3, 152, 152), draws_of(0)).shape == (0, 3, 96, 96)


@pytest.mark.gpu
def test_a_gpu_makes_the_views_of_the_cpu(simulated, draws_of):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    draws = draws_of(4, blur_sigma=torch.rand(4, 3) * 3, shift=torch.full((4, 2), 1.4))
    moved = dataclasses.replace(
        draws,
        **{
            f.name: value.cuda()
            for f in dataclasses.fields(draws)
            if isinstance(value := getattr(draws, f.name), torch.Tensor)
        },
    )

    views = [
        apply(
            canvas,
            one,
            Preprocessing(input="flux"),
            kind="flux",
            generator=torch.Generator(canvas.device),
        )
        for canvas, one in ((simulated, draws), (simulated.cuda(), moved))
    ]

    torch.testing.assert_close(views[1].cpu(), views[0], atol=1e-5, rtol=1e-4)
