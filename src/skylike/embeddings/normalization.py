"""Batch normalization with statistics of parts of a batch, or of the batch of all processes."""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from typing_extensions import override

from skylike.errors import SettingsError

Gather = Callable[[torch.Tensor], torch.Tensor]
"""Joins the rows (n, ...) of all processes to (processes * n, ...); gradients pass through it."""


class _GroupedBatchNorm(_BatchNorm):
    """Batch normalization whose statistics, in training, are those of groups of the batch.

    Row i belongs to group ``i % groups``. It stands for the separate statistics that each GPU has
    in He et al. 2020 (MoCo, section 3.3): with those of the whole batch the network tells the
    positive key by the statistics that it shares with the query. With ``groups`` 1, or in
    evaluation, it is torch's own; parameters and buffers are the same ones. With ``gather``,
    statistics are those of the rows of all processes.
    """

    groups: int = 1
    gather: Gather | None = None
    running_mean: torch.Tensor
    running_var: torch.Tensor
    num_batches_tracked: torch.Tensor

    @override
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if self.training and self.gather is not None:
            return self._forward_of_all(input, self.gather)
        if self.training and self.groups > 1:
            return self._forward_by_group(input)
        return super().forward(input)

    def _forward_by_group(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 - torch's name
        b, c, *rest = input.shape
        g = self.groups
        if b % g:
            raise SettingsError(f"a batch of {b} does not divide into {g} groups of normalization")
        mean, variance = self.running_mean.repeat(g), self.running_var.repeat(g)  # (g * c,)
        output = functional.batch_norm(
            input.reshape(b // g, g * c, *rest),
            mean,
            variance,
            self.weight.repeat(g),
            self.bias.repeat(g),
            training=True,
            momentum=self.momentum or 0.0,
            eps=self.eps,
        ).reshape(input.shape)
        with torch.no_grad():
            self.running_mean.copy_(mean.view(g, c).mean(0))
            self.running_var.copy_(variance.view(g, c).mean(0))
            self.num_batches_tracked.add_(1)
        if input.ndim == 4 and input.is_contiguous(memory_format=torch.channels_last):
            return output.contiguous(memory_format=torch.channels_last)
        return output

    def _forward_of_all(self, input: torch.Tensor, gather: Gather) -> torch.Tensor:  # noqa: A002 - torch's name
        others = [axis for axis in range(input.ndim) if axis != 1]
        variance, mean = torch.var_mean(_exact(input), dim=others, correction=0)  # (c,) each
        means = gather(mean[None])  # (processes, c)
        mean = means.mean(0)
        # Each process has as many values: the mean variance, and the variance of the means.
        variance = gather(variance[None]).mean(0) + (means - mean).square().mean(0)
        n = len(means) * input.numel() // input.shape[1]
        with torch.no_grad():
            m = self.momentum or 0.0
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), m)
            self.running_var.lerp_((variance * (n / (n - 1))).to(self.running_var.dtype), m)
            self.num_batches_tracked.add_(1)
        slope = self.weight * torch.rsqrt(variance + self.eps)  # (c,)
        shape = (1, -1, *[1] * (input.ndim - 2))
        output = _exact(input) * slope.view(shape) + (self.bias - mean * slope).view(shape)
        return output.to(input.dtype)


def _exact(values: torch.Tensor) -> torch.Tensor:
    return values if values.dtype == torch.float64 else values.float()


class GroupedBatchNorm2d(_GroupedBatchNorm, nn.BatchNorm2d):
    """Of images (b, c, h, w); see :func:`set_normalization_groups`."""


class GroupedBatchNorm1d(_GroupedBatchNorm, nn.BatchNorm1d):
    """Of rows (b, c); see :func:`set_normalization_groups`."""


def set_normalization_groups(
    network: nn.Module, groups: int, *, gather: Gather | None = None
) -> None:
    """Set how all batch normalization of a network takes its statistics.

    Parameters
    ----------
    groups
        Parts of the batch (of this process) with statistics of their own: row i is in part
        ``i % groups``.
    gather
        Takes them from the rows of all processes instead; goes with ``groups`` 1.
    """
    for module in network.modules():
        if isinstance(module, _GroupedBatchNorm):
            module.groups, module.gather = groups, gather
