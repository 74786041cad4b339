"""bfloat16, memory format and torch.compile: as fast as they may be, the numbers stay."""

import logging

import pytest
import torch

from objective_steps import TINY, images
from skylike.embeddings.normalization import GroupedBatchNorm2d, set_normalization_groups
from skylike.embeddings.recipe import replace_fields
from skylike.embeddings.training import compilation
from skylike.embeddings.training.compilation import compile_networks
from skylike.embeddings.training.objectives import OBJECTIVES, Objective, Step, make_objective


def make(name: str, **changes: object) -> Objective:
    torch.manual_seed(0)
    # Two groups of eight, and 2 x 2 pixels at the end: fewer values would magnify each rounding.
    recipe = replace_fields(
        TINY, {"objective": name, "stem": "strided", "normalization_groups": 2, **changes}
    )
    return make_objective(recipe, torch.Generator().manual_seed(0))


def step_of(objective: Objective, device: str = "cpu", dtype: torch.dtype = torch.float32) -> Step:
    views = [view.to(device, dtype) for view in images(1)]
    step = objective.to(device, dtype)(views, torch.Generator(device).manual_seed(0))
    step.loss.backward()
    return step


@pytest.mark.parametrize("name", OBJECTIVES)
def test_bf16_gives_nearly_the_loss_of_float32_and_is_bf16_inside(name: str):
    exact, rough = make(name), make(name, precision="bf16")
    seen: list[torch.dtype] = []
    rough.query_encoder.register_forward_hook(lambda _m, _i, out: seen.append(out.dtype))

    expected, found = step_of(exact), step_of(rough)

    assert seen == [torch.bfloat16]
    assert found.loss.dtype == torch.float32
    assert float(found.loss.detach()) == pytest.approx(float(expected.loss.detach()), rel=0.01)
    assert float(found.loss.detach()) != float(expected.loss.detach())
    assert all(p.dtype == p.grad.dtype == torch.float32 for p in rough.query_encoder.parameters())
    gradients = [
        torch.cat([p.grad.flatten() for p in model.query_encoder.parameters()])
        for model in (exact, rough)
    ]
    assert torch.nn.functional.cosine_similarity(*gradients, dim=0) > 0.9


@pytest.mark.parametrize("name", OBJECTIVES)
def test_channels_last_gives_the_same_loss_and_gradients(name: str):
    plain, last = make(name), make(name, channels_last=True)
    seen: list[bool] = []
    last.query_encoder.layer1.register_forward_hook(
        lambda _m, _i, out: seen.append(out.is_contiguous(memory_format=torch.channels_last))
    )

    expected, found = (step_of(each, dtype=torch.float64) for each in (plain, last))

    assert seen == [True]
    torch.testing.assert_close(found.loss, expected.loss)
    for ours, theirs in zip(last.parameters(), plain.parameters(), strict=True):
        if theirs.grad is not None:
            torch.testing.assert_close(ours.grad, theirs.grad)


def test_groups_of_normalization_keep_the_memory_format():
    layer = GroupedBatchNorm2d(6)
    set_normalization_groups(layer, 4)
    batch = torch.randn(8, 6, 5, 5, generator=torch.Generator().manual_seed(0))

    last = layer(batch.contiguous(memory_format=torch.channels_last))

    assert last.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(last, layer(batch))


def test_without_a_compiler_training_goes_on_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def refuse(_device: str) -> None:
        raise RuntimeError("No working C++ compiler found\nand a long story")

    monkeypatch.setattr(compilation, "_try_compiler", refuse)
    objective = make("in_batch")

    with caplog.at_level(logging.WARNING):
        assert not compile_networks(objective, "cpu")

    (message,) = caplog.messages
    assert "on cpu (No working C++ compiler found); training goes on without it" in message
    assert step_of(objective).loss.isfinite()


def test_compiled_networks_keep_the_names_of_their_weights(monkeypatch: pytest.MonkeyPatch):
    compiled: list[torch.nn.Module] = []

    def recorded(network: torch.nn.Module) -> None:
        compiled.append(network)

    monkeypatch.setattr(compilation, "_try_compiler", lambda _device: None)
    monkeypatch.setattr(torch.nn.Module, "compile", recorded)
    objective = make("moco")
    names = list(objective.state_dict())

    assert compile_networks(objective, "cpu")

    assert compiled == [objective.query_encoder, objective.key_encoder]
    assert list(objective.state_dict()) == names


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", OBJECTIVES)
def test_on_a_gpu_bf16_channels_last_and_compiled_give_nearly_the_same_loss(name: str):
    expected = float(step_of(make(name)).loss.detach())
    objective = make(name, precision="bf16", channels_last=True, compile=True).to("cuda")
    assert compile_networks(objective, "cuda")

    assert float(step_of(objective, "cuda").loss.detach()) == pytest.approx(expected, rel=0.02)
