"""Momentum contrast: two views of a galaxy agree, and differ from the views of other galaxies.

Written from He et al. 2020 (MoCo, algorithm 1) and Chen et al. 2020 (MoCo v2: the projection head).
"""

import copy
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional
from typing_extensions import override

from skylike.embeddings.recipe import TrainRecipe
from skylike.embeddings.resnet import ResNet, set_normalization_groups


@dataclass(frozen=True)
class ContrastiveStep:
    """What one batch gives."""

    loss: torch.Tensor
    """InfoNCE, a scalar to be differentiated."""

    top1: torch.Tensor
    """Fraction of the queries whose own key is the most similar one; scalar."""

    spread: torch.Tensor
    """Standard deviation of the projected queries over the batch, relative to that of directions
    drawn evenly: about 1 where they are spread out, 0 where they have collapsed into one;
    scalar."""

    keys: torch.Tensor
    """The keys of the batch (b, d), for :meth:`MomentumContrast.enqueue`."""


class MomentumContrast(nn.Module):
    """Query encoder, key encoder and queue.

    Parameters
    ----------
    recipe
        Network, head, queue, momentum, temperature, groups of batch normalization.
    generator
        On the CPU; draws the first, random keys of the queue. The weights come from torch's global
        generator.

    Attributes
    ----------
    query_encoder, key_encoder
        :class:`ResNet` with the projection head of MoCo v2 as ``fc``.
    queue
        (K, d) keys of unit length, the oldest at ``pointer``.
    """

    queue: torch.Tensor
    pointer: torch.Tensor

    def __init__(self, recipe: TrainRecipe, generator: torch.Generator) -> None:
        super().__init__()
        self.temperature = recipe.temperature
        self.encoder_momentum = recipe.encoder_momentum
        self.query_encoder = build_network(recipe)
        self.key_encoder = copy.deepcopy(self.query_encoder)
        self.key_encoder.requires_grad_(requires_grad=False)
        for encoder in (self.query_encoder, self.key_encoder):
            set_normalization_groups(encoder, recipe.normalization_groups)
        keys = torch.randn(recipe.queue, recipe.projection_dimension, generator=generator)
        self.register_buffer("queue", functional.normalize(keys, dim=1))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.int64))

    @override
    def forward(
        self, queries: torch.Tensor, keys: torch.Tensor, generator: torch.Generator
    ) -> ContrastiveStep:
        """Compare two views (b, 3, h, w) of the same galaxies.

        The keys are shuffled before the key encoder, so that no query shares its group of batch
        statistics with its own key more than by chance.
        """
        query = functional.normalize(self.query_encoder(queries), dim=1)  # (b, d)
        key = self._encode_keys(keys, generator)  # (b, d)
        positive = (query * key).sum(dim=1, keepdim=True)  # (b, 1)
        negative = query @ self.queue.T  # (b, d) @ (d, q) -> (b, q)
        logits = torch.cat([positive, negative], dim=1) / self.temperature  # (b, 1 + q)
        target = torch.zeros(len(logits), dtype=torch.int64, device=logits.device)
        with torch.no_grad():
            top1 = (logits.argmax(dim=1) == 0).float().mean()
            spread = (query.var(dim=0, unbiased=False).sum()).sqrt()
        return ContrastiveStep(functional.cross_entropy(logits, target), top1, spread, key)

    @torch.no_grad()
    def _encode_keys(self, keys: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        order = torch.randperm(len(keys), generator=generator, device=generator.device)
        encoded = functional.normalize(self.key_encoder(keys[order]), dim=1)
        unshuffled = torch.empty_like(encoded)
        unshuffled[order] = encoded
        return unshuffled

    @torch.no_grad()
    def update_key_encoder(self) -> None:
        """Move the key encoder towards the query encoder (He et al. 2020, equation 2)."""
        m = self.encoder_momentum
        for key, query in zip(
            self.key_encoder.parameters(), self.query_encoder.parameters(), strict=True
        ):
            key.mul_(m).add_(query, alpha=1.0 - m)

    @torch.no_grad()
    def enqueue(self, keys: torch.Tensor) -> None:
        """Put keys (b, d) in the place of the oldest ones; b divides the queue's length."""
        start = int(self.pointer)
        self.queue[start : start + len(keys)] = keys
        self.pointer.fill_((start + len(keys)) % len(self.queue))


def build_network(recipe: TrainRecipe) -> ResNet:
    """Make the network of a recipe with MoCo v2's head in the place of its last layer."""
    network = ResNet(recipe.architecture, width=recipe.width, stem=recipe.stem)
    network.fc = nn.Sequential(
        nn.Linear(network.dimension, recipe.projection_hidden),
        nn.ReLU(),
        nn.Linear(recipe.projection_hidden, recipe.projection_dimension),
    )
    return network
