"""Write an encoder to a file of another format, or to one for another machine."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import Engine

from skylike.database.engine import connect
from skylike.embeddings import store
from skylike.embeddings.checkpoint import file_sha256, load_encoder
from skylike.embeddings.exchange.onnx_file import write_onnx
from skylike.embeddings.exchange.tensor_files import describe, write_tensors
from skylike.embeddings.store import Layer
from skylike.errors import CheckpointError, SettingsError
from skylike.file_formats import check_folder
from skylike.files import replaced_file

EXTENSIONS: Final = (".safetensors", ".onnx", ".pt")
"""What an encoder can be written as; ``.pt`` is our own file, copied."""


@dataclass(frozen=True)
class ExportedEncoder:
    """What :func:`export_encoder` wrote."""

    name: str
    path: Path
    layer: Layer
    dimension: int
    """Length of the embeddings that this layer gives."""

    n_bytes: int
    sha256: str
    """Of the file, hexadecimal."""


def export_encoder(
    engine: Engine, name: str, output: Path, *, layer: Layer | None = None
) -> ExportedEncoder:
    """Write an encoder as safetensors, ONNX or our own file; the extension tells which.

    Parameters
    ----------
    layer
        What the ONNX graph returns, or what the safetensors file says that embeddings are read
        from (it holds the whole network); None is the encoder's own.

    Raises
    ------
    EncoderNotFoundError
        No encoder has this name.
    SettingsError
        The extension is none of these, the encoder has no network or not this layer, or the
        packages that write ONNX are missing.
    CheckpointError
        The encoder's file is gone or damaged, or the output cannot be written.
    """
    if output.suffix not in EXTENSIONS:
        raise SettingsError(
            f"--output {output}: the extension tells no format; use {', '.join(EXTENSIONS)}"
        )
    check_folder(output, option="--output ")
    with connect(engine) as connection:
        record = store.fetch_encoder(connection, name)
    if record.source == "embeddings":
        raise SettingsError(
            f"encoder {name!r} has no network to export: its embeddings were made elsewhere"
        )
    own = record.network_file
    encoder = load_encoder(own, sha256=record.checkpoint_sha256)
    chosen = record.layer if layer is None else layer
    dimension = encoder.dimension_of(chosen)
    if output.suffix == ".pt":
        if layer is not None:
            raise SettingsError("--layer goes with .safetensors and .onnx; a .pt holds both layers")
        _copy(own, output)
    else:
        told = describe(
            encoder, name=name, layer=chosen, checkpoint_sha256=record.checkpoint_sha256
        )
        if output.suffix == ".onnx":
            write_onnx(output, encoder, told, layer=chosen)
        else:
            write_tensors(output, encoder, told)
    return ExportedEncoder(
        name, output, chosen, dimension, output.stat().st_size, file_sha256(output)
    )


def _copy(own: Path, output: Path) -> None:
    if output.exists() and output.samefile(own):
        raise SettingsError(f"--output {output} is the encoder's own file; give another name")
    try:
        with replaced_file(output) as part:
            shutil.copyfile(own, part)
    except OSError as error:
        raise CheckpointError(
            f"{output}: cannot be written ({error.strerror}); name a file in a folder with room"
        ) from error
