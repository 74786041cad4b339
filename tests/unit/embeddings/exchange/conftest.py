"""Files of weights as others write them, of a network that is small enough to be made often."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from skylike.embeddings.checkpoint import load_encoder, save_encoder
from skylike.embeddings.encoder import TrainedEncoder
from skylike.embeddings.heads import build_network
from skylike.embeddings.preprocess import Preprocessing
from skylike.embeddings.recipe import TrainRecipe
from skylike.embeddings.resnet import ResNet


@pytest.fixture(autouse=True)
def _same_weights() -> None:
    torch.manual_seed(5)


@pytest.fixture
def encoder(tiny_recipe: TrainRecipe, tmp_path: Path) -> TrainedEncoder:
    """One of ours, its file at ``ours.pt``."""
    preprocessing = Preprocessing(
        input="rgb", bin_pix=4, mean=(0.1, 0.2, 0.3), scale=(0.2, 0.3, 0.4)
    )
    path = tmp_path / "ours.pt"
    network = build_network(tiny_recipe)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):  # as after some steps
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2.0)
    save_encoder(path, network, tiny_recipe, preprocessing, {"images": 3})
    return load_encoder(path)


@pytest.fixture
def resnet() -> Callable[..., dict[str, Tensor]]:
    """Weights of a network with torchvision's names."""

    def make(architecture: str = "resnet18", *, head: nn.Module | None = None) -> dict[str, Tensor]:
        network = ResNet(architecture, width=0.125, outputs=10)
        if head is not None:
            network.fc = head
        return network.state_dict()

    return make
