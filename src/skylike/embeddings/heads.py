"""Projection heads, and the whole network of a recipe."""

from torch import nn

from skylike.embeddings.normalization import GroupedBatchNorm1d
from skylike.embeddings.polar import PolarResNet
from skylike.embeddings.recipe import TrainRecipe
from skylike.embeddings.resnet import ResNet


def build_network(recipe: TrainRecipe) -> ResNet:
    """Make the network of a recipe with its projection head in the place of the last layer.

    The weights are random, from torch's global generator.
    """
    network = (
        PolarResNet(
            recipe.architecture,
            size=recipe.crop_pix // recipe.bin_pix,
            readout=recipe.readout,
            width=recipe.width,
            stem=recipe.stem,
        )
        if recipe.readout
        else ResNet(recipe.architecture, width=recipe.width, stem=recipe.stem)
    )
    network.fc = build_head(network.pooled_dimension, recipe)
    return network


def build_head(inputs: int, recipe: TrainRecipe) -> nn.Sequential:
    """Make a projection head (n, inputs) -> (n, projection_dimension).

    With the defaults it is that of MoCo v2 (Chen et al. 2020, MoCo v2, section 3): linear, ReLU,
    linear. ``projection_normalized`` puts batch normalization after each hidden layer, as SimCLR's
    public code has it; then those layers have no bias, which it would remove.
    """
    layers: list[nn.Module] = []
    for _ in range(recipe.projection_layers - 1):
        layers.append(
            nn.Linear(inputs, recipe.projection_hidden, bias=not recipe.projection_normalized)
        )
        if recipe.projection_normalized:
            layers.append(GroupedBatchNorm1d(recipe.projection_hidden))
        layers.append(nn.ReLU())
        inputs = recipe.projection_hidden
    return nn.Sequential(*layers, nn.Linear(inputs, recipe.projection_dimension))
