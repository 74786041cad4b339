"""The polar branch: what stays the same when a galaxy is turned, computed without training.

A convolution has to learn from examples that a galaxy and its rotated copy are one; with a few
thousand images it does not get far. Around the center of a galaxy a rotation is a shift of the
angle, which the magnitudes of a Fourier series along the angle do not see: flattening, arms,
companions and asymmetry each have their harmonics. What these say about galaxies is weighed by a
:class:`Readout`, fitted without labels to the augmentations.

On Galaxy Zoo 1 this branch alone finds more of every class than networks of the same size that were
trained by contrast for minutes (docs/model-card.md).
"""

import math
from typing import Final

import torch
from torch import nn
from torch.nn import functional
from typing_extensions import override

from skylike.embeddings.resnet import ResNet, Stem

RADII: Final = 20
"""Circles around the center, evenly in the logarithm of the radius."""

INNER_RADIUS: Final = 1.0
"""Radius of the first circle, in pixels of the input; the last one lies 2 pixels off its edge."""

ANGLES: Final = 64
"""Samples on a circle."""

HARMONICS: Final = 9
"""Harmonics 0 to 8 of the brightness along a circle."""

CROSS_HARMONICS: Final = 6
"""Harmonics 1 to 6 are compared between neighboring circles: straight bars or winding arms."""

CENTERING_SIGMAS: Final = (9.0, 7.0, 6.0, 5.0, 5.0, 5.0, 5.0, 5.0)
"""Widths, in pixels of the input, of the Gaussian window that follows the light: wide at first, so
that a galaxy 10 pixels off is found (the corner of the paper's jitter), then that of a bulge."""

FARTHEST_CENTER: Final = 12.0
"""Pixels that the center may lie off the middle, along each axis."""

_FAINTEST_COLOR: Final = 0.02
"""Mean brightness of a circle, of at most 1, below which its color is noise."""


class PolarSpectrum(nn.Module):
    """Harmonics of the brightness on circles around the galaxy: images (n, 3, h, h) to (n, p).

    The circles lie around the center of the light near the middle (:func:`center_of_light`): around
    another point the same galaxy has other harmonics.

    For each circle the square roots of the amplitudes of harmonics 0 to 8 of the mean of the
    channels; for each pair of neighboring circles the real part and the size of the imaginary part
    of their cross spectrum in harmonics 1 to 6; for each circle its color. The median of each
    channel, the sky, is subtracted first, and brightness is taken relative to that of the whole, so
    that neither counts.

    Parameters
    ----------
    size
        Side h of the input, at least 32.

    Attributes
    ----------
    outputs
        p.
    channel_scale
        (3,) what the input's channels were divided by (:attr:`Preprocessing.scale`), to undo it.
    """

    channel_scale: torch.Tensor
    grid: torch.Tensor
    cosines: torch.Tensor
    sines: torch.Tensor

    outputs: Final = RADII * HARMONICS + 2 * (RADII - 1) * CROSS_HARMONICS + 3 * RADII

    def __init__(self, size: int) -> None:
        super().__init__()
        radius = torch.logspace(
            math.log10(INNER_RADIUS), math.log10(size / 2 - 2), RADII, dtype=torch.float64
        )
        angle = torch.arange(ANGLES, dtype=torch.float64) * (2 * math.pi / ANGLES)
        x, y = radius[:, None] * torch.cos(angle), radius[:, None] * torch.sin(angle)
        waves = angle[:, None] * torch.arange(HARMONICS)  # (angles, harmonics)
        # A matrix product, not an FFT: as fast for 9 harmonics, and ONNX has it.
        constants = {
            "grid": torch.stack([x, y], -1)[None] / (size / 2),  # (1, radii, angles, 2)
            "cosines": torch.cos(waves) / ANGLES,
            "sines": -torch.sin(waves) / ANGLES,
        }
        for name, values in constants.items():
            self.register_buffer(name, values.to(torch.float32), persistent=False)
        self.register_buffer("channel_scale", torch.ones(3))

    @override
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        with torch.autocast(images.device.type, enabled=False):
            return self._describe(images.to(torch.float32))

    def _describe(self, images: torch.Tensor) -> torch.Tensor:
        images = (images * self.channel_scale[:, None, None]).contiguous()  # (n, 3, h, h)
        images = images - _median(images.flatten(2))[:, :, None, None]  # less the sky
        center = center_of_light(images.mean(dim=1)) * (2.0 / images.shape[-1])  # (n, 2)
        grid = self.grid + center[:, None, None, :]  # (n, r, a, 2)
        circles = functional.grid_sample(images, grid, align_corners=False)  # (n, 3, r, a)
        light = circles.mean(dim=1)  # (n, r, a)
        total = torch.linalg.vector_norm(light.clamp(min=0.0).flatten(1), dim=1)  # (n,)
        light = light * (20.0 / (total + 1e-3))[:, None, None]
        real, imaginary = light @ self.cosines, light @ self.sines  # (n, r, harmonics)
        amplitude = torch.sqrt(real**2 + imaginary**2 + 1e-12)
        parts = [
            torch.sqrt(amplitude + 1e-4),
            *_cross_spectrum(real, imaginary),
            _circle_colors(circles),
        ]
        return torch.cat([part.flatten(1) for part in parts], dim=1)  # (n, p)


