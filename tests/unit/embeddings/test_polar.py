"""The polar branch: what it does not see, what it tells apart, how it is part of a network."""

import numpy as np
import pytest
import torch

from skylike.embeddings.heads import build_network
from skylike.embeddings.polar import (
    FARTHEST_CENTER,
    PolarSpectrum,
    Readout,
    center_of_light,
)
from skylike.embeddings.recipes import load_recipe

SIZE = 64


def _galaxy(axis_ratio: float = 1.0, *, turn: float = 0.0, companion: bool = False):
    axis = torch.arange(SIZE, dtype=torch.float32) - (SIZE - 1) / 2
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    cos, sin = np.cos(turn), np.sin(turn)
    along, across = cos * x + sin * y, -sin * x + cos * y
    light = torch.exp(-torch.hypot(along, across / axis_ratio) / 6)
    if companion:
        light = light + torch.exp(-torch.hypot(along - 12, across) / 3)
    return torch.stack([0.6 * light, 0.8 * light, light])[None]  # (1, 3, h, h)


def _cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(a, b))


@pytest.fixture
def spectrum():
    return PolarSpectrum(SIZE).eval()


@pytest.mark.parametrize("turn", [0.3, 1.2, np.pi / 2])
def test_a_turned_galaxy_has_the_same_spectrum(spectrum, turn):
    straight = spectrum(_galaxy(0.4, companion=True))
    turned = spectrum(_galaxy(0.4, turn=turn, companion=True))
    other = spectrum(_galaxy(0.9))

    assert torch.dist(straight, turned) < 0.15 * torch.dist(straight, other)


def test_a_mirrored_galaxy_has_the_same_spectrum(spectrum):
    galaxy = _galaxy(0.5, turn=0.4, companion=True)

    mirrored = spectrum(galaxy.flip(3))

    np.testing.assert_allclose(mirrored.numpy(), spectrum(galaxy).numpy(), atol=2e-3)


@pytest.mark.parametrize("shift", [(2, 0), (-7, 7), (5, -3)])
def test_a_galaxy_off_the_middle_has_the_same_spectrum(spectrum, shift):
    galaxy = _galaxy(0.4, turn=0.5)
    moved = galaxy.roll(shift, dims=(3, 2))

    # Circles that reach beyond the shifted image see less; the others see the same.
    assert _cosine(spectrum(moved), spectrum(galaxy)) > 0.99
    assert torch.dist(spectrum(moved), spectrum(galaxy)) < 0.3 * torch.dist(
        spectrum(_galaxy(0.9)), spectrum(galaxy)
    )


@pytest.mark.parametrize("shift", [(0.0, 0.0), (3.25, -1.5), (-7.0, 7.0)])
def test_center_of_light_is_where_the_galaxy_is(shift):
    axis = torch.arange(SIZE, dtype=torch.float32) - (SIZE - 1) / 2
    squared = (axis[None, :] - shift[0]) ** 2 + (axis[:, None] - shift[1]) ** 2
    light = torch.exp(-squared / (2 * 4.0**2))[None]  # (1, h, h)

    np.testing.assert_allclose(center_of_light(light).numpy(), [shift], atol=0.05)


def test_center_of_light_when_there_is_none_is_the_middle():
    assert not center_of_light(-torch.ones(2, SIZE, SIZE)).any()


def test_center_of_light_when_all_lies_in_a_corner_stays_near_the_middle():
    light = torch.zeros(1, SIZE, SIZE)
    light[:, -5:, -5:] = 1.0

    assert center_of_light(light).abs().max() <= FARTHEST_CENTER


def test_brightness_and_sky_do_not_count(spectrum):
    galaxy = _galaxy(0.5)

    brighter = spectrum(3.0 * galaxy + 0.2)

    assert _cosine(brighter, spectrum(galaxy)) > 0.999


def test_a_companion_shows_in_odd_harmonics(spectrum):
    alone, pair = spectrum(_galaxy(0.9)), spectrum(_galaxy(0.9, companion=True))
    first_harmonic = slice(1, 20 * 9, 9)

    assert pair[0, first_harmonic].max() > 3 * alone[0, first_harmonic].max()


def test_an_empty_image_gives_finite_values(spectrum):
    assert torch.isfinite(spectrum(torch.zeros(2, 3, SIZE, SIZE))).all()


def test_scale_of_the_channels_is_undone(spectrum):
    galaxy, scale = _galaxy(0.5), torch.tensor([0.1, 0.2, 0.4])
    plain = spectrum(galaxy)

    spectrum.channel_scale.copy_(scale)

    again = spectrum(galaxy / scale[:, None, None])
    np.testing.assert_allclose(again.numpy(), plain.numpy(), atol=1e-4)


def test_readout_is_linear_about_its_center():
    readout = Readout(4, 2)
    readout.center.copy_(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    readout.matrix.copy_(torch.arange(8.0).reshape(4, 2))

    out = readout(torch.tensor([[2.0, 2.0, 3.0, 5.0]]))

    assert out.tolist() == [[6.0, 8.0]]


def test_network_of_the_recipe_has_features_of_the_readout_and_a_projection_of_the_pooled_values():
    recipe = load_recipe("default")
    torch.manual_seed(0)
    network = build_network(recipe).eval()
    images = torch.rand(2, 3, SIZE, SIZE)

    pooled = network.pooled(images)

    assert pooled.shape == (2, 256)
    assert network.features(images).shape == (2, recipe.readout)
    assert torch.equal(network(images), network.fc(pooled))
