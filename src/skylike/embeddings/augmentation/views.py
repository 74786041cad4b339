"""The augmentations of the paper in its order, batched: canvases go in, views of them come out.

Drawing and applying are apart: :mod:`~skylike.embeddings.augmentation.draws` makes the parameters
of each galaxy, :func:`apply` is a pure function of pixels and parameters. Both work on the device
of their tensors.

The order is that of the paper (section 2): extinction, flips and rotation, size, blur, shift and
crop, noise. What gives the same pixels is done where it costs least: flips, rotation, size and
shift are one bilinear resampling, which keeps surface brightness, as scikit-image's does (the flux
of a galaxy grows with the square of its size); the blur follows it on the crop and the margin that
it reads; factors on a band are applied last of all that is linear. Beyond the canvas is no light:
there scipy's ``reflect`` would mirror, which reaches the crop of a 152 pixel canvas only where a
size below 1, a far shift and a blur wider than 3.4 pixels meet.
"""

import dataclasses
from dataclasses import dataclass
from typing import Final, TypeVar

import torch

from skylike.embeddings.augmentation.blur import (
    blur,
    blur_margin,
    blur_radius,
    gaussian_kernels,
)
from skylike.embeddings.augmentation.draws import Draws
from skylike.embeddings.augmentation.foreground import Foreground, add_foreground
from skylike.embeddings.augmentation.geometry import grid_axes, resample
from skylike.embeddings.augmentation.photometry import (
    add_noise,
    band_factors,
    fade,
    gray,
    in_plane_order,
    noise_levels,
)
from skylike.embeddings.preprocess import Preprocessing

CPU_CHUNK: Final = 4
"""Galaxies of 152 pixels a side that a CPU handles at a time: what they need fits its cache.
Measured: 16 at a time take half as long again, 64 twice as long."""


@dataclass(frozen=True)
class _Steps:
    """What is done to each of n canvases, in pixels of the canvas, planes in its order."""

    columns: torch.Tensor  # (n, 2, 1, s), s = h + 2 m with the widest margin m
    rows: torch.Tensor  # (n, 2, s, 1)
    sigma: torch.Tensor  # (n, 3)
    kernels: torch.Tensor  # (n, 3, 2 m + 1)
    factor: torch.Tensor  # (n, 3, 1, 1)
    noise: torch.Tensor  # (n, 3)
    is_gray: torch.Tensor | None  # (n,)
    aperture: torch.Tensor | None  # (n,)


def apply(
    canvas: torch.Tensor,
    draws: Draws,
    preprocessing: Preprocessing,
    *,
    kind: str,
    generator: torch.Generator,
) -> torch.Tensor:
    """Make one view of each canvas.

    Parameters
    ----------
    canvas
        (n, 3, s, s) of any floating type, see :class:`Preprocessing`; NaN where not observed.
    kind
        ``"flux"`` or ``"rgb"``: what the canvases hold.
    generator
        For the noise, on the device of the tensors.

    Returns
    -------
    torch.Tensor
        (n, 3, h, w) float32 of the same kind; 0 where not observed.
    """
    n, size, bin_pix = len(canvas), preprocessing.input_size, preprocessing.bin_pix
    views = torch.empty(n, 3, size, size, device=canvas.device)
    at_once = CPU_CHUNK * bin_pix**2 if canvas.device.type == "cpu" else n
    if n == 0:
        return views
    with torch.inference_mode():  # less to do for each of many small operations
        steps = _split(_steps(draws, preprocessing, canvas.shape[-1], kind), at_once)
        objects = None if draws.foreground is None else _split(draws.foreground, at_once)
        parts = zip(torch.split(canvas, at_once), torch.split(views, at_once), steps, strict=True)
        for number, (pixels, view, step) in enumerate(parts):
            observed = _geometry_and_blur(pixels.to(torch.float32), step, view)
            view.mul_(step.factor)
            if objects is not None:
                add_foreground(view, objects[number], kind=kind, bin_pix=bin_pix)
            _finish(view, step, observed, kind=kind, generator=generator)
    return views


_Record = TypeVar("_Record", _Steps, Foreground)


def _split(record: _Record, size: int) -> list[_Record]:
    """Split all tensors of a record alike."""
    values = {f.name: getattr(record, f.name) for f in dataclasses.fields(record)}
    parts = {k: torch.split(v, size) for k, v in values.items() if isinstance(v, torch.Tensor)}
    rows = zip(*parts.values(), strict=True)
    return [dataclasses.replace(record, **dict(zip(parts, row, strict=True))) for row in rows]


def _steps(draws: Draws, preprocessing: Preprocessing, canvas_size: int, kind: str) -> _Steps:
    bin_pix = preprocessing.bin_pix
    sigma = in_plane_order(draws.blur_sigma, kind) / bin_pix
    margin = blur_margin(sigma, draws.blur_limit / bin_pix)
    columns, rows = grid_axes(
        draws.affine,
        draws.shift / bin_pix,
        size=preprocessing.input_size + 2 * margin,
        canvas_size=canvas_size,
    )
    return _Steps(
        columns=columns,
        rows=rows,
        sigma=sigma,
        kernels=gaussian_kernels(sigma, margin),
        factor=band_factors(draws.reddening, draws.gain, kind)[:, :, None, None],
        noise=noise_levels(draws.noise_sigma / bin_pix, kind),
        is_gray=draws.is_gray,
        aperture=None if draws.aperture is None else draws.aperture / bin_pix,
    )


def _geometry_and_blur(
    canvas: torch.Tensor, steps: _Steps, view: torch.Tensor
) -> torch.Tensor | None:
    """Fill ``view`` (n, 3, h, h); return where it was observed, if not everywhere."""
    if canvas.device.type != "cpu":  # to ask which planes are blurred would make the device wait
        wide, observed = resample(canvas, steps.rows + steps.columns)
        kernels = steps.kernels.flatten(0, 1)
        view.copy_(blur(wide.flatten(0, 1), kernels).view_as(view))
        margin = kernels.shape[1] // 2
    else:
        widths = steps.sigma.flatten().tolist()
        margin, widest = blur_radius(max(widths)), steps.kernels.shape[-1] // 2
        used = slice(widest - margin, steps.rows.shape[2] - (widest - margin))
        wide, observed = resample(canvas, steps.rows[:, :, used] + steps.columns[..., used])
        view.copy_(_middle(wide, margin))
        if margin > 0:
            blurred = torch.tensor([number for number, width in enumerate(widths) if width > 0])
            taps = steps.kernels[:, :, widest - margin : widest + margin + 1].flatten(0, 1)
            view.flatten(0, 1)[blurred] = blur(
                wide.flatten(0, 1).index_select(0, blurred), taps.index_select(0, blurred)
            )
    return None if observed is None else _middle(observed, margin)


def _middle(wide: torch.Tensor, margin: int) -> torch.Tensor:
    inner = slice(margin, wide.shape[-1] - margin)
    return wide[:, :, inner, inner]


def _finish(
    view: torch.Tensor,
    steps: _Steps,
    observed: torch.Tensor | None,
    *,
    kind: str,
    generator: torch.Generator,
) -> None:
    """Make gray, fade and add noise, in place."""
    if steps.is_gray is not None:
        view.copy_(gray(view, steps.is_gray, observed))
    if steps.aperture is not None:
        view.copy_(fade(view, steps.aperture, kind))
    add_noise(view, steps.noise, kind, generator)
    if observed is not None:
        view *= observed
    if kind == "rgb":
        view.clamp_(0.0, 1.0)
