"""The optimizer of a recipe."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

from skylike.embeddings.recipe import TrainRecipe


def make_optimizer(
    parameters: Mapping[str, nn.Parameter], recipe: TrainRecipe
) -> torch.optim.Optimizer:
    """Make the optimizer of a recipe; the learning rate of each step is set by the loop.

    Parameters
    ----------
    parameters
        By name, such as :meth:`Objective.trained_parameters` gives them.
    """
    groups = _groups(parameters.values(), recipe)
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=recipe.learning_rate)
    return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=recipe.momentum)


def _groups(parameters: Iterable[nn.Parameter], recipe: TrainRecipe) -> list[dict[str, Any]]:
    everything = list(parameters)
    if not recipe.decay_only_weights:
        return [{"params": everything, "weight_decay": recipe.weight_decay}]
    # Biases and the two parameters of batch normalization are the ones with a single axis.
    return [
        {"params": [p for p in everything if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in everything if p.ndim == 1], "weight_decay": 0.0},
    ]
