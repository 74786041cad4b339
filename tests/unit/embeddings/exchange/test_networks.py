"""Weights of others become networks of ours, or are refused by the names that do not fit."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from skylike.embeddings.exchange.networks import IMAGENET_MEAN, IMAGENET_SCALE, network_from
from skylike.embeddings.resnet import ResNet
from skylike.errors import CheckpointError

PATH = Path("there.ckpt")
Weights = Callable[..., dict[str, Tensor]]


def as_query_encoder(weights: dict[str, Tensor]) -> dict[str, object]:
    """A checkpoint of momentum contrast: query encoder, key encoder, queue."""
    state = {f"encoder_q.{name}": tensor for name, tensor in weights.items()}
    state |= {f"encoder_k.{name}": tensor for name, tensor in weights.items()}
    return {"state_dict": {**state, "queue": torch.ones(4, 8), "queue_ptr": torch.zeros(1)}}


@pytest.mark.parametrize("architecture", ["resnet18", "resnet34", "resnet50"])
def test_weights_of_torchvision_give_the_same_features(resnet: Weights, architecture: str):
    weights = resnet(architecture)
    original = ResNet(architecture, width=0.125, outputs=10).eval()
    original.load_state_dict(weights)
    images = torch.randn(2, 3, 64, 64)

    found = network_from(weights, PATH, recipe=None)

    assert (found.recipe.architecture, found.recipe.width) == (architecture, 0.125)
    assert (found.family, found.recipe.input) == ("torchvision", "rgb")
    assert (found.preprocessing.mean, found.preprocessing.scale) == (IMAGENET_MEAN, IMAGENET_SCALE)
    assert torch.equal(found.network.features(images), original.features(images))
    assert isinstance(found.network.fc, nn.Identity)
    assert found.ignored == 2  # the classes of ImageNet


@pytest.mark.parametrize(
    ("head", "layers", "outputs"),
    [
        (nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 12)), 2, 12),
        (nn.Linear(64, 12), 1, 12),
        (nn.Identity(), None, 64),
    ],
)
def test_query_encoder_when_found_then_gives_the_same_outputs(
    resnet: Weights, head: nn.Module, layers: int | None, outputs: int
):
    weights = resnet(head=head)
    original = ResNet("resnet18", width=0.125).eval()
    original.fc = head
    original.load_state_dict(weights)
    images = torch.randn(2, 3, 64, 64)

    found = network_from(as_query_encoder(weights), PATH, recipe="small")

    assert found.family == "moco"
    assert layers is None or found.recipe.projection_layers == layers
    result = found.network(images)
    assert result.shape == (2, outputs)
    assert torch.equal(result, original(images))
    assert found.ignored == len(weights) + 2
    assert found.preprocessing.bin_pix == 2  # of the recipe


def test_query_encoder_when_no_recipe_is_named_then_is_fed_as_the_released_code_did(
    resnet: Weights,
):
    found = network_from(as_query_encoder(resnet(head=nn.Linear(64, 12))), PATH, recipe=None)

    preprocessing = found.preprocessing
    assert (preprocessing.input, preprocessing.crop_pix, preprocessing.bin_pix) == ("rgb", 96, 1)
    assert (preprocessing.mean, preprocessing.scale) == ((0, 0, 0), (1, 1, 1))
    assert preprocessing.rendering.name != "legacy_asinh"


def test_names_when_wrapped_by_data_parallel_then_are_understood(resnet: Weights):
    wrapped = {f"module.{name}": tensor for name, tensor in resnet().items()}

    found = network_from(wrapped, PATH, recipe=None)

    assert torch.equal(found.network.conv1.weight, wrapped["module.conv1.weight"])


def test_weights_when_older_than_the_counters_of_batch_normalization_then_fit(resnet: Weights):
    weights = {k: v for k, v in resnet().items() if not k.endswith("num_batches_tracked")}

    assert network_from(weights, PATH, recipe=None).recipe.architecture == "resnet18"


def test_weights_when_half_precision_then_are_used_as_float32(resnet: Weights):
    weights = {k: v.half() if v.is_floating_point() else v for k, v in resnet().items()}

    assert network_from(weights, PATH, recipe=None).network.conv1.weight.dtype == torch.float32


def changed(weights: dict[str, Tensor], **changes: Tensor | None) -> dict[str, Tensor]:
    renamed = {name.replace("__", "."): tensor for name, tensor in changes.items()}
    return {k: v for k, v in (weights | renamed).items() if v is not None}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layer2__0__bn1__weight": None}, r"for resnet18 layer2\.0\.bn1\.weight is missing"),
        ({"layer5__0__weight": torch.ones(1)}, r"for resnet18 layer5\.0\.weight is unexpected"),
        (
            {"layer1__0__conv1__weight": torch.ones(8, 8, 5, 5)},
            r"do not fit a resnet18 of 8 .*layer1\.0\.conv1\.weight has shape \(8, 8, 5, 5\) and"
            r" resnet18 \(8, 8, 3, 3\)",
        ),
        (
            {"conv1__weight": torch.ones(64, 5, 7, 7)},
            r"conv1\.weight has shape \(64, 5, 7, 7\), expected \(64, 3, 7, 7\)",
        ),
        ({"bn1__bias": torch.full((8,), torch.nan)}, r"bn1\.bias holds NaN or infinity"),
        ({"note": "mine"}, r"note among the weights is no tensor"),
    ],
)
def test_weights_when_they_do_not_fit_then_names_are_told(
    resnet: Weights, changes: dict[str, Tensor | None], message: str
):
    with pytest.raises(CheckpointError, match=rf"there\.ckpt: .*{message}"):
        network_from(changed(resnet(), **changes), PATH, recipe=None)


def test_weights_of_another_architecture_are_refused_by_what_is_unexpected():
    vision_transformer = {f"blocks.{n}.attn.qkv.weight": torch.ones(2) for n in range(12)}

    with pytest.raises(CheckpointError, match=r"none of resnet18, .*and 8 more are unexpected"):
        network_from(vision_transformer, PATH, recipe=None)


def test_head_when_its_layers_do_not_follow_each_other_then_is_refused(resnet: Weights):
    head = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(16, 8))

    with pytest.raises(CheckpointError, match=r"fc\.2\.weight has shape \(8, 16\)"):
        network_from(as_query_encoder(resnet(head=head)), PATH, recipe="small")


def test_query_encoder_when_called_torchvisions_then_is_refused(resnet: Weights):
    with pytest.raises(CheckpointError, match="leave out --format"):
        network_from(as_query_encoder(resnet()), PATH, family="torchvision", recipe=None)


def test_checkpoint_without_weights_is_refused_by_what_it_holds():
    with pytest.raises(CheckpointError, match="no weights by name, but epoch, optimizer"):
        network_from({"epoch": 3, "optimizer": {}}, PATH, recipe=None)
