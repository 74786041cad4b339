"""Self-distillation: a student predicts what its own moving average says of another view.

Written from Caron et al. 2021 (DINO, algorithm 1 and section 3.1). There are no negatives:
centering keeps one output from winning always, sharpening keeps all from being equal.
"""

import math
from collections.abc import Sequence

import torch
from torch import nn
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


class Prototypes(nn.Module):
    """The last layer of DINO's head: cosines with directions, all of unit length.

    Parameters
    ----------
    inputs, outputs
        d and p.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs))

    @override
    def forward(self, unit_rows: torch.Tensor) -> torch.Tensor:
        """Turn rows (b, d) of unit length into cosines (b, p)."""
        return unit_rows @ functional.normalize(self.weight, dim=1).T


class SelfDistillation(Objective):
    """Student, teacher and center.

    It takes two views or more, of equal size: the teacher sees the first two, the student all.

    Parameters
    ----------
    recipe
        Also gives prototypes, both temperatures, both momenta.
    generator
        Not used: there is no random state.

    Attributes
    ----------
    key_encoder, key_prototypes
        The teacher: the moving copy of ``query_encoder`` and ``prototypes``.
    center
        (p,) moving mean of the teacher's outputs.
    """

    figures = (*Objective.figures, "teacher_entropy")
    """``teacher_entropy``: mean entropy of the teacher's distributions relative to that of the even
    one; 1 is one kind of collapse, and a fall to 0 at the start with ``spread`` 0 the other."""

    center: torch.Tensor

    def __init__(self, recipe: TrainRecipe, generator: torch.Generator) -> None:  # noqa: ARG002 - the common signature
        super().__init__(recipe)
        self.prototypes = Prototypes(recipe.projection_dimension, recipe.prototypes)
        self.key_encoder = moving_copy(self.query_encoder)
        self.key_prototypes = moving_copy(self.prototypes)
        self.register_buffer("center", torch.zeros(recipe.prototypes))

    @override
    def before_step(self, progress: float = 0.0) -> None:
        momentum = momentum_at(progress, self.recipe)
        follow(self.key_encoder, self.query_encoder, momentum)
        follow(self.key_prototypes, self.prototypes, momentum)

    @override
    def forward(self, views: Sequence[torch.Tensor], generator: torch.Generator) -> Step:
        b = len(views[0])
        with torch.no_grad():
            seen = self.encode(self.key_encoder, torch.cat(list(views[:2])))
            seen = functional.normalize(seen, dim=1)  # (2 b, d)
            outputs = self.key_prototypes(seen)  # (2 b, p)
            sharp = (outputs - self.center) / self.recipe.teacher_temperature
            wanted = torch.split(functional.softmax(sharp, dim=1), b)  # 2 of (b, p)
        own = self.encode(self.query_encoder, torch.cat(list(views)))
        own = functional.normalize(own, dim=1)  # (v b, d)
        logits = self.prototypes(own) / self.recipe.temperature  # (v b, p)
        said = torch.split(functional.log_softmax(logits, dim=1), b)  # v of (b, p)
        losses = [
            -(target * answer).sum(dim=1).mean()
            for i, target in enumerate(wanted)
            for j, answer in enumerate(said)
            if i != j
        ]
        with torch.no_grad():
            cosines = own[:b] @ seen[b:].T  # (b, d) @ (d, b)
            figures = {
                "top1": top1_of(cosines, torch.arange(b, device=cosines.device)),
                "spread": spread_of(own[:b]),
                "agreement": cosines.diagonal().mean(),
                "teacher_entropy": _relative_entropy(sharp),
            }
            mean = distributed.mean_over_processes(outputs.mean(dim=0))  # (p,)
        return Step(torch.stack(losses).mean(), figures, {"teacher_mean": mean})

    @override
    @torch.no_grad()
    def after_step(self, step: Step) -> None:
        self.center.lerp_(step.carried["teacher_mean"], 1.0 - self.recipe.center_momentum)


def _relative_entropy(logits: torch.Tensor) -> torch.Tensor:
    p = functional.softmax(logits, dim=1)  # (n, p)
    entropy: torch.Tensor = -torch.special.xlogy(p, p).sum(dim=1).mean()
    return entropy / math.log(logits.shape[1])
