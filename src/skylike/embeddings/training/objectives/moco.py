"""Momentum contrast: two views of a galaxy agree, and differ from the views of other galaxies.

Written from He et al. 2020 (MoCo, algorithm 1) and Chen et al. 2020 (MoCo v2: the projection head).
"""

from collections.abc import Sequence

import torch
from torch.nn import functional
from typing_extensions import override

from skylike.embeddings.recipe import TrainRecipe
from skylike.embeddings.training import distributed
from skylike.embeddings.training.objectives.objective import (
    Objective,
    Step,
    follow,
    momentum_at,
    moving_copy,
    spread_of,
    top1_of,
)


class MomentumContrast(Objective):
    """Query encoder, key encoder and queue.

    Parameters
    ----------
    recipe
        Also gives queue, momentum, temperature.
    generator
        On the CPU; draws the first, random keys of the queue.

    Attributes
    ----------
    key_encoder
        The moving copy of the query encoder.
    queue
        (K, d) keys of unit length, the oldest at ``pointer``.
    """

    queue: torch.Tensor
    pointer: torch.Tensor

    def __init__(self, recipe: TrainRecipe, generator: torch.Generator) -> None:
        super().__init__(recipe)
        self.key_encoder = moving_copy(self.query_encoder)
        keys = torch.randn(recipe.queue, recipe.projection_dimension, generator=generator)
        self.register_buffer("queue", functional.normalize(keys, dim=1))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.int64))

    @override
    def before_step(self, progress: float = 0.0) -> None:
        follow(self.key_encoder, self.query_encoder, momentum_at(progress, self.recipe))

    @override
    def forward(self, views: Sequence[torch.Tensor], generator: torch.Generator) -> Step:
        """Tell the key of each query from those of the queue.

        The keys are shuffled before the key encoder, so that no query shares its group of batch
        statistics with its own key more than by chance.
        """
        queries, images = views
        query = functional.normalize(self.encode(self.query_encoder, queries), dim=1)  # (b, d)
        keys = self._encode_keys(images, generator)  # (w b, d)
        key = distributed.part_of(keys)  # (b, d)
        positive = (query * key).sum(dim=1, keepdim=True)  # (b, 1)
        negative = query @ self.queue.T  # (b, d) @ (d, q) -> (b, q)
        logits = torch.cat([positive, negative], dim=1) / self.recipe.temperature  # (b, 1 + q)
        target = torch.zeros(len(logits), dtype=torch.int64, device=logits.device)
        figures = {
            "top1": top1_of(logits, target),
            "spread": spread_of(query),
            "agreement": positive.detach().mean(),
        }
        return Step(functional.cross_entropy(logits, target), figures, {"keys": keys})

    @torch.no_grad()
    def _encode_keys(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        def encode(shuffled: torch.Tensor) -> torch.Tensor:
            return functional.normalize(self.encode(self.key_encoder, shuffled), dim=1)

        return distributed.encode_shuffled(encode, images, generator)

    @override
    def after_step(self, step: Step) -> None:
        self.enqueue(step.carried["keys"])

    @torch.no_grad()
    def enqueue(self, keys: torch.Tensor) -> None:
        """Put keys (b, d) in the place of the oldest ones; b divides the queue's length."""
        start = int(self.pointer)
        self.queue[start : start + len(keys)] = keys
        self.pointer.fill_((start + len(keys)) % len(self.queue))
