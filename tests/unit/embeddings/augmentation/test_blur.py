"""The blur against scipy."""

import numpy as np
import pytest
import scipy.ndimage
import torch

from skylike.embeddings.augmentation.blur import (
    blur,
    blur_margin,
    blur_radius,
    gaussian_kernels,
)


@pytest.mark.parametrize("width", [0.0, 0.1, 0.4, 1.3, 2.5])
def test_kernel_is_scipys(width: float):
    impulse = np.zeros(41)
    impulse[20] = 1.0
    expected = scipy.ndimage.gaussian_filter(impulse, width) if width else impulse

    kernel = gaussian_kernels(torch.tensor([width]), 20)

    np.testing.assert_allclose(kernel[0], expected, atol=1e-7)


def test_blur_of_real_cutouts_equals_scipys_gaussian_filter(real_images, draws_of, view_of):
    images, kind = real_images
    widths = (0.0, 0.8, 2.5)
    sigma = torch.tensor([widths]).expand(len(images), 3)

    view = view_of(images, draws_of(len(images), blur_sigma=sigma), kind=kind)

    for plane, width in enumerate(widths if kind == "flux" else widths[::-1]):
        expected = scipy.ndimage.gaussian_filter(
            images[1, plane].double().numpy(), width, mode="reflect"
        )
        np.testing.assert_allclose(view[1, plane], expected[28:124, 28:124], atol=1e-5, rtol=1e-4)


def test_widest_blur_that_can_be_drawn_still_equals_scipys(simulated, draws_of, view_of):
    sigma = torch.full((4, 3), 4.8)  # 19 pixels, of the 28 around the crop

    view = view_of(simulated, draws_of(4, blur_sigma=sigma))

    expected = scipy.ndimage.gaussian_filter(
        simulated.double().numpy(), (0, 0, 4.8, 4.8), mode="reflect"
    )
    np.testing.assert_allclose(view, expected[:, :, 28:124, 28:124], atol=1e-5, rtol=1e-4)


def test_blur_conserves_the_flux_of_a_compact_source():
    planes = torch.zeros(2, 60, 60)
    planes[:, 30, 27] = 5.0
    kernels = gaussian_kernels(torch.tensor([2.0, 0.0]), 8)

    blurred = blur(planes, kernels)

    torch.testing.assert_close(blurred.sum(dim=(1, 2)), torch.tensor([5.0, 5.0]))
    assert float(blurred[1, 22, 19]) == 5.0


def test_a_wider_margin_changes_nothing(simulated):
    planes, sigma = simulated[0], torch.tensor([0.0, 0.7, 1.9])

    narrow = blur(planes[:, 20:132, 20:132], gaussian_kernels(sigma, 8))
    wide = blur(planes, gaussian_kernels(sigma, 28))

    torch.testing.assert_close(narrow, wide, atol=1e-5, rtol=1e-5)


def test_margin_is_read_from_the_widths_on_a_cpu():
    sigma = torch.tensor([[0.0, 1.1], [2.0, 0.3]])

    assert blur_margin(sigma, 5.0) == blur_radius(2.0) == 8
