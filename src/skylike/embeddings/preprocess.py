"""From pixels as they are stored to what a network sees: canvas, crop, rendering, normalization."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch

from skylike.bands import CROP_SIZE_PIX, CUTOUT_SIZE_PIX, PIXEL_SCALE_ARCSEC
from skylike.embeddings.recipe import InputKind, TrainRecipe
from skylike.errors import CheckpointError, SettingsError
from skylike.images.render import (
    LEGACY_ASINH,
    RENDERINGS,
    Rendering,
    invert_rgb,
    render_rgb,
)

BANDS: Final = ("g", "r", "z")
"""Bands of a flux cutout, in the order of its planes."""

KINDS: Final = ("flux", "rgb")
"""Kinds of cutouts: nanomaggies with NaN where not observed, or 8-bit R, G, B."""


@dataclass(frozen=True)
class Preprocessing:
    """How pixels become the input of one encoder; stored with it.

    A *canvas* is a whole cutout after averaging pixels: (3, s, s) with s = 152 / bin_pix,
    nanomaggies with NaN where nothing was observed, or R, G, B in [0, 1].
    """

    input: InputKind
    """What the network sees; flux cutouts are rendered for ``rgb``."""

    crop_pix: int = CROP_SIZE_PIX
    """Side of the crop, in pixels of 0.262 arcsec, before averaging."""

    bin_pix: int = 1
    """Side of the squares of pixels that are averaged into one."""

    pixel_scale: float = PIXEL_SCALE_ARCSEC
    """Scale of the cutouts, arcsec per pixel."""

    rendering: Rendering = LEGACY_ASINH
    """From flux to color, where ``input`` is ``rgb``, and back."""

    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Subtracted from each channel: the mean of a sample of the training crops."""

    scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Each channel is divided by this: the standard deviation of that sample."""

    @property
    def canvas_size(self) -> int:
        """Side of a canvas in its own pixels."""
        return CUTOUT_SIZE_PIX // self.bin_pix

    @property
    def input_size(self) -> int:
        """Side of what the network sees, in its own pixels."""
        return self.crop_pix // self.bin_pix


def preprocessing_of(recipe: TrainRecipe) -> Preprocessing:
    """Return the preprocessing of a recipe, before mean and scale are measured."""
    return Preprocessing(
        input=recipe.input,
        crop_pix=recipe.crop_pix,
        bin_pix=recipe.bin_pix,
        rendering=RENDERINGS[recipe.rendering],
    )


def preprocessing_from_dict(values: Mapping[str, object]) -> Preprocessing:
    """Read back what ``dataclasses.asdict`` made of a :class:`Preprocessing`, through JSON.

    Raises
    ------
    CheckpointError
        A key is unknown or missing, or the rendering is one that this version does not have.
    """
    known = {f.name for f in dataclasses.fields(Preprocessing)}
    if set(values) != known:
        raise CheckpointError(
            f"the encoder's preprocessing has keys {sorted(values)}, expected {sorted(known)}; "
            "it was made by another version of skylike"
        )
    plain = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    try:
        plain["rendering"] = Rendering(**values["rendering"])  # type: ignore[arg-type] # JSON
    except (TypeError, SettingsError) as error:
        raise CheckpointError(
            f"the encoder's rendering is not known to this version ({error})"
        ) from error
    return Preprocessing(**plain)  # type: ignore[arg-type] # JSON; the keys are checked above


def to_canvas(pixels: torch.Tensor, kind: str, preprocessing: Preprocessing) -> torch.Tensor:
    """Bring stored cutouts to the canvas of an encoder.

    Parameters
    ----------
    pixels
        (n, 3, 152, 152): for ``flux`` float nanomaggies in g, r, z with NaN where not observed; for
        ``rgb`` uint8 R, G, B.
    kind
        ``"flux"`` or ``"rgb"``.

    Returns
    -------
    torch.Tensor
        (n, 3, s, s) float32.

    Raises
    ------
    SettingsError
        The shape or the kind is not one of these.
    """
    expected = (len(BANDS), CUTOUT_SIZE_PIX, CUTOUT_SIZE_PIX)
    if kind not in KINDS or tuple(pixels.shape[1:]) != expected:
        raise SettingsError(
            f"images of kind {kind!r} and shape {tuple(pixels.shape)}: "
            f"expected flux or rgb, {expected}"
        )
    canvas = pixels.to(torch.float32)
    if kind == "rgb":
        canvas = canvas / 255.0
    return _binned(canvas, preprocessing.bin_pix)


def _binned(canvas: torch.Tensor, bin_pix: int) -> torch.Tensor:
    """Average squares of pixels, over those that were observed; NaN where none was."""
    if bin_pix == 1:
        return canvas
    if not bool(torch.isnan(canvas.sum())):  # one fast look at all pixels
        return _mean_of_squares(canvas, bin_pix)
    missing = torch.isnan(canvas)
    share = _mean_of_squares((~missing).to(canvas.dtype), bin_pix)
    total = _mean_of_squares(canvas.masked_fill(missing, 0.0), bin_pix)
    return total / share  # 0 / 0 is the NaN that is wanted


def _mean_of_squares(canvas: torch.Tensor, side: int) -> torch.Tensor:
    """Average squares of pixels: ``avg_pool2d``, which takes five times as long on a processor."""
    height, width = (size // side * side for size in canvas.shape[-2:])
    rows = canvas[..., 0:height:side, :width]
    for offset in range(1, side):
        rows = rows + canvas[..., offset:height:side, :width]
    squares = rows[..., 0::side]
    for offset in range(1, side):
        squares = squares + rows[..., offset::side]
    return squares / side**2


def center_crop(canvas: torch.Tensor, preprocessing: Preprocessing) -> torch.Tensor:
    """Cut the middle of canvases (n, 3, s, s) to the input size of the network."""
    size = preprocessing.input_size
    start = (canvas.shape[-1] - size) // 2
    return canvas[:, :, start : start + size, start : start + size]


def crop_window(preprocessing: Preprocessing) -> slice:
    """Return the rows of a whole cutout, and columns alike, that the network's input is made of."""
    start = (preprocessing.canvas_size - preprocessing.input_size) // 2 * preprocessing.bin_pix
    return slice(start, start + preprocessing.input_size * preprocessing.bin_pix)


