"""The table ``encoder``: entering, finding, activating encoders, and the locks of their jobs."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

import numpy as np
import sqlalchemy as sa
from sqlalchemy import Connection, Engine, Row

from skylike.database.engine import connect
from skylike.database.sql_files import statement
from skylike.database.tables import encoder, encoder_component
from skylike.embeddings.compact import CompactBasis
from skylike.embeddings.store_advice import EMBED_FIRST, advise_unembedded
from skylike.errors import ConflictError, EmptyStageError, EncoderNotFoundError, SettingsError

Layer = Literal["features", "projection"]
"""Layer of a network that embeddings are read from: what goes into ``fc``, or what comes out."""

Source = Literal["trained", "imported", "shipped", "embeddings"]
"""Where an encoder comes from; ``embeddings`` were made by a network that is not here."""


@dataclass(frozen=True)
class EncoderRecord:
    """A row of the table ``encoder``, without its long vectors (:func:`fetch_compact_basis`).

    Embeddings made elsewhere (``source`` is ``embeddings``) have nothing that describes a network:
    ``architecture`` to ``checkpoint_sha256`` are None or empty. Use :attr:`network_file` where one
    is needed.
    """

    encoder_id: int
    name: str
    architecture: str | None
    width: float | None
    dimension: int
    input: str | None
    bands: tuple[str, ...]
    pixel_scale: float | None
    crop_pix: int | None
    preprocessing: dict[str, object]
    training: dict[str, object]
    """Empty where a file from elsewhere does not tell."""

    checkpoint: Path | None
    checkpoint_sha256: str | None
    is_active: bool
    created_at: datetime
    layer: Layer = "features"
    source: Source = "trained"
    origin: dict[str, object] | None = None
    """The file it was imported from; None where it was trained here."""

    compact_components: int | None = None
    compact_slack: float | None = None
    embedded_at: datetime | None = None
    n_embedded: int = field(default=0)
    """Galaxies with an embedding; an estimate of the planner, exact after ``skylike embed``."""

    @property
    def network_file(self) -> Path:
        """File of the weights.

        Raises
        ------
        SettingsError
            There is none: its embeddings were made elsewhere.
        """
        if self.checkpoint is None:
            raise SettingsError(
                f"encoder {self.name!r} holds embeddings that were made elsewhere and has no "
                "network to embed an image with; search with --galaxy, --position or --vector, or "
                "name an encoder that has one (`skylike encoder list`)"
            )
        return self.checkpoint


def _record(row: Row[tuple[object, ...]]) -> EncoderRecord:
    values = row._asdict()
    values["bands"] = tuple(values["bands"] or ())
    values["preprocessing"] = values["preprocessing"] or {}
    values["training"] = values["training"] or {}
    values["checkpoint"] = None if values["checkpoint"] is None else Path(values["checkpoint"])
    values["n_embedded"] = max(values["n_embedded"], 0)
    return EncoderRecord(**values)


def fetch_encoders(connection: Connection) -> list[EncoderRecord]:
    """Fetch all encoders in the order in which they were added."""
    rows = connection.execute(statement("embeddings_encoders"), {"name": None, "is_active": None})
    return [_record(row) for row in rows]


def fetch_encoder(connection: Connection, name: str) -> EncoderRecord:
    """Fetch an encoder by its name.

    Raises
    ------
    EncoderNotFoundError
        No encoder has this name; the message lists those there are.
    """
    row = connection.execute(
        statement("embeddings_encoders"), {"name": name, "is_active": None}
    ).one_or_none()
    if row is None:
        names = connection.scalars(sa.select(encoder.c.name).order_by(encoder.c.name)).all()
        there = f"there are {', '.join(names)}" if names else f"there is none yet; {EMBED_FIRST}"
        raise EncoderNotFoundError(f"no encoder is named {name!r}; {there}")
    return _record(row)


def fetch_active_encoder(connection: Connection) -> EncoderRecord:
    """Fetch the encoder that searches use.

    Raises
    ------
    EncoderNotFoundError
        None is active.
    """
    row = connection.execute(
        statement("embeddings_encoders"), {"name": None, "is_active": True}
    ).one_or_none()
    if row is None:
        raise EncoderNotFoundError(f"no encoder is active; {advise_unembedded(connection)}")
    return _record(row)


def fetch_named_or_active_encoder(connection: Connection, name: str | None) -> EncoderRecord:
    """Fetch the encoder of this name; without a name the one that searches use.

    Raises
    ------
    EncoderNotFoundError
        No encoder has this name, or none is active.
    """
    return fetch_active_encoder(connection) if name is None else fetch_encoder(connection, name)


def fetch_named_or_only_encoder(connection: Connection, name: str | None) -> EncoderRecord:
    """Fetch the encoder of this name; without a name the active one, or the only one there is.

    Raises
    ------
    EncoderNotFoundError
        No encoder has this name, or there is none.
    SettingsError
        None is active, and there are several.
    """
    if name is not None:
        return fetch_encoder(connection, name)
    return _active_or_only(fetch_encoders(connection))


def fetch_encoder_to_embed(connection: Connection, name: str | None) -> EncoderRecord:
    """Fetch an encoder that can embed: those whose embeddings were made elsewhere do not count.

    Otherwise as :func:`fetch_named_or_only_encoder`.

    Raises
    ------
    EncoderNotFoundError
        No encoder has this name, or there is none.
    SettingsError
        None is active, and there are several; or that of this name has no network.
    """
    if name is None:
        records = fetch_encoders(connection)
        with_network = [record for record in records if record.source != "embeddings"]
        is_less = len(with_network) < len(records)
        return _active_or_only(
            with_network, what="encoder with a network" if is_less else "encoder"
        )
    record = fetch_encoder(connection, name)
    if record.source == "embeddings":
        raise SettingsError(
            f"encoder {name!r} has no network: its embeddings were made elsewhere, and those of "
            f"more galaxies come with `skylike encoder import --embeddings FILE --name {name}`"
        )
    return record


def _active_or_only(records: list[EncoderRecord], *, what: str = "encoder") -> EncoderRecord:
    active = [record for record in records if record.is_active]
    if active or len(records) == 1:
        return (active or records)[0]
    if not records:
        raise EncoderNotFoundError(f"there is no {what} yet; {EMBED_FIRST}")
    names = ", ".join(record.name for record in records)
    raise SettingsError(f"no {what} is active; name one of {names} with --encoder")


def check_name_is_free(connection: Connection, name: str) -> None:
    """Check that no finished encoder has a name.

    Raises
    ------
    SettingsError
        One has.
    """
    if connection.scalar(sa.select(encoder.c.encoder_id).where(encoder.c.name == name)) is not None:
        raise SettingsError(
            f"an encoder named {name!r} is there already; choose another with --name, "
            f"or see `skylike encoder show {name}`"
        )


def insert_encoder(connection: Connection, values: dict[str, object]) -> None:
    """Enter an encoder; ``values`` are columns of the table."""
    connection.execute(sa.insert(encoder).values(values))


def activate_encoder(connection: Connection, name: str) -> EncoderRecord:
    """Let searches use this encoder.

    Raises
    ------
    EncoderNotFoundError
        No encoder has this name.
    EmptyStageError
        It has no embeddings yet.
    """
    lock_activation(connection)
    record = fetch_encoder(connection, name)
    if record.embedded_at is None:
        raise EmptyStageError(
            f"encoder {name!r} has no embeddings yet; run `skylike embed --encoder {name}` first"
        )
    connection.execute(sa.update(encoder).where(encoder.c.is_active).values(is_active=False))
    connection.execute(
        sa.update(encoder).where(encoder.c.encoder_id == record.encoder_id).values(is_active=True)
    )
    return fetch_encoder(connection, name)


def lock_activation(connection: Connection) -> None:
    """Let one transaction at a time choose the active encoder: two would both find none."""
    connection.execute(sa.text("LOCK TABLE skylike.encoder IN SHARE ROW EXCLUSIVE MODE"))


def fetch_compact_basis(connection: Connection, encoder_id: int) -> CompactBasis | None:
    """Fetch mean and principal axes of an encoder; None before its embeddings were published."""
    row = connection.execute(
        sa.select(encoder.c.mean, encoder.c.explained_variance).where(
            encoder.c.encoder_id == encoder_id
        )
    ).one()
    if row.mean is None:
        return None
    directions = connection.scalars(
        sa.select(encoder_component.c.direction)
        .where(encoder_component.c.encoder_id == encoder_id)
        .order_by(encoder_component.c.component)
    ).all()
    return CompactBasis(np.array(row.mean), np.array(directions), np.array(row.explained_variance))


@contextmanager
def hold_lock(engine: Engine, job: str, subject: str) -> Iterator[None]:
    """Let one process at a time do a job on a subject; the lock ends with the process.

    Raises
    ------
    ConflictError
        Another process is at it.
    """
    key = (sa.func.hashtext(f"skylike {job}"), sa.func.hashtext(subject))
    with connect(engine).execution_options(isolation_level="AUTOCOMMIT") as connection:
        if not connection.scalar(sa.select(sa.func.pg_try_advisory_lock(*key))):
            raise ConflictError(
                f"another process is running `skylike {job}` on {subject!r}; wait for its end"
            )
        try:
            yield
        finally:
            # Closing the session frees the lock too, but a moment later than it returns.
            if not connection.invalidated:
                connection.execute(sa.select(sa.func.pg_advisory_unlock(*key)))
