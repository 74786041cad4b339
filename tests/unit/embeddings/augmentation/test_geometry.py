"""Flips, rotation, size and shift against scikit-image and scipy, on real cutouts."""

import math

import numpy as np
import pytest
import scipy.ndimage
import skimage.transform
import torch

from skylike.embeddings.augmentation.geometry import affine_matrix


def matrix(n: int, angle: float = 0.0, flips=(1.0, 1.0), scale=(1.0, 1.0)) -> torch.Tensor:
    return affine_matrix(
        torch.full((n,), angle), flips=torch.tensor([flips] * n), scale=torch.tensor([scale] * n)
    )


def middle(image: np.ndarray, size: int = 96) -> np.ndarray:
    """Cut the middle of (..., h, w); the center may fall on or between pixels."""
    y, x = (image.shape[-2] - size) // 2, (image.shape[-1] - size) // 2
    return image[..., y : y + size, x : x + size]


@pytest.mark.parametrize("degrees", [0.0, 17.0, 90.0, 133.3, 301.0])
def test_rotation_equals_scikit_image(real_images, degrees: float, draws_of, view_of):
    images, kind = real_images
    affine = matrix(len(images), math.radians(degrees))

    view = view_of(images, draws_of(len(images), affine=affine), kind=kind)

    turned = skimage.transform.rotate(
        images[0].permute(1, 2, 0).double().numpy(), -degrees, order=1, clip=False
    )
    np.testing.assert_allclose(view[0], middle(turned.transpose(2, 0, 1)), atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("flips", [(-1.0, 1.0), (1.0, -1.0), (-1.0, -1.0)])
def test_flips_mirror_the_pixels(real_images, flips, draws_of, view_of):
    images, kind = real_images

    view = view_of(images, draws_of(len(images), affine=matrix(len(images), 0, flips)), kind=kind)

    axes = [axis for axis, flip in ((3, flips[0]), (2, flips[1])) if flip < 0]
    expected = middle(np.flip(images.numpy(), axes))
    np.testing.assert_allclose(view, expected, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("size", [138, 146, 166])
def test_size_equals_scikit_image_without_anti_aliasing(real_images, size: int, draws_of, view_of):
    images, kind = real_images
    factor = size / 152  # scikit-image makes whole pixels of the new size

    view = view_of(
        images, draws_of(len(images), affine=matrix(len(images), scale=(factor, factor))), kind=kind
    )

    expected = skimage.transform.rescale(
        images[0].permute(1, 2, 0).double().numpy(),
        factor,
        order=1,
        anti_aliasing=False,
        channel_axis=2,
    )
    assert expected.shape[:2] == (size, size)
    np.testing.assert_allclose(view[0], middle(expected.transpose(2, 0, 1)), atol=2e-5, rtol=1e-4)


def test_released_size_equals_scikit_image_told_the_wrong_channel_axis(
    real_images, draws_of, view_of
):
    images, kind = real_images
    factor = 138 / 152

    view = view_of(
        images, draws_of(len(images), affine=matrix(len(images), scale=(1.0, factor))), kind=kind
    )

    expected = skimage.transform.rescale(
        images[0].permute(1, 2, 0).double().numpy(), factor, anti_aliasing=False, channel_axis=1
    )
    assert expected.shape == (138, 152, 3)
    np.testing.assert_allclose(view[0], middle(expected.transpose(2, 0, 1)), atol=2e-5, rtol=1e-4)


def test_a_shift_by_whole_pixels_is_another_crop(real_images, draws_of, view_of):
    images, kind = real_images
    shift = torch.tensor([[7.0, -3.0]] * len(images))

    view = view_of(images, draws_of(len(images), shift=shift), kind=kind)

    np.testing.assert_allclose(view, images[:, :, 25:121, 35:131], atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("angle", "factor", "flips"),
    [(0.7, 1.0, (1.0, 1.0)), (4.0, 0.92, (-1.0, 1.0)), (2.2, 1.09, (1.0, -1.0))],
)
def test_all_at_once_equals_scipys_affine_transform(
    simulated, angle: float, factor: float, flips, draws_of, view_of
):
    shift = (3.0, -5.5)
    affine = matrix(4, angle, flips, (factor, factor))

    view = view_of(simulated, draws_of(4, affine=affine, shift=torch.tensor([shift] * 4)))

    # scipy: input = matrix @ output + offset in (row, column); ours is in (x, y) about the centers.
    forward = affine[0].double().numpy()[::-1, ::-1]
    offset = 75.5 + forward @ (np.array(shift[::-1]) - 47.5)
    for band in range(3):
        expected = scipy.ndimage.affine_transform(
            simulated[0, band].double().numpy(),
            forward,
            offset,
            output_shape=(96, 96),
            order=1,
            mode="grid-constant",
        )
        np.testing.assert_allclose(view[0, band], expected, atol=2e-5)


@pytest.mark.parametrize(
    ("changes", "factor"),
    [
        ({"angle": 0.6}, 1.0),
        ({"flips": (-1.0, 1.0)}, 1.0),
        ({"scale": (1.1, 1.1)}, 1.21),
        ({"scale": (1.0, 0.9)}, 0.9),
    ],
)
def test_flux_of_a_compact_source_changes_with_its_area_only(changes, factor, draws_of, view_of):
    y, x = torch.meshgrid(torch.arange(152) - 75.5, torch.arange(152) - 75.5, indexing="ij")
    canvas = torch.exp(-0.5 * (x**2 + y**2) / 36).expand(1, 3, 152, 152)
    draws = draws_of(1, affine=matrix(1, **changes), shift=torch.tensor([[4.3, -2.6]]))

    view = view_of(canvas, draws)

    # Surface brightness stays, as in scikit-image.
    assert float(view.sum() / canvas.sum()) == pytest.approx(factor, rel=1e-3)
