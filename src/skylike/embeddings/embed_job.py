"""What one call of ``skylike embed`` works on: encoders, options, and what came of it."""

from dataclasses import dataclass
from typing import Final, Literal

from sqlalchemy import Engine

from skylike.embeddings import store_layers
from skylike.embeddings.encoder import PRECISIONS, Precision, TrainedEncoder
from skylike.embeddings.store import EncoderRecord
from skylike.errors import SettingsError

LayerChoice = Literal["features", "projection", "both"]
"""Layers that can be asked for."""

LAYER_CHOICES: Final[tuple[LayerChoice, ...]] = ("features", "projection", "both")


@dataclass(frozen=True)
class EmbedOptions:
    """How to embed; the same in every process that works on one job."""

    batch_size: int = 256
    """Images that go through the network together, at most."""

    invert_pictures: bool = False
    """Let an encoder of flux take pictures; their embeddings are marked."""

    precision: Precision = "float32"
    """What the network computes in."""

    components: int | None = None
    """m of the compact vectors; None keeps what there is, or takes the default."""

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise SettingsError(f"--batch-size {self.batch_size} is not above 0")
        if self.precision not in PRECISIONS:
            raise SettingsError(
                f"precision {self.precision!r} is unknown; use {' or '.join(PRECISIONS)}"
            )


@dataclass(frozen=True)
class EmbedReport:
    """What was published of one encoder."""

    encoder: str
    """Name of the encoder."""

    n_new: int
    """Galaxies embedded and published, new or again, by all processes and earlier runs that were
    killed; 0 where another process has published them."""

    n_total: int
    """Galaxies that have an embedding now."""

    n_removed: int
    """Embeddings taken away: the galaxy's image is gone, or its new one shows nothing."""

    n_degenerate: int
    """Galaxies without one because their image shows nothing or the network gives no direction."""

    n_pictures_left: int
    """Galaxies that an encoder of flux passed by because they have a picture only."""

    n_inverted: int
    """Pictures turned into fluxes, of the new ones."""

    components: int
    """m of the compact vectors."""

    explained: float
    """Fraction of the variance within these components."""

    slack: float
    """Of the compact vectors."""

    is_new_basis: bool
    """Were the principal axes computed again?"""

    was_activated: bool
    """Did this run make the encoder the active one?"""


@dataclass(frozen=True)
class EmbedOutcome:
    """What one process did, and what was published after it."""

    n_here: int
    """Galaxies that this process embedded, or the cluster for it."""

    n_left: int
    """Galaxies that other processes still have to embed; who does the last publishes."""

    reports: tuple[EmbedReport, ...]
    """One for each layer, features first; none while others have something to embed."""


def choose_encoders(
    engine: Engine, record: EncoderRecord, encoder: TrainedEncoder, layer: LayerChoice | None
) -> tuple[EncoderRecord, ...]:
    """Return the encoders that are to be filled, features first; the projection is entered if new.

    Parameters
    ----------
    layer
        None takes the layer that the encoder has.

    Raises
    ------
    SettingsError
        The layer is unknown, the network has no projection, or the encoder is one itself.
    """
    if layer is not None and layer not in LAYER_CHOICES:
        raise SettingsError(f"layer {layer!r} is unknown; use {', '.join(LAYER_CHOICES)}")
    wanted = layer or record.layer
    if record.layer == "projection" and wanted != "projection":
        raise SettingsError(
            f"encoder {record.name!r} is the projection of another one; name that with --encoder "
            f"to embed --layer {wanted}"
        )
    if wanted == record.layer:
        return (record,)
    dimension = encoder.dimension_of("projection")
    with engine.begin() as connection:
        projection = store_layers.enter_projection(connection, record, dimension=dimension)
    return (record, projection) if wanted == "both" else (projection,)


def check_components(records: tuple[EncoderRecord, ...], components: int | None) -> None:
    """Check that all of these encoders can have compact vectors of so many components.

    Raises
    ------
    SettingsError
        One cannot.
    """
    for record in records:
        if components is not None and not 1 <= components <= record.dimension:
            raise SettingsError(
                f"--components {components}: encoder {record.name!r} allows 1 to {record.dimension}"
            )
