"""Momentum contrast: loss, queue, moving average, and the shortcut through batch statistics."""

import numpy as np
import pytest
import torch
from torch import nn

from objective_steps import TINY, images
from skylike.embeddings.normalization import GroupedBatchNorm2d, set_normalization_groups
from skylike.embeddings.recipe import TrainRecipe, replace_fields
from skylike.embeddings.training.distributed import split_normalization
from skylike.embeddings.training.objectives.moco import MomentumContrast
from skylike.embeddings.training.objectives.objective import moving_copy


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make_model(recipe: TrainRecipe = TINY) -> MomentumContrast:
    torch.manual_seed(0)
    return MomentumContrast(recipe, generator())


def test_loss_equals_a_float64_reference():
    model = make_model().double().eval()
    queries, keys = images(1)

    step = model([queries, keys], generator())

    q = model.query_encoder(queries).detach().numpy()
    k = model.key_encoder(keys).numpy()
    q /= np.linalg.norm(q, axis=1, keepdims=True)
    k /= np.linalg.norm(k, axis=1, keepdims=True)
    positive = (q * k).sum(axis=1) / TINY.temperature
    logits = np.hstack([positive[:, None], q @ model.queue.numpy().T / TINY.temperature])
    expected = np.mean(np.log(np.exp(logits).sum(axis=1)) - positive)
    assert float(step.loss.detach()) == pytest.approx(expected, abs=1e-12)
    np.testing.assert_allclose(step.carried["keys"].numpy(), k, atol=1e-12)
    assert float(step.figures["top1"]) == np.mean(logits.argmax(axis=1) == 0)
    assert float(step.figures["agreement"]) == pytest.approx(positive.mean() * TINY.temperature)


def test_gradient_equals_a_float64_reference():
    model = make_model().double().eval()
    queries, keys = images(1)
    projected: list[torch.Tensor] = []
    model.query_encoder.register_forward_hook(lambda _m, _i, out: projected.append(out))

    loss = model([queries, keys], generator()).loss
    (found,) = torch.autograd.grad(loss, projected)

    x = projected[0].detach().numpy()
    k = model.key_encoder(keys).numpy()
    k /= np.linalg.norm(k, axis=1, keepdims=True)
    length = np.linalg.norm(x, axis=1, keepdims=True)
    q = x / length
    negatives = model.queue.numpy()
    logits = np.hstack([(q * k).sum(1, keepdims=True), q @ negatives.T]) / TINY.temperature
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    # d loss / d q, then through the division by the length: (1 - q q^T) / |x|.
    by_q = ((p[:, :1] - 1) * k + p[:, 1:] @ negatives) / (TINY.temperature * len(q))
    expected = (by_q - q * (by_q * q).sum(axis=1, keepdims=True)) / length
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-13)


def test_enqueue_replaces_the_oldest_keys_and_wraps():
    model = make_model()
    batches = [torch.full((16, 8), float(i)) for i in range(4)]

    for batch in batches:
        model.enqueue(batch)

    assert torch.equal(model.queue[:16], batches[3])
    assert torch.equal(model.queue[16:32], batches[1])
    assert torch.equal(model.queue[32:], batches[2])
    assert int(model.pointer) == 16


def test_key_encoder_follows_as_a_moving_average():
    model = make_model(replace_fields(TINY, {"encoder_momentum": 0.75}))
    before = model.key_encoder.conv1.weight.clone()
    with torch.no_grad():
        model.query_encoder.conv1.weight.add_(1.0)

    model.before_step()

    torch.testing.assert_close(model.key_encoder.conv1.weight, before + 0.25)


def test_momentum_rises_over_the_run_where_the_recipe_says_so():
    model = make_model(
        replace_fields(TINY, {"encoder_momentum": 0.5, "encoder_momentum_final": 1.0})
    )
    before = model.key_encoder.conv1.weight.clone()
    with torch.no_grad():
        model.query_encoder.conv1.weight.add_(1.0)

    model.before_step(progress=1.0)
    assert torch.equal(model.key_encoder.conv1.weight, before)
    model.before_step(progress=0.5)
    torch.testing.assert_close(model.key_encoder.conv1.weight, before + 0.25)


def test_only_the_query_encoder_gets_gradients():
    model = make_model()
    views = torch.randn(16, 3, 32, 32, generator=generator(1))

    model([views, views], generator()).loss.backward()

    assert all(p.grad is not None for p in model.query_encoder.parameters())
    assert all(p.grad is None for p in model.key_encoder.parameters())
    assert all(name.startswith("query_encoder.") for name in model.trained_parameters())


