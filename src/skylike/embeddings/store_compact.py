"""Compact vectors on their way: ``compact_staging_e<ID>`` holds them until they are published."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from sqlalchemy import Connection

from skylike.database.copy import copy_into, halfvec_column
from skylike.database.engine import SCHEMA
from skylike.database.partitions import hide, qualified, run
from skylike.embeddings.store import EncoderRecord
from skylike.embeddings.store_tables import GalaxyIds, VectorTables


def begin_compact_staging(connection: Connection, record: EncoderRecord) -> None:
    """Make an empty table for compact vectors."""
    name = VectorTables(record.encoder_id).compact_staging
    run(connection, "DROP TABLE IF EXISTS {table}", table=qualified(name))
    run(
        connection,
        "CREATE UNLOGGED TABLE {table} (galaxy_id integer NOT NULL, compact halfvec NOT NULL)",
        table=qualified(name),
    )
    hide(connection, name)


def stage_compact(
    connection: Connection,
    record: EncoderRecord,
    galaxy_id: GalaxyIds,
    compact: npt.NDArray[np.float16],
) -> None:
    """Append compact vectors (b, m + 1) to their staging table."""
    batch = pa.RecordBatch.from_pydict(
        {"galaxy_id": pa.array(galaxy_id), "compact": halfvec_column(compact)}
    )
    copy_into(connection, f"{SCHEMA}.{VectorTables(record.encoder_id).compact_staging}", batch)