def to_crops(pixels: torch.Tensor, kind: str, preprocessing: Preprocessing) -> torch.Tensor:
    """Bring the middle of cutouts to what the middle of their canvas is, without the rest.

    Parameters
    ----------
    pixels
        (n, 3, w, w) of :func:`crop_window`, otherwise as for :func:`to_canvas`.

    Returns
    -------
    torch.Tensor
        (n, 3, h, w) float32: ``center_crop(to_canvas(...))``, bit for bit.
    """
    crops = pixels.to(torch.float32)
    if kind == "rgb":
        crops = crops / 255.0
    return _binned(crops, preprocessing.bin_pix)


def to_colors(crops: torch.Tensor, kind: str, preprocessing: Preprocessing) -> torch.Tensor:
    """Turn crops of one kind into what the encoder's input is: flux, or R, G, B in [0, 1].

    Not observed becomes 0. A picture has the viewer's rendering: it becomes flux, or goes through
    flux to another rendering, by the approximate inverse of that.
    """
    crops = torch.nan_to_num(crops, nan=0.0)
    rendering = preprocessing.rendering
    if kind == preprocessing.input and (kind == "flux" or rendering.name == LEGACY_ASINH.name):
        return crops
    flux = crops if kind == "flux" else invert_rgb(crops, torch)
    if preprocessing.input == "flux":
        return torch.as_tensor(flux)
    return torch.as_tensor(render_rgb(flux, xp=torch, rendering=rendering))


def normalize(colors: torch.Tensor, preprocessing: Preprocessing) -> torch.Tensor:
    """Subtract the mean and divide by the scale of each channel."""
    mean = colors.new_tensor(preprocessing.mean)[:, None, None]  # (3, 1, 1)
    scale = colors.new_tensor(preprocessing.scale)[:, None, None]
    return (colors - mean) / scale


def to_input(canvas: torch.Tensor, kind: str, preprocessing: Preprocessing) -> torch.Tensor:
    """Turn canvases of one kind into the network's input, unaugmented: (n, 3, h, w) float32."""
    return normalize(
        to_colors(center_crop(canvas, preprocessing), kind, preprocessing), preprocessing
    )


def measure_normalization(colors: torch.Tensor, preprocessing: Preprocessing) -> Preprocessing:
    """Return the preprocessing with mean and scale measured on colors (n, 3, h, w).

    A channel that never varies (a band that no image has) keeps the scale 1.
    """
    flat = colors.to(torch.float64).transpose(0, 1).flatten(1)  # (3, n * h * w)
    scale = flat.std(dim=1)
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    mean = flat.mean(dim=1)
    return dataclasses.replace(
        preprocessing,
        mean=(float(mean[0]), float(mean[1]), float(mean[2])),
        scale=(float(scale[0]), float(scale[1]), float(scale[2])),
    )
