"""Residual networks with torchvision's parameter names, so that published weights load by name.

Written from He et al. 2016 (CVPR), with the stride of a bottleneck on its 3x3 convolution ("v1.5",
as torchvision has it). A width factor thins all channels; at width 1 names and shapes are
torchvision's.
"""

from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import nn
from typing_extensions import override

from skylike.embeddings.normalization import GroupedBatchNorm2d
from skylike.errors import SettingsError

Stem = Literal["standard", "strided", "small"]
"""``standard``: 7x7 of stride 2, then 3x3 pooling of stride 2; for inputs of 96 pixels and more.
``strided``: one 3x3 of stride 2, for about 48. ``small``: one 3x3 of stride 1, as He et al. 2016
(section 4.2) use for 32."""


@dataclass(frozen=True)
class _Layout:
    blocks: tuple[int, int, int, int]
    is_bottleneck: bool


_LAYOUTS: Final = {
    "resnet18": _Layout((2, 2, 2, 2), is_bottleneck=False),
    "resnet34": _Layout((3, 4, 6, 3), is_bottleneck=False),
    "resnet50": _Layout((3, 4, 6, 3), is_bottleneck=True),
}
"""He et al. 2016, table 1."""

ARCHITECTURES: Final = tuple(_LAYOUTS)
"""Names that :class:`ResNet` knows."""

_CHANNELS_STEP: Final = 8
"""Channels are a multiple of this: CPU and GPU kernels work in blocks of 8 or 16 channels."""


def _convolution(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, stride=stride, padding=size // 2, bias=False)


class _Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut (He et al. 2016, figure 2)."""

    expansion = 1

    def __init__(
        self, inputs: int, channels: int, stride: int, downsample: nn.Module | None
    ) -> None:
        super().__init__()
        self.conv1 = _convolution(inputs, channels, 3, stride)
        self.bn1 = GroupedBatchNorm2d(channels)
        self.conv2 = _convolution(channels, channels, 3)
        self.bn2 = GroupedBatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    @override
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        shortcut = images if self.downsample is None else self.downsample(images)
        images = self.relu(self.bn1(self.conv1(images)))
        return self.relu(self.bn2(self.conv2(images)) + shortcut)  # type: ignore[no-any-return] # nn.Module is untyped


class _Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions beside a shortcut (He et al. 2016, figure 5)."""

    expansion = 4

    def __init__(
        self, inputs: int, channels: int, stride: int, downsample: nn.Module | None
    ) -> None:
        super().__init__()
        self.conv1 = _convolution(inputs, channels, 1)
        self.bn1 = GroupedBatchNorm2d(channels)
        self.conv2 = _convolution(channels, channels, 3, stride)
        self.bn2 = GroupedBatchNorm2d(channels)
        self.conv3 = _convolution(channels, channels * self.expansion, 1)
        self.bn3 = GroupedBatchNorm2d(channels * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    @override
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        shortcut = images if self.downsample is None else self.downsample(images)
        images = self.relu(self.bn1(self.conv1(images)))
        images = self.relu(self.bn2(self.conv2(images)))
        return self.relu(self.bn3(self.conv3(images)) + shortcut)  # type: ignore[no-any-return] # nn.Module is untyped


class ResNet(nn.Module):
    """A residual network: images (n, c, h, w) to features (n, d) to the outputs of ``fc``.

    Parameters
    ----------
    architecture
        One of :data:`ARCHITECTURES`.
    width
        Factor on all channels, rounded to a multiple of 8.
    outputs
        Outputs of the last linear layer ``fc``; 1000 is ImageNet's, as torchvision has it. Another
        module may be put in its place.

    Attributes
    ----------
    dimension
        d, the length of the features: 512 (18, 34) or 2048 (50) times the width.

    Raises
    ------
    SettingsError
        The architecture is unknown or the width is not above 0.
    """

    def __init__(
        self, architecture: str, *, width: float = 1.0, stem: Stem = "standard", outputs: int = 1000
    ) -> None:
        super().__init__()
        if architecture not in _LAYOUTS:
            raise SettingsError(
                f"architecture {architecture!r} is unknown; use one of {', '.join(ARCHITECTURES)}"
            )
        if not width > 0:
            raise SettingsError(f"width {width} is not above 0")
        layout = _LAYOUTS[architecture]
        self._block: type[_Block | _Bottleneck] = _Bottleneck if layout.is_bottleneck else _Block
        base = max(_CHANNELS_STEP, _CHANNELS_STEP * round(64 * width / _CHANNELS_STEP))
        self.conv1 = (
            nn.Conv2d(3, base, 7, stride=2, padding=3, bias=False)
            if stem == "standard"
            else _convolution(3, base, 3, stride=2 if stem == "strided" else 1)
        )
        self.bn1 = GroupedBatchNorm2d(base)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1) if stem == "standard" else nn.Identity()
        self._inputs = base
        self.layer1 = self._layer(base, layout.blocks[0], stride=1)
        self.layer2 = self._layer(2 * base, layout.blocks[1], stride=2)
        self.layer3 = self._layer(4 * base, layout.blocks[2], stride=2)
        self.layer4 = self._layer(8 * base, layout.blocks[3], stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.pooled_dimension: int = 8 * base * self._block.expansion
        self.dimension: int = self.pooled_dimension
        self.fc: nn.Module = nn.Linear(self.pooled_dimension, outputs)
        self._initialize()

    def _layer(self, channels: int, blocks: int, *, stride: int) -> nn.Sequential:
        outputs = channels * self._block.expansion
        downsample = None
        if stride != 1 or self._inputs != outputs:
            downsample = nn.Sequential(
                _convolution(self._inputs, outputs, 1, stride), GroupedBatchNorm2d(outputs)
            )
        first = self._block(self._inputs, channels, stride, downsample)
        self._inputs = outputs
        rest = [self._block(outputs, channels, 1, None) for _ in range(blocks - 1)]
        return nn.Sequential(first, *rest)

    def _initialize(self) -> None:
        # He et al. 2015 (ICCV), equation 10: keeps the variance of the signal through ReLU layers.
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Return the embeddings before they have unit length.

        Parameters
        ----------
        images
            (n, 3, h, w), normalized as in training.

        Returns
        -------
        torch.Tensor
            (n, d).
        """
        return self.features_of(images, self.pooled(images))

    def features_of(
        self,
        images: torch.Tensor,  # noqa: ARG002 - networks with a branch of their own look at them
        pooled: torch.Tensor,
    ) -> torch.Tensor:
        """Return the features (n, d) of images whose pooled values are known: these themselves."""
        return pooled

    def pooled(self, images: torch.Tensor) -> torch.Tensor:
        """Return the representation before ``fc``: what the paper searches with.

        Parameters
        ----------
        images
            (n, 3, h, w), normalized as in training.

        Returns
        -------
        torch.Tensor
            (n, d), not negative (a ReLU and a mean come last).
        """
        images = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        images = self.layer4(self.layer3(self.layer2(self.layer1(images))))  # (n, d, h', w')
        return torch.flatten(self.avgpool(images), 1)  # (n, d)

    @override
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.fc(self.pooled(images))  # type: ignore[no-any-return] # nn.Module is untyped
