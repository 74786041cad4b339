"""Enter an encoder from a file: ours of another machine, or weights of others."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from sqlalchemy import Connection, Engine

from skylike.database.engine import connect
from skylike.embeddings import store
from skylike.embeddings.checkpoint import (
    ENCODER_FORMAT,
    TRAINING_FORMAT,
    assemble_encoder,
    file_sha256,
    save_encoder,
)
from skylike.embeddings.encoder import TrainedEncoder
from skylike.embeddings.encoder_columns import encoder_columns
from skylike.embeddings.exchange.detect import detect_container
from skylike.embeddings.exchange.networks import Family, network_from
from skylike.embeddings.exchange.pickled import Dummy, read_pickled
from skylike.embeddings.exchange.tensor_files import description_of, read_tensors
from skylike.embeddings.names import check_name, name_after
from skylike.embeddings.store import EncoderRecord, Layer
from skylike.errors import CheckpointError, EncoderNotFoundError, SettingsError
from skylike.files import replaced_file

FileFormat = Literal["skylike", "moco", "torchvision"]
"""Ours; the query encoder of a momentum contrast; torchvision's residual networks."""

_FACTS: Final = ("epoch", "global_step", "pytorch-lightning_version", "hyper_parameters")
"""What a Lightning checkpoint tells beside weights and is worth keeping."""


@dataclass(frozen=True)
class FoundEncoder:
    """An encoder in a file, not entered yet."""

    encoder: TrainedEncoder
    """On the CPU."""

    format: FileFormat
    layer: Layer
    facts: Mapping[str, object]
    """What else the file tells, for people to read."""

    @property
    def is_as_ours(self) -> bool:
        """Tell whether the file is known to describe its own training."""
        return self.format == "skylike"


@dataclass(frozen=True)
class NetworkImport:
    """What :func:`import_network` did."""

    record: EncoderRecord
    format: FileFormat
    is_new: bool
    """False where the same file had been imported under this name before."""


def import_network(
    engine: Engine,
    path: Path,
    *,
    folder: Path,
    name: str | None = None,
    format: FileFormat | None = None,  # noqa: A002 - as the option
    recipe: str | None = None,
) -> NetworkImport:
    """Enter the encoder in a file; nothing in the file is executed.

    Parameters
    ----------
    folder
        Where encoders are kept: the file is copied there, or written there in our format.
    name
        Of the encoder; None takes the file's.
    format
        None tells by the content.
    recipe
        For weights of others, how pixels become the input: a named recipe or a TOML file. None is
        ``released`` for a momentum contrast, and ImageNet's for torchvision.

    Raises
    ------
    CheckpointError
        The file is no encoder that can be used; the message says why.
    SettingsError
        The name is taken or no file name, or an option does not fit the file.
    """
    name = name_after(path) if name is None else name
    check_name(name)
    found = read_network(path, format=format, recipe=recipe)
    digest = file_sha256(path)
    with store.hold_lock(engine, "encoder import", name):
        with connect(engine) as connection:
            known = _same(connection, name, digest)
        target = folder.absolute() / f"{name}-{digest[:8]}.pt"
        if known is None or not known.network_file.exists():
            _keep(found, path, target if known is None else known.network_file)
        if known is not None:
            return NetworkImport(known, found.format, is_new=False)
        origin = {"file": str(path.absolute()), "sha256": digest, "format": found.format}
        with engine.begin() as connection:
            store.check_name_is_free(connection, name)
            store.insert_encoder(
                connection,
                {**_columns(found, target), "name": name, "origin": origin | dict(found.facts)},
            )
            record = store.fetch_encoder(connection, name)
    return NetworkImport(record, found.format, is_new=True)


