"""The tables of one encoder's vectors: names, making partitions, deleting rows."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from psycopg import sql
from sqlalchemy import Connection

from skylike.database.copy import driver_connection
from skylike.database.partitions import qualified, run
from skylike.embeddings.store import EncoderRecord

GalaxyIds = npt.NDArray[np.int32]


@dataclass(frozen=True)
class VectorTables:
    """Names of the tables of one encoder."""

    encoder_id: int

    @property
    def vectors(self) -> str:
        """Partition of ``embedding``."""
        return f"embedding_e{self.encoder_id}"

    @property
    def compact(self) -> str:
        """Partition of ``embedding_compact``."""
        return f"embedding_compact_e{self.encoder_id}"

    @property
    def staging(self) -> str:
        """Finished shards, in the shape of the partition."""
        return f"embedding_staging_e{self.encoder_id}"

    @property
    def blank(self) -> str:
        """Cutouts that gave no embedding, since the last publication."""
        return f"embedding_blank_e{self.encoder_id}"

    @property
    def shards(self) -> str:
        """Which galaxies were staged together, and in whose sums they are."""
        return f"embedding_shards_e{self.encoder_id}"

    @property
    def sums(self) -> str:
        """Sums over staged embeddings, for mean and principal axes."""
        return f"embedding_sums_e{self.encoder_id}"

    @property
    def compact_staging(self) -> str:
        """Compact vectors on their way."""
        return f"compact_staging_e{self.encoder_id}"


def create_partition_like(
    connection: Connection, name: str, parent: str, column: str, record: EncoderRecord
) -> None:
    """Make a table that can be attached to ``parent`` without being scanned."""
    dimension = record.dimension
    if column == "compact":
        dimension = (record.compact_components or 0) + 1
    run(
        connection,
        "CREATE TABLE {table} (LIKE {parent} INCLUDING DEFAULTS INCLUDING COMMENTS,"
        " CONSTRAINT {key} PRIMARY KEY (encoder_id, galaxy_id),"
        " CONSTRAINT {is_encoder} CHECK (encoder_id = {encoder_id}),"
        " CONSTRAINT {is_dimension} CHECK (vector_dims({column}) = {dimension}))",
        table=qualified(name),
        parent=qualified(parent),
        key=sql.Identifier(f"{name}_pkey"),
        is_encoder=sql.Identifier(f"{name}_encoder_check"),
        is_dimension=sql.Identifier(f"{name}_dimension_check"),
        encoder_id=sql.Literal(record.encoder_id),
        column=sql.Identifier(column),
        dimension=sql.Literal(dimension),
    )


def delete_galaxies(
    connection: Connection, record: EncoderRecord, table: str, galaxies: GalaxyIds
) -> GalaxyIds:
    """Remove the rows of some galaxies from a table of an encoder; return those that were there."""
    query = sql.SQL(
        # The encoder is all that the table has; naming it lets the primary key serve.
        "DELETE FROM {table} WHERE encoder_id = {encoder_id} AND galaxy_id = ANY ({ids}::integer[])"
        " RETURNING galaxy_id"
    ).format(
        table=qualified(table),
        encoder_id=sql.Literal(record.encoder_id),
        ids=sql.Literal(galaxies.tolist()),
    )
    rows = driver_connection(connection).execute(query).fetchall()
    return np.array([galaxy_id for (galaxy_id,) in rows], dtype=np.int32)
