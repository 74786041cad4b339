"""Contrast within the batch: loss, gradients, negatives, groups."""

import numpy as np
import numpy.typing as npt
import pytest
import torch

from objective_steps import TINY, images
from skylike.embeddings.recipe import replace_fields
from skylike.embeddings.training.objectives.in_batch import InBatchContrast

Rows = npt.NDArray[np.float64]

RECIPE = replace_fields(TINY, {"objective": "in_batch", "normalization_groups": 1})


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make_model(**changes: object) -> InBatchContrast:
    torch.manual_seed(0)
    return InBatchContrast(replace_fields(RECIPE, changes), generator())


def reference(x: Rows, *, temperature: float, decoupled: bool) -> tuple[float, Rows]:
    """NT-Xent of projections (2 n, d), galaxy by galaxy, and its gradient by each of them."""
    n = len(x) // 2
    length = np.linalg.norm(x, axis=1)
    z = x / length[:, None]
    loss, by_z = 0.0, np.zeros_like(z)
    for i in range(2 * n):
        j = (i + n) % (2 * n)
        others = [k for k in range(2 * n) if k != i and not (decoupled and k == j)]
        weights = np.exp(z[others] @ z[i] / temperature)
        loss += np.log(weights.sum()) - z[i] @ z[j] / temperature
        p = weights / weights.sum()
        by_z[i] += (p @ z[others] - z[j]) / temperature
        by_z[j] -= z[i] / temperature
        for k, share in zip(others, p, strict=True):
            by_z[k] += share * z[i] / temperature
    by_z /= 2 * n
    by_x = (by_z - z * (by_z * z).sum(axis=1, keepdims=True)) / length[:, None]
    return loss / (2 * n), by_x


@pytest.mark.parametrize("decoupled", [False, True])
def test_loss_and_gradient_equal_a_float64_reference(*, decoupled: bool):
    model = make_model(decoupled=decoupled).double()
    projected: list[torch.Tensor] = []
    model.query_encoder.register_forward_hook(lambda _m, _i, out: projected.append(out))

    step = model(images(1), generator())
    (found,) = torch.autograd.grad(step.loss, projected)

    x = projected[0].detach().numpy()
    loss, gradient = reference(x, temperature=RECIPE.temperature, decoupled=decoupled)
    assert float(step.loss.detach()) == pytest.approx(loss, abs=1e-12)
    np.testing.assert_allclose(found.numpy(), gradient, atol=1e-13)


def test_top1_and_agreement_are_those_of_both_views():
    model = make_model().double()
    projected: list[torch.Tensor] = []
    model.query_encoder.register_forward_hook(lambda _m, _i, out: projected.append(out))

    figures = model(images(1), generator()).figures

    z = projected[0].detach().numpy()
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    similarity = z @ z.T
    np.fill_diagonal(similarity, -np.inf)
    partner = np.roll(np.arange(32), 16)
    assert float(figures["top1"]) == np.float32(np.mean(similarity.argmax(axis=1) == partner))
    assert float(figures["agreement"]) == pytest.approx(np.mean((z * z[partner]).sum(axis=1)))


def test_equal_views_are_all_found():
    first, _ = images(1)

    figures = make_model().double()([first, first], generator()).figures

    assert float(figures["top1"]) == 1.0
    assert float(figures["agreement"]) == pytest.approx(1.0)


def test_in_groups_the_second_views_share_statistics_with_others_and_come_back_in_order():
    # In evaluation there are no batch statistics, so that the shuffle must leave no trace.
    torch.manual_seed(0)
    grouped = make_model(normalization_groups=4).double()
    plain = make_model(normalization_groups=1).double()
    seen: list[torch.Tensor] = []
    grouped.query_encoder.register_forward_pre_hook(lambda _m, args: seen.append(args[0]))
    views = images(1)

    shuffled = grouped.eval()(views, generator(3)).loss
    straight = plain.eval()(views, generator(3)).loss

    torch.testing.assert_close(shuffled, straight)
    order = torch.randperm(16, generator=generator(3))
    assert torch.equal(seen[0], torch.cat([views[0], views[1][order]]))


def test_nothing_random_is_drawn_for_statistics_of_the_whole_batch():
    model, draws = make_model().double(), generator(3)

    model(images(1), draws)

    assert torch.equal(draws.get_state(), generator(3).get_state())
