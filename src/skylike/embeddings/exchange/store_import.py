"""What the import of embeddings asks of the database and writes there."""

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from psycopg import sql
from sqlalchemy import Connection

from skylike.database.copy import driver_connection
from skylike.database.partitions import qualified, relation_exists
from skylike.database.tables import encoder, galaxy, survey
from skylike.embeddings.store import EncoderRecord, fetch_encoder, insert_encoder
from skylike.embeddings.store_staging import drop_staging
from skylike.embeddings.store_tables import GalaxyIds, VectorTables

_QUERY_ROWS = 65_536


def fetch_survey_names(connection: Connection) -> list[str]:
    """Fetch the names of all surveys of the catalog, in order."""
    return list(connection.scalars(sa.select(survey.c.name).order_by(survey.c.name)))


def fetch_known_galaxies(
    connection: Connection, galaxy_ids: npt.NDArray[np.int64]
) -> npt.NDArray[np.int32]:
    """Return identifiers (n,) of galaxies as they are, -1 where the catalog has no such galaxy."""
    known = np.full(len(galaxy_ids), -1, dtype=np.int32)
    is_possible = (galaxy_ids >= 0) & (galaxy_ids <= np.iinfo(np.int32).max)
    for first in range(0, len(galaxy_ids), _QUERY_ROWS):
        part = slice(first, first + _QUERY_ROWS)
        wanted = galaxy_ids[part][is_possible[part]]
        there = connection.scalars(
            sa.select(galaxy.c.galaxy_id).where(
                galaxy.c.galaxy_id == sa.any_(sa.cast(wanted.tolist(), sa.ARRAY(sa.Integer)))
            )
        ).all()
        is_there = np.isin(galaxy_ids[part], np.array(there, dtype=np.int64))
        known[part][is_there] = galaxy_ids[part][is_there]
    return known


def enter_embeddings(
    connection: Connection, name: str, *, dimension: int, origin: dict[str, object]
) -> EncoderRecord:
    """Enter an encoder without a network."""
    insert_encoder(
        connection,
        {
            "name": name,
            "dimension": dimension,
            "is_active": False,
            "source": "embeddings",
            "origin": origin,
        },
    )
    return fetch_encoder(connection, name)


def record_origin(
    connection: Connection, record: EncoderRecord, origin: dict[str, object]
) -> EncoderRecord:
    """Write where embeddings come from."""
    connection.execute(
        sa.update(encoder).where(encoder.c.encoder_id == record.encoder_id).values(origin=origin)
    )
    return fetch_encoder(connection, record.name)


def discard_unpublished(connection: Connection, record: EncoderRecord) -> None:
    """Take an encoder away that never had an embedding."""
    drop_staging(connection, record)
    connection.execute(
        sa.delete(encoder)
        .where(encoder.c.encoder_id == record.encoder_id)
        .where(encoder.c.embedded_at.is_(None))
    )


def fetch_galaxies_with(
    connection: Connection, record: EncoderRecord, *, staged: bool
) -> GalaxyIds:
    """Fetch the galaxies that have a published embedding, or one that is staged; ascending."""
    tables = VectorTables(record.encoder_id)
    name = tables.staging if staged else tables.vectors
    if not relation_exists(connection, name):
        return np.empty(0, dtype=np.int32)
    query = sql.SQL("SELECT galaxy_id FROM {} ORDER BY galaxy_id").format(qualified(name))
    with driver_connection(connection).cursor("galaxies_with_embedding") as cursor:
        cursor.itersize = 100_000
        cursor.execute(query)
        return np.fromiter((row[0] for row in cursor), dtype=np.int32)
