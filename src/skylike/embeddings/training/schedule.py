"""What follows from the number of a step: its learning rate and its random numbers."""

import math

import numpy as np
import torch

from skylike.embeddings.recipe import TrainRecipe


def learning_rate_at(
    step: int, total_steps: int, steps_per_epoch: int, recipe: TrainRecipe
) -> float:
    """Return the learning rate of a step (from 0): a linear rise, then half a cosine down to 0."""
    warmup = min(round(recipe.warmup_epochs * steps_per_epoch), total_steps - 1)
    if step < warmup:
        return recipe.learning_rate * (step + 1) / (warmup + 1)
    done = (step - warmup) / (total_steps - warmup)
    return recipe.learning_rate * 0.5 * (1.0 + math.cos(math.pi * done))


def step_generator(device: str, seed: int, step: int, *, process: int = 0) -> torch.Generator:
    """Return the generator of one step and process: neighbors must not have neighboring seeds."""
    words = (seed, step) if process == 0 else (seed, step, process)
    word = int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0])
    return torch.Generator(device).manual_seed(word >> 1)  # torch takes a signed 64-bit seed
