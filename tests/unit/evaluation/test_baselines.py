import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter, rotate

from skylike.evaluation.baselines import baseline_extractors, pixel_components
from skylike.evaluation.descriptor import LogPolar, describe, sample_rings


def smooth_images(n: int, *, seed: int = 0) -> np.ndarray:
    """Blobs off the center, dark at the edge: (n, 3, 152, 152) from 0 to 1."""
    random = np.random.default_rng(seed)
    noise = gaussian_filter(random.normal(size=(n, 3, 152, 152)), (0, 0, 6, 6))
    y, x = np.mgrid[:152, :152] - 75.5
    image = np.clip(noise / noise.max(), 0, None) * np.exp(-(x**2 + y**2) / (2 * 25**2))
    return image / image.max()


def cosine(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (a * b).sum(1) / a.norm(dim=1) / b.norm(dim=1)


@pytest.mark.parametrize("angle", [90, 37.5])
def test_the_descriptor_does_not_see_a_rotation(angle: float):
    images = smooth_images(6)
    turned = rotate(images, angle, axes=(2, 3), reshape=False, order=1)

    first = describe(torch.from_numpy(images).float())
    second = describe(torch.from_numpy(turned).float())

    same = cosine(first, second)
    different = cosine(first, first.roll(1, dims=0))
    assert same.min() > 0.995
    assert same.min() > different.max()


def test_rings_are_sampled_where_they_should_be():
    y, x = np.mgrid[:152, :152] - 75.5
    radius = torch.from_numpy(np.hypot(x, y)[None, None]).float()
    layout = LogPolar(rings=3, inner_pix=4, outer_pix=64, angles=16)

    rings = sample_rings(radius, layout)

    np.testing.assert_allclose(
        rings[0, 0], np.repeat([[4.0], [16.0], [64.0]], 16, axis=1), atol=0.1
    )


def test_an_elongated_galaxy_has_its_power_in_order_two():
    y, x = np.mgrid[:152, :152] - 75.5
    disk = torch.from_numpy(np.exp(-np.hypot(x / 20, y / 6))[None, None]).float()
    layout = LogPolar(rings=1, inner_pix=10, outer_pix=10, orders=5)

    orders = describe(disk, layout)[0]

    assert orders[2] > 3 * max(orders[1], orders[3])


def test_pixel_components_are_those_of_the_singular_values():
    random = np.random.default_rng(0)
    crops = random.normal(size=(60, 200)) * np.geomspace(100, 0.1, 200)

    found = pixel_components(crops, components=5)

    centered = crops - crops.mean(axis=0)
    left, values, _ = np.linalg.svd(centered, full_matrices=False)
    wanted = left[:, :5] * values[:5]
    np.testing.assert_allclose(np.abs(found), np.abs(wanted), rtol=1e-2, atol=0.5)


def test_there_are_no_more_components_than_images():
    assert pixel_components(np.random.default_rng(0).normal(size=(7, 50))).shape == (7, 7)


def test_baselines_give_a_black_image_no_direction_and_others_one():
    images = (smooth_images(12) * 255).astype(np.uint8)
    images[3] = 0

    for extractor in baseline_extractors():
        (method,) = extractor.methods
        (extracted,) = extractor.extract(images, "rgb")
        stored = method.finish(extracted)
        lengths = np.linalg.norm(stored.astype(np.float64), axis=1)
        if method.name == "log-polar descriptor":
            assert lengths[3] == 0
        np.testing.assert_allclose(np.delete(lengths, 3), 1, atol=1e-2)


def test_baselines_take_flux():
    flux = (smooth_images(12) * 3).astype(np.float32)
    flux[:, :, :20] = np.nan

    for extractor in baseline_extractors():
        (extracted,) = extractor.extract(flux, "flux")
        assert np.isfinite(extractor.methods[0].finish(extracted)).all()
