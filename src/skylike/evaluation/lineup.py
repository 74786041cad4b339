"""What is compared: encoders by what a user calls them, and the baselines beside them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sqlalchemy import Engine

from skylike.database.engine import connect
from skylike.embeddings import shipped, store
from skylike.embeddings.encoder import LAYERS
from skylike.embeddings.store import Layer
from skylike.errors import SettingsError
from skylike.evaluation.baselines import baseline_extractors
from skylike.evaluation.methods import (
    Extractor,
    load_extractor,
    network_key,
    untrained_extractor,
)


@dataclass(frozen=True)
class Lineup:
    """Which methods take part.

    Attributes
    ----------
    encoders
        As :func:`find_encoders` takes them.
    layers
        Of each encoder.
    baselines
        Pixel PCA, the log-polar descriptor, and the untrained network of each encoder?
    invert_pictures
        Let encoders of flux take pictures, by the approximate inverse of the rendering.
    seed
        Of the untrained weights and the decomposition of the pixels.
    """

    encoders: tuple[str, ...] = ()
    layers: tuple[Layer, ...] = ("features",)
    baselines: bool = True
    invert_pictures: bool = False
    seed: int = 0


def chosen_layers(word: Literal["features", "projection", "both"]) -> tuple[Layer, ...]:
    """Return the layers that a word of the command line stands for."""
    return LAYERS if word == "both" else (word,)


def choose_extractors(
    lineup: Lineup, *, open_database: Callable[[], Engine], device: str
) -> list[Extractor]:
    """Load the encoders and put the baselines behind them, one untrained network of a kind.

    Parameters
    ----------
    open_database
        Called only where an encoder is neither a file nor the one that ships.

    Raises
    ------
    SettingsError
        Nothing is left to be compared.
    CheckpointError, EncoderNotFoundError, DatabaseUnavailableError
        An encoder cannot be had.
    """
    files = find_encoders(lineup.encoders, layers=lineup.layers, open_database=open_database)
    if not files and not lineup.baselines:
        raise SettingsError("there is no encoder and no baseline to measure; name an --encoder")
    extractors: list[Extractor] = []
    untrained: dict[tuple[object, ...], Extractor] = {}
    for file in files:
        encoder, extractor = load_extractor(
            file.path,
            name=file.name,
            layers=file.layers,
            device=device,
            sha256=file.sha256,
            invert_pictures=lineup.invert_pictures,
        )
        extractors.append(extractor)
        if network_key(encoder) not in untrained:
            untrained[network_key(encoder)] = untrained_extractor(
                encoder, seed=lineup.seed, invert_pictures=lineup.invert_pictures
            )
    if lineup.baselines:
        extractors += baseline_extractors(device=device, seed=lineup.seed)
        extractors += untrained.values()
    return extractors


@dataclass(frozen=True)
class EncoderFile:
    """Where the weights of an encoder are.

    Attributes
    ----------
    sha256
        What the file must have; None takes it as it is.
    layers
        What to compare by.
    """

    name: str
    path: Path
    sha256: str | None
    layers: tuple[Layer, ...]


def find_encoders(
    names: Sequence[str], *, layers: Sequence[Layer], open_database: Callable[[], Engine]
) -> list[EncoderFile]:
    """Find encoders by name, or the one that ships where none is named and it is there.

    Parameters
    ----------
    names
        A file, ``default`` for the encoder that ships, or a name in the database. A file goes
        before the encoder that ships, and that before the database.
    layers
        Wanted of each; an encoder that was entered with its projection alone has that one.
    open_database
        Called only where a name is neither a file nor the encoder that ships.

    Raises
    ------
    EncoderNotFoundError
        No encoder has the name.
    SettingsError
        It holds embeddings made elsewhere, and no network.
    DatabaseUnavailableError
        The database is needed and does not answer.
    """
    if not names:
        names = [shipped.NAME] if shipped.is_there() else []
    found: list[EncoderFile] = []
    for name in dict.fromkeys(names):
        made = _find(name, tuple(layers), open_database)
        if any(other.name == made.name for other in found):  # two files NAME.pt
            made = EncoderFile(name, made.path, made.sha256, made.layers)
        found.append(made)
    return found


def _find(name: str, layers: tuple[Layer, ...], open_database: Callable[[], Engine]) -> EncoderFile:
    file = Path(name).expanduser()
    if file.is_file() or file.suffix or len(file.parts) > 1:
        return EncoderFile(file.stem, file, None, layers)
    if name == shipped.NAME and shipped.is_there():
        return EncoderFile(name, shipped.path(), None, layers)
    with connect(open_database()) as connection:
        record = store.fetch_encoder(connection, name)
    own: tuple[Layer, ...] = layers if record.layer == "features" else ("projection",)
    return EncoderFile(name, record.network_file, record.checkpoint_sha256, own)
