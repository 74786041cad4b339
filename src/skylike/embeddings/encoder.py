"""An encoder ready for use: from cutouts to embeddings, in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from skylike.bands import CUTOUT_SIZE_PIX
from skylike.embeddings.preprocess import (
    BANDS,
    KINDS,
    Preprocessing,
    crop_window,
    normalize,
    to_colors,
    to_crops,
)
from skylike.embeddings.recipe import InputKind, TrainRecipe
from skylike.embeddings.resnet import ResNet
from skylike.embeddings.store import Layer
from skylike.errors import SettingsError
from skylike.images.read import standardize

LAYERS: Final[tuple[Layer, ...]] = ("features", "projection")
"""Layers that give embeddings, in the order in which the network computes them."""

Precision = Literal["float32", "bf16"]
"""What a network computes in; rows come out as float32 either way."""

PRECISIONS: Final[tuple[Precision, ...]] = ("float32", "bf16")
"""Names that :func:`skylike.embeddings.checkpoint.load_encoder` knows."""


@dataclass(frozen=True)
class TrainedEncoder:
    """An encoder ready for use."""

    network: ResNet
    """In evaluation mode, on ``device``."""

    recipe: TrainRecipe
    """How it was trained."""

    preprocessing: Preprocessing
    """How pixels become its input."""

    device: str
    """Where it computes: cpu, cuda or cuda:N."""

    training: Mapping[str, object] = field(default_factory=dict)
    """What was recorded of its training, for people to read."""

    precision: Precision = "float32"
    """``bf16`` is twice as fast and more on a GPU that has it, at about three decimal digits: for
    all images of a comparison, or for none."""

    @property
    def dimension(self) -> int:
        """Length d of the features."""
        return self.network.dimension

    @property
    def input(self) -> InputKind:
        """What the network sees: ``flux`` or ``rgb``."""
        return self.preprocessing.input

    @property
    def window(self) -> slice:
        """Rows of a whole cutout, and columns alike, that the network's input is made of."""
        return crop_window(self.preprocessing)

    def dimension_of(self, layer: Layer) -> int:
        """Return the length of the embeddings that are read from a layer.

        Raises
        ------
        SettingsError
            There is no such layer, or this network has none behind its features.
        """
        if layer not in LAYERS:
            raise SettingsError(f"layer {layer!r} is unknown; use {' or '.join(LAYERS)}")
        if layer == "features":
            return self.dimension
        linear = [m for m in self.network.fc.modules() if isinstance(m, nn.Linear)]
        if not linear:
            raise SettingsError(
                "this encoder has no projection: its file holds a network without its head; "
                "use --layer features"
            )
        return linear[-1].out_features

    def embed(
        self,
        pixels: npt.NDArray[np.generic],
        kind: str,
        *,
        layer: Layer = "features",
        invert_pictures: bool = False,
    ) -> npt.NDArray[np.float32]:
        """Turn cutouts into embeddings.

        Parameters
        ----------
        pixels
            (n, 3, h, w) or one (3, h, w): for kind ``flux`` nanomaggies in g, r, z at 0.262 arcsec
            per pixel, NaN where not observed; for ``rgb`` uint8 R, G, B. Other sizes than 152 are
            cropped or padded around the center.
        kind
            ``"flux"`` or ``"rgb"``.
        layer
            Where they are read from: ``"features"``, before ``fc`` (what the paper searches with),
            or ``"projection"``, the outputs of ``fc`` (what was compared in training).
        invert_pictures
            Let an encoder of flux take pictures, by the approximate inverse of the rendering.

        Returns
        -------
        ndarray
            (n, d) float32, rows of unit length; a row of zeros where the part of an image that the
            network sees shows nothing, or the network gives nothing that has a direction.

        Raises
        ------
        SettingsError
            A picture for an encoder of flux without ``invert_pictures``, images of a wrong shape,
            or a layer that the network does not have.
        """
        if kind == "rgb" and self.input == "flux" and not invert_pictures:
            raise SettingsError(
                "this encoder sees fluxes and the image is a picture; give a FITS or HDF5 cutout, "
                "use an encoder with rgb input, or add --invert-pictures for an approximate answer"
            )
        self.dimension_of(layer)
        batch = pixels if pixels.ndim == 4 else pixels[None]
        if kind not in KINDS or batch.shape[1] != len(BANDS):
            raise SettingsError(
                f"images of kind {kind!r} and shape {batch.shape}: "
                f"expected flux or rgb, (n, {len(BANDS)}, height, width)"
            )
        if batch.shape[-2:] != (CUTOUT_SIZE_PIX, CUTOUT_SIZE_PIX):
            batch = standardize(batch, kind=kind, bands=BANDS)
        seen = np.ascontiguousarray(batch[..., self.window, self.window])  # (n, 3, w, w)
        rows = self.embed_windows(torch.from_numpy(seen), kind, [layer])[layer]
        return rows.cpu().numpy()

    @torch.inference_mode()
    def embed_windows(
        self, windows: torch.Tensor, kind: str, layers: Sequence[Layer]
    ) -> dict[Layer, torch.Tensor]:
        """Turn the middle of cutouts into embeddings of one or more layers, in one pass.

        Parameters
        ----------
        windows
            (n, 3, w, w) of :attr:`window`, otherwise as for :meth:`embed`; on any device. Out of
            pinned memory they are copied while the GPU computes.

        Returns
        -------
        dict
            (n, d) float32 for each layer, as of :meth:`embed`, on the encoder's device, which may
            still be computing them.
        """
        pixels = windows.to(self.device, non_blocking=True)
        crops = to_crops(pixels, kind, self.preprocessing)  # (n, 3, h, w)
        shows_something = _show_something(crops)  # (n,)
        images = normalize(to_colors(crops, kind, self.preprocessing), self.preprocessing)
        found: dict[Layer, torch.Tensor] = {}
        with torch.autocast(
            self.device.partition(":")[0], torch.bfloat16, enabled=self.precision == "bf16"
        ):
            # Convolutions are faster with the channels of a pixel side by side (cuDNN, oneDNN).
            images = images.contiguous(memory_format=torch.channels_last)
            pooled = self.network.pooled(images)
            if "features" in layers:
                found["features"] = self.network.features_of(images, pooled)  # (n, d)
            if "projection" in layers:
                found["projection"] = self.network.fc(pooled)  # (n, p)
        return {
            layer: _unit_rows(rows.to(torch.float32), shows_something)
            for layer, rows in found.items()
        }


def _show_something(crops: torch.Tensor) -> torch.Tensor:
    """Tell which crops (n, 3, h, w) have any pixel: (n,) bool."""
    if crops.device.type == "cpu" and bool(torch.isfinite(crops.sum())):
        return torch.ones(len(crops), dtype=torch.bool)  # one fast look at all pixels
    return torch.isfinite(crops).flatten(1).any(dim=1)


def _unit_rows(rows: torch.Tensor, is_valid: torch.Tensor) -> torch.Tensor:
    length = torch.linalg.vector_norm(rows, dim=1)  # (n,)
    is_valid = is_valid & torch.isfinite(length) & (length > 0)
    unit = rows / torch.where(is_valid, length, torch.ones_like(length))[:, None]
    return torch.where(is_valid[:, None], unit, torch.zeros_like(unit))
