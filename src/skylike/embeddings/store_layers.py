"""The encoder that holds the projection of another one: same network, a layer further on."""

from typing import Final

import sqlalchemy as sa
from sqlalchemy import Connection

from skylike.database.tables import encoder
from skylike.embeddings.store import EncoderRecord, fetch_encoder, lock_activation
from skylike.errors import SettingsError

_SAME: Final = (
    *("architecture", "width", "input", "bands", "pixel_scale", "crop_pix", "preprocessing"),
    *("training", "checkpoint", "checkpoint_sha256", "source", "origin"),
)
"""Columns that describe the network."""


def projection_name(name: str) -> str:
    """Return the name of the encoder that holds the projection of another one."""
    return f"{name}-projection"


def enter_projection(
    connection: Connection, record: EncoderRecord, *, dimension: int
) -> EncoderRecord:
    """Enter the projection of an encoder as an encoder of its own, or find it where it is.

    Parameters
    ----------
    dimension
        Outputs of the network's projection head.

    Raises
    ------
    SettingsError
        Another encoder has its name.
    """
    lock_activation(connection)  # several processes may do this at once
    name = projection_name(record.name)
    here = encoder.alias()
    is_there = connection.execute(
        sa.select(here.c.layer, here.c.checkpoint_sha256).where(here.c.name == name)
    ).one_or_none()
    if is_there is None:
        same = sa.select(
            sa.literal(name),
            sa.literal(dimension),
            sa.literal("projection"),
            sa.false(),
            *(here.c[column] for column in _SAME),
        ).where(here.c.encoder_id == record.encoder_id)
        columns = ["name", "dimension", "layer", "is_active", *_SAME]
        connection.execute(sa.insert(encoder).from_select(columns, same))
    elif tuple(is_there) != ("projection", record.checkpoint_sha256):
        raise SettingsError(
            f"an encoder named {name!r} is there already and is not the projection of "
            f"{record.name!r}; the two cannot be embedded together"
        )
    return fetch_encoder(connection, name)