def read_network(
    path: Path,
    *,
    format: FileFormat | None = None,  # noqa: A002 - as the option
    recipe: str | None = None,
) -> FoundEncoder:
    """Read the encoder in a file, as :func:`import_network` does.

    Raises
    ------
    CheckpointError, SettingsError
        As there.
    """
    header: Mapping[str, Any] = {}
    if detect_container(path) == "safetensors":
        file = read_tensors(path)
        contents: Mapping[str, Any] = file.weights
        if file.is_ours:
            header = {"layer": file.header.get("layer", "features")}
            config = json.dumps(description_of(file, path))
            contents = {"format": ENCODER_FORMAT, "config": config, "weights": file.weights}
    else:
        contents = read_pickled(path)
    marked = contents.get("format")
    if marked == TRAINING_FORMAT:
        raise CheckpointError(
            f"{path}: is the state of a training run; let `skylike encoder train` finish it, and "
            "import the encoder that comes out"
        )
    if marked == ENCODER_FORMAT:
        _check_own_options(path, format, recipe)
        layer: Layer = "projection" if header.get("layer") == "projection" else "features"
        return FoundEncoder(assemble_encoder(contents, path), "skylike", layer, {})
    if format == "skylike":
        raise CheckpointError(f"{path}: was not written by skylike; leave out --format")
    return _read_foreign(contents, path, format, recipe)


def _read_foreign(
    contents: Mapping[str, Any], path: Path, family: Family | None, recipe: str | None
) -> FoundEncoder:
    found = network_from(contents, path, family=family, recipe=recipe)
    encoder = TrainedEncoder(found.network, found.recipe, found.preprocessing, "cpu")
    facts: dict[str, object] = {"tensors_ignored": found.ignored, "recipe": found.recipe.name}
    if "state_dict" in contents:
        facts |= {key: _plain(contents[key]) for key in _FACTS if key in contents}
    return FoundEncoder(encoder, found.family, "features", facts)


def _check_own_options(path: Path, given: FileFormat | None, recipe: str | None) -> None:
    if given not in {None, "skylike"}:
        raise SettingsError(f"{path}: was written by skylike; leave out --format {given}")
    if recipe is not None:
        raise SettingsError(
            f"{path}: was written by skylike and tells how to feed it; leave out --recipe {recipe}"
        )


def _plain(value: object) -> object:
    """Return what JSON can hold of a value; None for the rest."""
    if isinstance(value, Dummy):
        value = value.values
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None  # NaN compares false
    return value if isinstance(value, str | int) else None


def _same(connection: Connection, name: str, digest: str) -> EncoderRecord | None:
    """Find what the same file was entered as under a name."""
    try:
        record = store.fetch_encoder(connection, name)
    except EncoderNotFoundError:
        return None
    if record.source == "imported" and (record.origin or {}).get("sha256") == digest:
        return record
    store.check_name_is_free(connection, name)  # says that it is not
    return None


def _keep(found: FoundEncoder, path: Path, target: Path) -> None:
    """Put the encoder's file where encoders are kept."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if found.is_as_ours and path.suffix != ".safetensors" and detect_container(path) == "torch":
            with replaced_file(target) as part:
                shutil.copyfile(path, part)
            return
    except OSError as error:
        raise CheckpointError(
            f"{target}: cannot be written ({error.strerror}); make room or give another data "
            "folder with SKYLIKE_HOME"
        ) from error
    encoder = found.encoder
    save_encoder(target, encoder.network, encoder.recipe, encoder.preprocessing, encoder.training)


def _columns(found: FoundEncoder, target: Path) -> dict[str, object]:
    encoder = found.encoder
    columns = encoder_columns(
        encoder.recipe,
        encoder.preprocessing,
        encoder.training,
        dimension=encoder.dimension_of(found.layer),
    )
    # A recipe says how a network was trained only where it was trained by it.
    if not (found.is_as_ours and encoder.training):
        columns["training"] = None
    return {
        **columns,
        "checkpoint": str(target),
        "checkpoint_sha256": file_sha256(target),
        "source": "imported",
        "layer": found.layer,
    }
