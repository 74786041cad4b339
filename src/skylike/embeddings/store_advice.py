"""What to do next where no encoder can be used yet: read from the state of the database."""

import sqlalchemy as sa
from sqlalchemy import Connection

from skylike.database.tables import cutout, encoder

EMBED_FIRST = (
    "run `skylike embed`, which uses the encoder that ships with skylike if you train none"
)


def advise_unembedded(connection: Connection) -> str:
    """Say what leads to an active encoder, given that none is active."""
    rows = connection.execute(
        sa.select(encoder.c.name, encoder.c.embedded_at).order_by(encoder.c.encoder_id)
    ).all()
    embedded = [row.name for row in rows if row.embedded_at is not None]
    if embedded:
        return f"choose {' or '.join(embedded)} with `skylike encoder activate NAME`"
    has_images = sa.exists().where(cutout.c.galaxy_id.is_not(None))
    if not connection.scalar(sa.select(has_images)):
        return "no galaxy has an image yet: run `skylike images add`, then `skylike embed`"
    if not rows:
        return f"no galaxy is embedded yet: {EMBED_FIRST}"
    return f"no galaxy is embedded yet: run `skylike embed --encoder {rows[-1].name}`"
