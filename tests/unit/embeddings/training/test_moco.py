"""Momentum contrast: loss, queue, moving average, and the shortcut through batch statistics."""

import dataclasses

import numpy as np
import pytest
import torch

from skylike.embeddings.recipe import TrainRecipe, replace_fields
from skylike.embeddings.resnet import set_normalization_groups
from skylike.embeddings.training.moco import MomentumContrast

TINY = replace_fields(
    TrainRecipe(),
    {
        "name": "tiny",
        "architecture": "resnet18",
        "width": 0.125,
        "input": "rgb",
        "batch_size": 16,
        "queue": 32,
        "normalization_groups": 4,
        "projection_hidden": 16,
        "projection_dimension": 8,
    },
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make_model(recipe: TrainRecipe = TINY) -> MomentumContrast:
    torch.manual_seed(0)
    return MomentumContrast(recipe, generator())


def test_loss_equals_a_float64_reference():
    model = make_model().double().eval()
    queries, keys = torch.randn(2, 16, 3, 32, 32, generator=generator(1), dtype=torch.float64)

    step = model(queries, keys, generator())

    q = model.query_encoder(queries).detach().numpy()
    k = model.key_encoder(keys).numpy()
    q /= np.linalg.norm(q, axis=1, keepdims=True)
    k /= np.linalg.norm(k, axis=1, keepdims=True)
    positive = (q * k).sum(axis=1) / TINY.temperature
    logits = np.hstack([positive[:, None], q @ model.queue.numpy().T / TINY.temperature])
    expected = np.mean(np.log(np.exp(logits).sum(axis=1)) - positive)
    assert float(step.loss.detach()) == pytest.approx(expected, abs=1e-12)
    np.testing.assert_allclose(step.keys.numpy(), k, atol=1e-12)


def test_enqueue_replaces_the_oldest_keys_and_wraps():
    model = make_model()
    batches = [torch.full((16, 8), float(i)) for i in range(3)]

    for batch in batches:
        model.enqueue(batch)

    assert torch.equal(model.queue[:16], batches[2])
    assert torch.equal(model.queue[16:], batches[1])


def test_key_encoder_follows_as_a_moving_average():
    model = make_model(dataclasses.replace(TINY, encoder_momentum=0.75))
    before = model.key_encoder.conv1.weight.clone()
    with torch.no_grad():
        model.query_encoder.conv1.weight.add_(1.0)

    model.update_key_encoder()

    torch.testing.assert_close(model.key_encoder.conv1.weight, before + 0.25)


def test_only_the_query_encoder_gets_gradients():
    model = make_model()
    views = torch.randn(16, 3, 32, 32, generator=generator(1))

    model(views, views, generator()).loss.backward()

    assert all(p.grad is not None for p in model.query_encoder.parameters())
    assert all(p.grad is None for p in model.key_encoder.parameters())


def test_spread_is_zero_for_collapsed_and_near_one_for_scattered_queries():
    model = make_model().eval()
    same = torch.ones(16, 3, 32, 32)
    model.query_encoder.forward = lambda _: torch.randn(16, 8, generator=generator(2))

    scattered = model(same, same, generator()).spread
    model.query_encoder.forward = lambda _: torch.ones(16, 8)
    collapsed = model(same, same, generator()).spread

    assert float(scattered) > 0.9
    assert float(collapsed) < 1e-3


def statistics_shared_by_pairs(groups: int) -> float:
    """How far batch statistics give away which key belongs to a query: a correlation over pairs.

    All images of a batch are one image but for its brightness, so what is left after normalization
    is brightness relative to the group. With one group for all, query and key agree on it exactly.
    """
    model = make_model()
    model.train()
    for encoder in (model.query_encoder, model.key_encoder):
        set_normalization_groups(encoder, groups)
    brightness = torch.randn(16, 1, 1, 1, generator=generator(3))
    views = brightness + torch.zeros(16, 3, 32, 32)
    seen: dict[str, torch.Tensor] = {}
    model.query_encoder.bn1.register_forward_hook(lambda _m, _i, out: seen.update(query=out))
    model.key_encoder.bn1.register_forward_hook(lambda _m, _i, out: seen.update(key=out))
    order = torch.randperm(16, generator=generator(4))
    model(views, views, generator(4))
    query = seen["query"].mean(dim=(2, 3)).detach()
    key = torch.empty_like(query)
    key[order] = seen["key"].mean(dim=(2, 3))
    return float((query - key).abs().max())


def test_whole_batch_statistics_tell_the_pair_and_split_ones_do_not():
    # The shortcut: with one group both normalizations of a pair are identical, whatever the image.
    assert statistics_shared_by_pairs(groups=1) < 1e-4
    assert statistics_shared_by_pairs(groups=4) > 0.1
