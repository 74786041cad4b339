"""What every objective promises to the training loop, and the optimizer."""

import copy
from typing import get_args

import pytest
import torch

from objective_steps import TINY, images
from skylike.embeddings.heads import build_head, build_network
from skylike.embeddings.recipe import ObjectiveName, TrainRecipe, replace_fields
from skylike.embeddings.resnet import ResNet
from skylike.embeddings.training.objectives import OBJECTIVES, Objective, make_objective
from skylike.embeddings.training.optimizer import make_optimizer
from skylike.errors import SettingsError


def recipe_of(name: str, **changes: object) -> TrainRecipe:
    return replace_fields(TINY, {"objective": name, "normalization_groups": 1, **changes})


def make(name: str, seed: int = 0, **changes: object) -> Objective:
    torch.manual_seed(seed)
    return make_objective(recipe_of(name, **changes), torch.Generator().manual_seed(seed))


def train(objective: Objective, steps: range, optimizer: torch.optim.Optimizer) -> list[float]:
    losses = []
    for number in steps:
        generator = torch.Generator().manual_seed(number)
        objective.before_step(number / 10)
        step = objective([v.float() for v in images(number)], generator)
        optimizer.zero_grad()
        step.loss.backward()
        optimizer.step()
        objective.after_step(step)
        losses.append(float(step.loss.detach()))
    return losses


def test_the_names_of_a_recipe_are_those_of_the_table():
    assert set(OBJECTIVES) == set(get_args(ObjectiveName))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_step_has_a_scalar_loss_and_the_figures_it_names(name: str):
    objective = make(name)

    step = objective([v.float() for v in images(1, objective.views)], torch.Generator())

    assert step.loss.shape == ()
    assert step.loss.requires_grad
    assert {"top1", "spread"} <= set(step.figures)
    assert tuple(step.figures) == objective.figures
    assert all(f.shape == () and not f.requires_grad for f in step.figures.values())
    assert isinstance(objective.query_encoder, ResNet)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_run_goes_on_from_its_state_with_the_same_losses(name: str):
    unbroken = make(name)
    optimizer = make_optimizer(unbroken.trained_parameters(), recipe_of(name))
    train(unbroken, range(2), optimizer)
    state = {k: v.clone() for k, v in unbroken.state_dict().items()}
    moments = copy.deepcopy(optimizer.state_dict())

    resumed = make(name, seed=5)
    resumed.load_state_dict(state)
    again = make_optimizer(resumed.trained_parameters(), recipe_of(name))
    again.load_state_dict(moments)

    assert train(resumed, range(2, 4), again) == train(unbroken, range(2, 4), optimizer)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_training_on_one_batch_lowers_the_loss(name: str):
    objective = make(name, learning_rate=0.01, queue=16)
    optimizer = make_optimizer(objective.trained_parameters(), objective.recipe)

    losses = [train(objective, range(1), optimizer)[0] for _ in range(12)]

    assert min(losses[-3:]) < losses[1]


def test_an_unknown_objective_is_refused():
    with pytest.raises(SettingsError, match="objective 'byol' is not one of moco, in_batch, dino"):
        recipe_of("byol")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder_momentum_final": 0.5}, "encoder_momentum_final must be 0, or in"),
        ({"teacher_temperature": 0.0}, "teacher_temperature must be above 0"),
        ({"center_momentum": 1.0}, "center_momentum must be in"),
        ({"prototypes": 1}, "prototypes must be at least 2"),
        ({"projection_layers": 0}, "projection_layers must be in 1..8"),
        ({"precision": "float16"}, "precision 'float16' is not one of float32, bf16"),
    ],
)
def test_a_value_out_of_range_is_refused_with_its_name(changes: dict, message: str):
    with pytest.raises(SettingsError, match=message):
        recipe_of("dino", **changes)


def test_a_queue_that_no_objective_uses_need_not_fit_the_batch():
    assert recipe_of("in_batch", queue=17).queue == 17
    with pytest.raises(SettingsError, match="queue must be a positive multiple"):
        recipe_of("moco", queue=17)


def test_the_papers_head_is_that_of_moco_v2():
    head = build_head(2048, TrainRecipe())

    assert [type(layer).__name__ for layer in head] == ["Linear", "ReLU", "Linear"]
    assert [(h.in_features, h.out_features) for h in head[::2]] == [(2048, 2048), (2048, 128)]


def test_a_normalized_head_keeps_its_groups_and_needs_no_bias():
    network = make("in_batch", normalization_groups=4, projection_normalized=True).query_encoder
    head = network.fc

    assert [type(layer).__name__ for layer in head] == [
        *("Linear", "GroupedBatchNorm1d", "ReLU", "Linear")
    ]
    assert (head[0].bias, head[1].groups) == (None, 4)


def test_weights_depend_on_the_seed_alone():
    torch.manual_seed(1)
    expected = build_network(TINY).state_dict()

    for name in OBJECTIVES:
        found = make(name, seed=1, normalization_groups=4).query_encoder.state_dict()
        assert all(torch.equal(found[key], expected[key]) for key in expected)


def test_decay_spares_biases_and_normalization_where_asked():
    objective = make("moco", decay_only_weights=True, weight_decay=0.5)
    parameters = objective.trained_parameters()

    groups = make_optimizer(parameters, objective.recipe).param_groups

    assert [group["weight_decay"] for group in groups] == [0.5, 0.0]
    assert all(p.ndim > 1 for p in groups[0]["params"])
    assert sum(len(group["params"]) for group in groups) == len(parameters)
    plain = make_optimizer(parameters, recipe_of("moco", weight_decay=0.5)).param_groups
    assert [group["weight_decay"] for group in plain] == [0.5]