def test_keys_of_the_queue_and_their_place_survive_in_the_state():
    model, other = make_model(), MomentumContrast(TINY, generator(9))
    model.enqueue(torch.ones(16, 8))

    other.load_state_dict(model.state_dict())

    assert torch.equal(other.queue, model.queue)
    assert int(other.pointer) == 16


def test_spread_is_zero_for_collapsed_and_near_one_for_scattered_queries():
    model = make_model().eval()
    same = torch.ones(16, 3, 32, 32)
    model.query_encoder.forward = lambda _: torch.randn(16, 8, generator=generator(2))

    scattered = model([same, same], generator()).figures["spread"]
    model.query_encoder.forward = lambda _: torch.ones(16, 8)
    collapsed = model([same, same], generator()).figures["spread"]

    assert float(scattered) > 0.9
    assert float(collapsed) < 1e-3


def make_shallow_model(groups: int) -> MomentumContrast:
    """One convolution with batch normalization, and a random head: it has learned nothing."""
    model = make_model(replace_fields(TINY, {"queue": 64, "normalization_groups": groups}))
    torch.manual_seed(0)
    model.query_encoder = nn.Sequential(
        *(nn.Conv2d(3, 16, 3, bias=False), GroupedBatchNorm2d(16), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        *(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 8)),
    )
    split_normalization(model.query_encoder, groups)
    model.key_encoder = moving_copy(model.query_encoder)
    return model


@torch.no_grad()
def accuracy_on_noise(model: MomentumContrast, *, brightness: float = 20.0) -> float:
    """Contrastive accuracy where queries and keys are noise, each drawn for itself.

    Nothing in an image tells which its key is. But the first image of each batch is a bright one of
    a random color, in both views: batch statistics carry that color to all the others.
    """
    draws = generator(5)
    accuracies = []
    for number in range(20):
        views = torch.randn(2, 16, 3, 16, 16, generator=draws)
        views[:, 0] += brightness * torch.randn(3, 1, 1, generator=draws)
        step = model(list(views), draws)
        model.after_step(step)
        if number >= 4:  # the queue is full of such keys
            accuracies.append(float(step.figures["top1"]))
    return float(np.mean(accuracies))


CHANCE = 1 / 65
"""One positive and 64 negatives."""

BRIGHT = 1 / 16
"""Of the images; these have something that tells them, as it should be."""


def test_plain_batch_normalization_leaks_the_answer():
    model = make_shallow_model(groups=1)

    assert accuracy_on_noise(model) > 0.95
    # Without batch statistics, or with nothing in them, the same network is at chance.
    assert accuracy_on_noise(model, brightness=0.0) < 3 * CHANCE
    assert accuracy_on_noise(model.eval()) < BRIGHT + 3 * CHANCE


def test_split_and_shuffled_batch_normalization_closes_the_leak():
    # What is left is the bright image, and a query and key that both happen to be in its group: a
    # quarter of the batch, a quarter of the time.
    assert accuracy_on_noise(make_shallow_model(groups=4)) < BRIGHT + 1 / 16 + CHANCE


def test_split_batch_normalization_without_shuffling_does_not_close_it():
    model = make_shallow_model(groups=4)
    model._encode_keys = lambda images, _: nn.functional.normalize(model.key_encoder(images), dim=1)

    # All pairs in the group of the bright image find each other: a quarter of the batch.
    assert accuracy_on_noise(model) > 0.2


def test_whole_batch_statistics_tell_the_pair_and_split_ones_do_not():
    def difference_of_pairs(groups: int) -> float:
        """Images that differ in brightness alone: how far query and key normalize apart."""
        model = make_model()
        for encoder in (model.query_encoder, model.key_encoder):
            set_normalization_groups(encoder, groups)
        views = torch.randn(16, 1, 1, 1, generator=generator(3)) + torch.zeros(16, 3, 32, 32)
        seen: dict[str, torch.Tensor] = {}
        model.query_encoder.bn1.register_forward_hook(lambda _m, _i, out: seen.update(query=out))
        model.key_encoder.bn1.register_forward_hook(lambda _m, _i, out: seen.update(key=out))
        order = torch.randperm(16, generator=generator(4))
        model([views, views], generator(4))
        query = seen["query"].mean(dim=(2, 3)).detach()
        key = torch.empty_like(query)
        key[order] = seen["key"].mean(dim=(2, 3))
        return float((query - key).abs().max())

    assert difference_of_pairs(groups=1) < 1e-4
    assert difference_of_pairs(groups=4) > 0.1
