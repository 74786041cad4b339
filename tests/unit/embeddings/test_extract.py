"""An encoder in memory: layers, what it sees of a cutout, and precision."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from cutout_factory import draw_cutouts
from skylike.embeddings.encoder import TrainedEncoder
from skylike.embeddings.folding import fold_normalization
from skylike.embeddings.heads import build_network
from skylike.embeddings.preprocess import (
    Preprocessing,
    center_crop,
    crop_window,
    to_canvas,
    to_crops,
)
from skylike.embeddings.recipe import TrainRecipe
from skylike.embeddings.resnet import ResNet
from skylike.errors import SettingsError


@pytest.fixture
def encoder(tiny_recipe: TrainRecipe) -> TrainedEncoder:
    torch.manual_seed(1)
    preprocessing = Preprocessing(
        input="rgb", bin_pix=4, mean=(0.1, 0.1, 0.1), scale=(0.2, 0.2, 0.2)
    )
    network = build_network(tiny_recipe).eval()
    return TrainedEncoder(network, tiny_recipe, preprocessing, "cpu")


@pytest.mark.parametrize(("crop_pix", "bin_pix"), [(96, 1), (96, 2), (96, 4), (128, 2), (90, 3)])
def test_crops_of_the_window_are_the_middle_of_the_canvas(crop_pix: int, bin_pix: int):
    preprocessing = Preprocessing(input="rgb", crop_pix=crop_pix, bin_pix=bin_pix)
    pixels = torch.from_numpy(draw_cutouts(3)[0])
    pixels[1, 2, 70:80, 60:90] = torch.nan
    window = crop_window(preprocessing)

    found = to_crops(pixels[..., window, window], "flux", preprocessing)

    expected = center_crop(to_canvas(pixels, "flux", preprocessing), preprocessing)
    assert torch.equal(found.nan_to_num(-9), expected.nan_to_num(-9))


def test_projection_is_what_the_head_makes_of_the_features(encoder: TrainedEncoder):
    pixels, _ = draw_cutouts(5)
    features = encoder.embed(pixels, "flux")

    projection = encoder.embed(pixels, "flux", layer="projection")

    lengths = np.linalg.norm(projection, axis=1)
    assert projection.shape == (5, encoder.dimension_of("projection")) == (5, 8)
    np.testing.assert_allclose(lengths, 1, atol=1e-6)
    # Scaled features: the head has biases, so that the lengths count too.
    windows = torch.from_numpy(pixels[..., encoder.window, encoder.window].copy())
    both = encoder.embed_windows(windows, "flux", ["features", "projection"])
    np.testing.assert_allclose(both["features"].numpy(), features, atol=1e-6)
    np.testing.assert_allclose(both["projection"].numpy(), projection, atol=1e-6)


def test_pixels_that_the_network_does_not_see_change_nothing(encoder: TrainedEncoder):
    pixels, _ = draw_cutouts(2)
    pixels[1] = pixels[0]
    pixels[1, :, :20] = 1e6

    first, second = encoder.embed(pixels, "flux")

    assert np.array_equal(first, second)


def test_an_image_whose_middle_shows_nothing_gives_zeros(encoder: TrainedEncoder):
    pixels, _ = draw_cutouts(2)
    pixels[1, :, encoder.window, encoder.window] = np.nan

    rows = encoder.embed(pixels, "flux")

    assert rows[0].any()
    assert not rows[1].any()


def test_bf16_gives_nearly_the_same_rows(encoder: TrainedEncoder):
    pixels, _ = draw_cutouts(5)
    half = dataclasses.replace(encoder, precision="bf16")

    cosines = (half.embed(pixels, "flux") * encoder.embed(pixels, "flux")).sum(axis=1)

    assert cosines.min() > 0.999
    assert not np.array_equal(half.embed(pixels, "flux"), encoder.embed(pixels, "flux"))


def test_an_unknown_layer_is_refused(encoder: TrainedEncoder):
    with pytest.raises(SettingsError, match="layer 'fc' is unknown"):
        encoder.embed(draw_cutouts(1)[0], "flux", layer="fc")


def test_a_network_without_a_head_has_no_projection(encoder: TrainedEncoder):
    encoder.network.fc = nn.Identity()

    with pytest.raises(SettingsError, match="no projection"):
        encoder.embed(draw_cutouts(1)[0], "flux", layer="projection")


@pytest.mark.parametrize("shape", [(2, 4, 152, 152), (2, 1, 152, 152)])
def test_images_of_other_channels_are_refused(encoder: TrainedEncoder, shape: tuple[int, ...]):
    with pytest.raises(SettingsError, match="expected flux or rgb"):
        encoder.embed(np.zeros(shape, np.float32), "flux")


@pytest.mark.parametrize("architecture", ["resnet18", "resnet50"])
def test_a_folded_network_computes_the_same_without_normalization(architecture: str):
    torch.manual_seed(0)
    network = ResNet(architecture, width=0.125, stem="small").eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.weight.data, module.running_var):
                values.uniform_(0.5, 2)
            for values in (module.bias.data, module.running_mean):
                values.normal_()
    images = torch.rand(3, 3, 32, 32)

    folded = fold_normalization(network)

    with torch.inference_mode():
        expected, found = network.features(images), folded.features(images)
    assert not [m for m in folded.modules() if isinstance(m, nn.BatchNorm2d)]
    assert [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * float(expected.max()))
