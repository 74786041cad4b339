"""ONNX: the network as a graph that any runtime runs, from pixels to unit vectors."""

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import torch
from torch import nn
from torch.nn import functional
from typing_extensions import override

from skylike.embeddings.encoder import TrainedEncoder
from skylike.embeddings.store import Layer
from skylike.errors import CheckpointError, SettingsError
from skylike.files import replaced_file

OPSET: Final = 18
"""Version of the operators: onnxruntime 1.14 of 2023 and later have it."""

INPUT: Final = "image"
OUTPUT: Final = "embedding"


class PixelsToEmbedding(nn.Module):
    """The whole way from cropped pixels to embeddings, as :meth:`TrainedEncoder.embed` goes it.

    Parameters
    ----------
    encoder
        On the CPU.
    layer
        Where embeddings are read from.
    """

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, encoder: TrainedEncoder, layer: Layer) -> None:
        super().__init__()
        self.network = encoder.network
        self.layer = layer
        self.is_flux = encoder.input == "flux"
        self.bin_pix = encoder.preprocessing.bin_pix
        preprocessing = encoder.preprocessing
        self.register_buffer("mean", torch.tensor(preprocessing.mean)[:, None, None])  # (3, 1, 1)
        self.register_buffer("scale", torch.tensor(preprocessing.scale)[:, None, None])

    @override
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        pixels = self._binned(image) if self.is_flux else self._averaged(image)
        images = (pixels - self.mean) / self.scale
        rows = (
            self.network.features(images)  # (n, d)
            if self.layer == "features"
            else self.network.fc(self.network.pooled(images))
        )
        length = torch.linalg.vector_norm(rows, dim=1, keepdim=True)  # (n, 1)
        return rows / torch.where(length > 0, length, torch.ones_like(length))

    def _averaged(self, image: torch.Tensor) -> torch.Tensor:
        return image if self.bin_pix == 1 else functional.avg_pool2d(image, self.bin_pix)

    def _binned(self, flux: torch.Tensor) -> torch.Tensor:
        """Average the pixels that were observed; 0 where none was."""
        is_missing = torch.isnan(flux)
        known = torch.where(is_missing, torch.zeros_like(flux), flux)
        if self.bin_pix == 1:
            return known
        share = self._averaged(torch.where(is_missing, 0.0, torch.ones_like(flux)))
        return self._averaged(known) / torch.where(share > 0, share, torch.ones_like(share))


def write_onnx(
    path: Path, encoder: TrainedEncoder, description: Mapping[str, str], *, layer: Layer
) -> None:
    """Write an encoder as an ONNX graph; a reader sees the old file or the new one.

    The graph takes ``image``, (n, 3, crop, crop) float32 with any n: the middle of a cutout at the
    pixel scale of the encoder, for ``rgb`` input R, G, B in [0, 1] as its rendering makes them of
    fluxes, for ``flux`` input nanomaggies in g, r, z, NaN where not observed. It averages pixels,
    normalizes, runs the network and returns ``embedding``, (n, d) float32 of unit length.

    Parameters
    ----------
    encoder
        On the CPU.
    description
        Written as metadata of the model.

    Raises
    ------
    SettingsError
        The packages that write ONNX are not installed.
    CheckpointError
        The file cannot be written.
    """
    try:
        import onnx  # noqa: PLC0415 - optional
        import onnxscript  # noqa: F401, PLC0415 - what torch exports with
    except ImportError as error:
        raise SettingsError(
            f"{path}: ONNX needs the package {error.name}; install it with "
            "`pip install 'skylike[exchange]'`, or export to .safetensors"
        ) from error
    graph = PixelsToEmbedding(encoder, layer).eval()
    side = encoder.preprocessing.crop_pix
    with _quietly():
        program = torch.onnx.export(
            graph,
            # Two: of one torch takes the size of the batch for a constant.
            (torch.zeros(2, 3, side, side),),
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({0: torch.export.Dim("n")},),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise CheckpointError(f"{path}: torch made no ONNX graph of this network; use .safetensors")
    model = program.model_proto
    facts = {**description, "layer": layer, "input": encoder.input, "crop_pix": str(side)}
    onnx.helper.set_model_props(model, facts)
    onnx.checker.check_model(model)
    try:
        with replaced_file(path) as part:
            part.write_bytes(model.SerializeToString())
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be written ({error.strerror}); name a file in a folder with room"
        ) from error


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep torch's exporter from talking of its own innards."""
    loud = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loud]
    for logger in loud:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        for logger, level in zip(loud, levels, strict=True):
            logger.setLevel(level)
