"""What was judged: exactly which encoder, so that a number can be made again."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from sqlalchemy import Engine

from skylike.database.engine import connect
from skylike.embeddings import shipped
from skylike.embeddings.checkpoint import file_sha256, load_encoder
from skylike.embeddings.encoder import LAYERS, TrainedEncoder
from skylike.embeddings.store import EncoderRecord, fetch_active_encoder
from skylike.errors import SettingsError
from skylike.evaluation.lineup import find_encoders

BOTH: Final = "both"
"""Layer of a report that has rows for features and projection."""


@dataclass(frozen=True)
class Subject:
    """An encoder, as a report names it."""

    name: str
    sha256: str | None
    """Of the file of weights; None for embeddings made elsewhere."""

    architecture: str | None
    width: float | None
    dimension: int
    """Of the layer."""

    layer: str
    """``features`` or ``projection``; :data:`BOTH` where a report has rows for each."""

    source: str
    """Where it comes from: trained, imported, shipped, embeddings, file or database."""

    recipe: str | None
    """Name of the recipe it was trained by; None where nothing says."""


def describe_record(record: EncoderRecord) -> Subject:
    """Describe an encoder of the database, by the layer that its embeddings are of."""
    recipe = record.training.get("recipe")
    name = recipe.get("name") if isinstance(recipe, dict) else None
    return Subject(
        name=record.name,
        sha256=record.checkpoint_sha256,
        architecture=record.architecture,
        width=record.width,
        dimension=record.dimension,
        layer=record.layer,
        source=record.source,
        recipe=str(name) if name is not None else None,
    )


def describe_file(path: Path, encoder: TrainedEncoder, *, name: str, source: str) -> Subject:
    """Describe an encoder out of a file, of which both layers are judged."""
    return Subject(
        name=name,
        sha256=file_sha256(path),
        architecture=encoder.recipe.architecture,
        width=encoder.recipe.width,
        dimension=encoder.dimension,
        layer=BOTH,
        source=source,
        recipe=encoder.recipe.name,
    )


@dataclass(frozen=True)
class ChosenEncoder:
    """An encoder ready for use, and what reports say of it."""

    encoder: TrainedEncoder
    subject: Subject


def choose_encoder(
    open_engine: Callable[[], Engine],
    name: str | None,
    *,
    without_database: bool,
    device: str = "cpu",
) -> ChosenEncoder:
    """Load the network to judge: a file, the one that ships, or one of the database.

    Parameters
    ----------
    open_engine
        Connects with the database; called only where that is needed.
    name
        A file, ``default`` for the encoder that ships, or a name in the database; None takes the
        active one.
    without_database
        None takes the encoder that ships with skylike.

    Raises
    ------
    CheckpointError
        The file is missing, damaged or no encoder.
    EncoderNotFoundError
        There is no such encoder, or none is active.
    SettingsError
        Its embeddings were made elsewhere: there is no network. Or none ships with this
        installation.
    """
    if name is None and not without_database:
        with connect(open_engine()) as connection:
            record = fetch_active_encoder(connection)
        encoder = load_encoder(record.network_file, device=device, sha256=record.checkpoint_sha256)
        subject = describe_record(record)
        return ChosenEncoder(encoder, replace(subject, layer=BOTH, dimension=encoder.dimension))
    names = [] if name is None else [name]
    found = find_encoders(names, layers=LAYERS, open_database=open_engine)
    if not found:
        raise SettingsError(
            "this installation has no encoder of its own; name one of the database or a file with "
            "--encoder"
        )
    file = found[0]
    encoder = load_encoder(file.path, device=device, sha256=file.sha256)
    is_shipped = shipped.is_there() and file.path == shipped.path()
    source = "shipped" if is_shipped else "file" if file.sha256 is None else "database"
    return ChosenEncoder(encoder, describe_file(file.path, encoder, name=file.name, source=source))


def subject_line(subject: Subject) -> str:
    """Say in one line what was judged."""
    digest = f", sha256 {subject.sha256[:12]}" if subject.sha256 else ""
    network = f"{subject.architecture} width {subject.width:g}, " if subject.architecture else ""
    recipe = f", recipe {subject.recipe}" if subject.recipe else ""
    return (
        f"Encoder {subject.name!r} ({subject.source}): {network}{subject.layer}, "
        f"d = {subject.dimension}{recipe}{digest}"
    )