def center_of_light(light: torch.Tensor) -> torch.Tensor:
    """Find where galaxies in the middle of their images are centered.

    The mean position of the light within a Gaussian window, to which the window moves, eight times:
    what the Sloan survey's adaptive moments do at a fixed width (Bernstein & Jarvis 2002).

    Parameters
    ----------
    light
        Brightness above the sky, (n, h, h); below it, it counts as none.

    Returns
    -------
    Tensor
        (n, 2) x and y, in pixels from the middle, within :data:`FARTHEST_CENTER`; 0 without light.
    """
    light = light.clamp(min=0.0)
    side = light.shape[-1]
    axis = torch.arange(side, dtype=light.dtype, device=light.device) - (side - 1) / 2  # (h,)
    center = torch.zeros(len(light), 2, dtype=light.dtype, device=light.device)
    for sigma in CENTERING_SIGMAS:
        window = torch.exp(-0.5 * ((axis - center[:, :, None]) / sigma) ** 2)  # (n, 2, h)
        seen = light * window[:, 1, :, None] * window[:, 0, None, :]  # (n, h, h)
        along = torch.stack([seen.sum(dim=1), seen.sum(dim=2)], dim=1)  # (n, 2, h)
        center = (along * axis).sum(dim=2) / (seen.sum(dim=(1, 2))[:, None] + 1e-6)  # (n, 2)
        center = center.clamp(-FARTHEST_CENTER, FARTHEST_CENTER)
    return center


def _median(values: torch.Tensor) -> torch.Tensor:
    """Return the lower median along the last axis; by sorting, which ONNX has."""
    return values.sort(dim=-1).values[..., (values.shape[-1] - 1) // 2]


def _cross_spectrum(
    real: torch.Tensor, imaginary: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Compare the harmonics of neighboring circles, (n, r - 1, cross harmonics) each.

    The phase between them is 0 where a pattern is straight and grows with its winding; its sign
    turns over in a mirror, so that it does not count.
    """
    here = slice(1, 1 + CROSS_HARMONICS)
    a, b = real[..., here], imaginary[..., here]
    along = a[:, 1:] * a[:, :-1] + b[:, 1:] * b[:, :-1]
    across = b[:, 1:] * a[:, :-1] - a[:, 1:] * b[:, :-1]
    size = torch.sqrt(torch.sqrt(along**2 + across**2 + 1e-20) + 1e-8)
    weight = 0.5 / (size * (size.mean(dim=1, keepdim=True) + 0.05))
    return along * weight, across.abs() * weight


def _circle_colors(circles: torch.Tensor) -> torch.Tensor:
    """Return the mean of each channel on each circle against that of all, (n, 3, r)."""
    mean = circles.mean(dim=3)  # (n, 3, r)
    gray = mean.mean(dim=1, keepdim=True)  # (n, 1, r)
    return 0.3 * (mean - gray) / gray.clamp(min=_FAINTEST_COLOR)


class Readout(nn.Module):
    """A linear map of raw features (n, r) to embeddings (n, d), fitted after training.

    Until it is fitted it cuts the raw features to their first d.
    """

    center: torch.Tensor
    matrix: torch.Tensor

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.register_buffer("center", torch.zeros(inputs))
        self.register_buffer("matrix", torch.eye(inputs, outputs))

    @override
    def forward(self, raw: torch.Tensor) -> torch.Tensor:
        with torch.autocast(raw.device.type, enabled=False):
            return (raw.to(torch.float32) - self.center) @ self.matrix  # (n, d)


class PolarResNet(ResNet):
    """A residual network with the polar branch beside it and a readout behind both.

    The projection head ``fc`` sees what the convolutions pool, as in :class:`ResNet`; the features
    are the readout of the pooled values and the polar spectrum together.

    Parameters
    ----------
    size
        Side of the input in its own pixels.
    readout
        d, the length of the features.

    Attributes
    ----------
    pooled_dimension
        Inputs of ``fc``.
    """

    def __init__(
        self, architecture: str, *, size: int, readout: int, width: float = 1.0, stem: Stem
    ) -> None:
        super().__init__(architecture, width=width, stem=stem)
        self.polar = PolarSpectrum(size)
        self.readout = Readout(self.pooled_dimension + self.polar.outputs, readout)
        self.dimension = readout

    def raw_features(self, images: torch.Tensor, pooled: torch.Tensor) -> torch.Tensor:
        """Return what the readout weighs, (n, pooled + p)."""
        return torch.cat([pooled.to(torch.float32), self.polar(images)], dim=1)

    @override
    def features_of(self, images: torch.Tensor, pooled: torch.Tensor) -> torch.Tensor:
        return self.readout(self.raw_features(images, pooled))  # type: ignore[no-any-return] # nn.Module is untyped
