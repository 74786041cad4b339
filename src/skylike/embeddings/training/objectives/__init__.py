"""Objectives: what a network is trained to do with the views of galaxies.

A new one is a subclass of :class:`Objective` in a file of its own, a line in :data:`OBJECTIVES`,
and its name in :data:`skylike.embeddings.recipe.ObjectiveName`.
"""

from collections.abc import Callable, Mapping
from typing import Final

import torch

from skylike.embeddings.recipe import TrainRecipe
from skylike.embeddings.training.objectives.dino import SelfDistillation
from skylike.embeddings.training.objectives.in_batch import InBatchContrast
from skylike.embeddings.training.objectives.moco import MomentumContrast
from skylike.embeddings.training.objectives.objective import Objective, Step

__all__ = ["OBJECTIVES", "Objective", "Step", "make_objective"]

OBJECTIVES: Final[Mapping[str, Callable[[TrainRecipe, torch.Generator], Objective]]] = {
    "moco": MomentumContrast,
    "in_batch": InBatchContrast,
    "dino": SelfDistillation,
}
"""By the value of :attr:`TrainRecipe.objective`."""


def make_objective(recipe: TrainRecipe, generator: torch.Generator) -> Objective:
    """Make the objective of a recipe, on the CPU.

    Parameters
    ----------
    generator
        On the CPU; draws what is random in an objective's state, such as the first keys of a queue.
        The weights come from torch's global generator.
    """
    return OBJECTIVES[recipe.objective](recipe, generator)
