"""What every objective of self-supervised training has in common: the interface to the loop."""

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn
from typing_extensions import override

from skylike.embeddings.heads import build_network
from skylike.embeddings.recipe import TrainRecipe
from skylike.embeddings.resnet import ResNet
from skylike.embeddings.training import distributed


@dataclass(frozen=True)
class Step:
    """What one batch gives."""

    loss: torch.Tensor
    """Scalar, at least float32, to be differentiated."""

    figures: Mapping[str, torch.Tensor]
    """Scalars to watch, detached, under the names in :attr:`Objective.figures`."""

    carried: Mapping[str, torch.Tensor] = field(default_factory=dict)
    """What :meth:`Objective.after_step` takes up once the weights have moved."""


class Objective(nn.Module):
    """Base of the objectives: what networks there are, and what they are asked to do.

    The training loop knows nothing else of an objective. For each batch it calls::

        objective.before_step(progress)
        step = objective(views, generator)
        step.loss.backward()
        optimizer.step()
        objective.after_step(step)

    All that a run needs to go on is in ``state_dict()``. With several processes each calls it with
    its own rows of the batch (see :mod:`skylike.embeddings.training.distributed`), and the mean of
    the gradients is that of one process with the whole batch.

    Parameters
    ----------
    recipe
        Network, head, groups of batch normalization, precision, memory format.

    Attributes
    ----------
    query_encoder
        The network that is kept when training ends.
    """

    views: ClassVar[int] = 2
    """How many views of each galaxy :meth:`forward` needs."""

    figures: ClassVar[tuple[str, ...]] = ("top1", "spread", "agreement")
    """Names of the figures of a step. ``top1``: fraction of the galaxies whose other view is the
    most similar one of all compared. ``spread``: standard deviation of the projected vectors
    relative to that of directions drawn evenly; about 1 where they are spread out, 0 where they
    have collapsed into one. ``agreement``: mean cosine of two views of a galaxy."""

    def __init__(self, recipe: TrainRecipe) -> None:
        super().__init__()
        self.recipe = recipe
        self.query_encoder = self._prepared(build_network(recipe))

    @override
    def forward(self, views: Sequence[torch.Tensor], generator: torch.Generator) -> Step:
        """Compare views of the same galaxies.

        Parameters
        ----------
        views
            :attr:`views` tensors (b, 3, h, w), normalized; row i of each shows the same galaxy.
        generator
            On any device; what is random here comes from it.

        Raises
        ------
        SettingsError
            The batch does not divide into the groups of normalization.
        """
        raise NotImplementedError

    def before_step(self, progress: float = 0.0) -> None:
        """Do what comes before a step, such as moving a key encoder.

        Parameters
        ----------
        progress
            Fraction of the run that is done, in [0, 1]; for what follows a schedule.
        """

    def after_step(self, step: Step) -> None:
        """Take up what a step has left, such as keys for a queue."""

    def trained_parameters(self) -> dict[str, nn.Parameter]:
        """Return what the optimizer moves, by name."""
        return {name: p for name, p in self.named_parameters() if p.requires_grad}

    def networks(self) -> list[ResNet]:
        """Return the networks that see images, the query encoder first."""
        return [module for module in self.children() if isinstance(module, ResNet)]

    def encode(self, network: nn.Module, images: torch.Tensor) -> torch.Tensor:
        """Run a network (b, 3, h, w) -> (b, d) as the recipe says; the result is float32.

        (Or float64, where the network is.)
        """
        if self.recipe.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        is_half = self.recipe.precision == "bf16"
        with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=is_half):
            output: torch.Tensor = network(images)  # (b, d)
        return output if output.dtype == torch.float64 else output.float()

    def _prepared(self, network: ResNet) -> ResNet:
        distributed.split_normalization(network, self.recipe.normalization_groups)
        if self.recipe.channels_last:
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # not in torch's stubs
        return network


def moving_copy(network: nn.Module) -> nn.Module:
    """Return a copy of a network that :func:`follow` moves, and no gradient does."""
    copied = copy.deepcopy(network)
    copied.requires_grad_(requires_grad=False)
    return copied


def follow(copied: nn.Module, network: nn.Module, momentum: float) -> None:
    """Move a copy towards its network: m * copy + (1 - m) * network (He et al. 2020, equation 2).

    Running statistics of batch normalization are the copy's own.
    """
    average = get_ema_multi_avg_fn(momentum)  # type: ignore[no-untyped-call] # torch's
    average(list(copied.parameters()), list(network.parameters()), 0)


def momentum_at(progress: float, recipe: TrainRecipe) -> float:
    """Return the momentum of a moving copy: constant, or half a cosine to its final value.

    The cosine is that of Grill et al. 2020 (BYOL, section 3.3), used by Caron et al. 2021 too.
    """
    start, end = recipe.encoder_momentum, recipe.encoder_momentum_final
    if not end:
        return start
    return end - (end - start) * 0.5 * (1.0 + math.cos(math.pi * progress))


def spread_of(unit_rows: torch.Tensor) -> torch.Tensor:
    """Return the figure ``spread`` of vectors (b, d) of unit length."""
    return unit_rows.detach().var(dim=0, unbiased=False).sum().sqrt()


def top1_of(similarity: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the fraction of the rows (n, m) whose largest entry is at ``target`` (n,)."""
    return (similarity.detach().argmax(dim=1) == target).float().mean()


def own_rows(b: int, device: torch.device) -> torch.Tensor:
    """Return where the b rows of this process are in the batch of all processes, (b,) int64."""
    size = distributed.size()
    return torch.arange(distributed.rank(), b * size, size, device=device)
