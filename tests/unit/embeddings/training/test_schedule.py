"""What follows from the number of a step."""

import dataclasses

import pytest

from skylike.embeddings.recipe import TrainRecipe
from skylike.embeddings.training.schedule import learning_rate_at, step_generator


def test_learning_rate_rises_then_falls_by_half_a_cosine(tiny_recipe: TrainRecipe):
    recipe = dataclasses.replace(tiny_recipe, learning_rate=0.4, warmup_epochs=1.0)

    rates = [learning_rate_at(step, 30, 10, recipe) for step in range(30)]

    assert max(rates) == rates[10] == 0.4
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[20] == pytest.approx(0.2)


def test_each_step_and_process_has_random_numbers_of_its_own():
    seeds = {
        step_generator("cpu", seed, step, process=process).initial_seed()
        for seed in range(3)
        for step in range(3)
        for process in range(3)
    }

    assert len(seeds) == 27
