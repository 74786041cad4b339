"""Contrast within the batch: each view finds the other view of its galaxy among all others.

Written from Chen et al. 2020 (SimCLR, algorithm 1); the decoupled form from Yeh et al. 2022
(Decoupled contrastive learning, equation 6).
"""

import math
from collections.abc import Sequence

import torch
from torch.nn import functional
from typing_extensions import override

from skylike.embeddings.recipe import TrainRecipe
from skylike.embeddings.training import distributed
from skylike.embeddings.training.objectives.objective import (
    Objective,
    Step,
    own_rows,
    spread_of,
    top1_of,
)


class InBatchContrast(Objective):
    """One encoder; all other views in the batch, of all processes, are negatives.

    With one group of batch normalization both views share their statistics with all negatives, and
    these tell nothing. With more groups the second views are shuffled first, as MoCo's keys are.

    Parameters
    ----------
    recipe
        Also gives temperature, and whether the denominator is decoupled.
    generator
        Not used: there is no random state.
    """

    def __init__(self, recipe: TrainRecipe, generator: torch.Generator) -> None:  # noqa: ARG002 - the common signature
        super().__init__(recipe)

    @override
    def forward(self, views: Sequence[torch.Tensor], generator: torch.Generator) -> Step:
        first, second = views
        b, device = len(first), first.device
        order = torch.arange(b * distributed.size(), device=device)
        if self.recipe.normalization_groups > 1:
            order = distributed.shared_order(len(order), generator, device)
            second = distributed.gather_rows(second)[distributed.part_of(order)]
        encoded = self.encode(self.query_encoder, torch.cat([first, second]))  # (2 b, d)
        projected = functional.normalize(encoded, dim=1)
        one, other = projected[:b], projected[b:]
        ones = distributed.gather_rows(one)  # (w b, d)
        others = distributed.gather_rows(other)[torch.argsort(order)]  # (w b, d)
        anchors = torch.cat([one, distributed.part_of(others)])  # (2 b, d)
        rows, n = own_rows(b, device), len(ones)
        itself, partner = torch.cat([rows, rows + n]), torch.cat([rows + n, rows])  # (2 b,)
        similarity = anchors @ torch.cat([ones, others]).T  # (2 b, d) @ (d, 2 w b)
        logits = _without(similarity / self.recipe.temperature, itself)
        with torch.no_grad():
            figures = {
                "top1": top1_of(logits, partner),
                "spread": spread_of(one),
                "agreement": similarity.gather(1, partner[:, None]).mean(),
            }
        return Step(self._loss(logits, partner), figures)

    def _loss(self, logits: torch.Tensor, partner: torch.Tensor) -> torch.Tensor:
        if not self.recipe.decoupled:
            return functional.cross_entropy(logits, partner)
        positive = logits.gather(1, partner[:, None])[:, 0]  # (2 b,)
        negative = torch.logsumexp(_without(logits, partner), dim=1)  # (2 b,)
        return (negative - positive).mean()


def _without(logits: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Return logits (n, m) with the entry at ``columns`` (n,) of each row struck out."""
    return logits.scatter(1, columns[:, None], -math.inf)
