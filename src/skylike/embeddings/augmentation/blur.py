"""Gaussian blur, each plane with a width of its own."""

import math
from typing import Final

import torch
from torch.nn import functional

TRUNCATE: Final = 4.0
"""Widths at which a kernel ends: the default of scipy and scikit-image."""

_NARROW: Final = 0.05
"""Below this width, in pixels, the nearest neighbor's weight, exp(-200), is 0 in float32."""


_SPLIT_FROM: Final = 80
"""Side from which on the zeros of a whole matrix cost more than products of halves (measured)."""


def blur_radius(sigma: float) -> int:
    """Return how many pixels around it a blurred pixel depends on, as in scipy."""
    return int(TRUNCATE * sigma + 0.5)


def gaussian_kernels(sigma: torch.Tensor, margin: int) -> torch.Tensor:
    """Return the weights of Gaussians by offset, truncated as in scipy.

    Parameters
    ----------
    sigma
        (...) pixels; 0 is a single 1.
    margin
        Largest offset, at least :func:`blur_radius` of the widest.

    Returns
    -------
    torch.Tensor
        (..., 2 ``margin`` + 1), sum 1.
    """
    offset = torch.arange(-margin, margin + 1, device=sigma.device, dtype=sigma.dtype)
    sigma = sigma[..., None]
    weights = torch.exp(-0.5 * (offset / sigma.clamp(min=_NARROW)) ** 2)
    weights = weights * (offset.abs() <= torch.floor(TRUNCATE * sigma + 0.5))
    return weights / weights.sum(dim=-1, keepdim=True)


def blur(planes: torch.Tensor, kernels: torch.Tensor) -> torch.Tensor:
    """Blur each plane along both axes and cut off the margin that the blur has read.

    Parameters
    ----------
    planes
        (k, s, s).
    kernels
        (k, 2 m + 1), symmetric, one for each plane.

    Returns
    -------
    torch.Tensor
        (k, h, h) with h = s - 2 m: the middle of what ``scipy.ndimage.gaussian_filter`` makes of
        the plane.

    Notes
    -----
    A blur along an axis is a matrix, and batches of small matrix products are faster than a
    convolution with a kernel for each plane, on CPU and GPU alike. Each half of a large output
    depends on that half and the margins of the input, by the same matrix.
    """
    margin = kernels.shape[1] // 2
    size = planes.shape[-1] - 2 * margin
    block = size // 2 if size >= _SPLIT_FROM and size % 2 == 0 else size
    reach = block + 2 * margin
    weights = _toeplitz(kernels, block)  # (k, block, reach)
    rows = planes.new_empty(len(planes), size, planes.shape[-1])
    blurred = planes.new_empty(len(planes), size, size)
    for start in range(0, size, block):
        torch.bmm(weights, planes[:, start : start + reach], out=rows[:, start : start + block])
    weights = weights.transpose(1, 2)
    for start in range(0, size, block):
        out = blurred[:, :, start : start + block]
        torch.bmm(rows[:, :, start : start + reach], weights, out=out)
    return blurred


def _toeplitz(kernels: torch.Tensor, rows: int) -> torch.Tensor:
    """Return the matrices whose row i holds a kernel from column i on, (k, rows, rows + 2 r)."""
    length = kernels.shape[1] + rows - 1
    padded = functional.pad(kernels, (rows - 1, rows - 1))
    # Windows that move one to the right are the rows from the last to the first.
    return padded.unfold(1, length, 1).flip(1)


def blur_margin(sigma: torch.Tensor, limit: float) -> int:
    """Return a margin that is wide enough for these widths.

    Parameters
    ----------
    sigma
        Any shape, pixels.
    limit
        What none of them exceeds, or infinity.

    Notes
    -----
    A CPU looks, and reads no more than it needs; a GPU would have to wait for the answer, and takes
    the limit where it is known.
    """
    if sigma.device.type == "cpu" or math.isinf(limit):
        limit = float(sigma.max()) if sigma.numel() else 0.0
    return blur_radius(limit)
