"""What is still to be embedded: cutouts that are new, or newer than their embedding.

A *shard* is a range of :data:`SHARD_ROWS` cutout identifiers. Its number means the same to every
process, whenever it looks and whatever is done already, so that shards can be divided and claimed
without a plan that all would have to share.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
import numpy.typing as npt
from psycopg import sql
from sqlalchemy import Connection

from skylike.database.copy import driver_connection
from skylike.database.partitions import qualified
from skylike.database.sql_files import statement
from skylike.embeddings.store import EncoderRecord
from skylike.embeddings.store_tables import VectorTables
from skylike.images.index import CutoutFile, CutoutIndex

SHARD_ROWS: Final = 1024
"""Cutouts in a shard: what a kill loses, two times (one embedded, one being written). 4 MB of the
paper's vectors."""


@dataclass(frozen=True)
class Sight:
    """What a process embeds: the pending cutouts as they were when it began."""

    records: tuple[EncoderRecord, ...]
    """Encoders of one network."""

    as_of: datetime
    """Cutouts that change later are not seen: another run embeds them again."""

    with_pictures: bool
    """Also pictures, of galaxies that have no flux cutout: of a galaxy with both the fluxes are
    taken."""


@dataclass(frozen=True)
class PendingCutouts:
    """Cutouts of one or more shards that lack an embedding of one encoder at least."""

    index: CutoutIndex
    """(n,) in the order on disk; E(B-V) and PSF sizes are left unknown."""

    is_wanted: npt.NDArray[np.bool_]
    """(encoders, n) of which encoder the embedding is missing."""


def count_pending(connection: Connection, sight: Sight) -> dict[int, int]:
    """Count the pending cutouts of each shard that has any: number of the shard to count."""
    found: dict[int, int] = {}
    for record in sight.records:
        query = sql.SQL(
            "SELECT (c.cutout_id - 1) / {rows} AS shard, count(*) FROM {cutout} AS c"
            " WHERE {is_pending} GROUP BY shard ORDER BY shard"
        ).format(
            rows=sql.Literal(SHARD_ROWS),
            cutout=qualified("cutout"),
            is_pending=_is_pending(sight, record),
        )
        for shard, count in driver_connection(connection).execute(query):
            found[shard] = max(count, found.get(shard, 0))
    return dict(sorted(found.items()))


def fetch_pending(
    connection: Connection, sight: Sight, shard: int, files: dict[int, CutoutFile]
) -> PendingCutouts:
    """Fetch the pending cutouts of one shard.

    Parameters
    ----------
    files
        All files of cutouts (:func:`skylike.images.store.fetch_files`).
    """
    is_pending = [_is_pending(sight, record) for record in sight.records]
    names = [sql.Identifier(f"wanted_{number}") for number in range(len(is_pending))]
    query = sql.SQL(
        "SELECT * FROM (SELECT c.cutout_id, c.galaxy_id, c.file_id, c.file_row, {wanted}"
        " FROM {cutout} AS c WHERE c.cutout_id BETWEEN {first} AND {last}"
        " AND c.galaxy_id IS NOT NULL) AS found WHERE {any} ORDER BY file_id, file_row"
    ).format(
        wanted=sql.SQL(", ").join(
            sql.SQL("({}) AS {}").format(*pair) for pair in zip(is_pending, names, strict=True)
        ),
        cutout=qualified("cutout"),
        first=sql.Literal(shard * SHARD_ROWS + 1),
        last=sql.Literal((shard + 1) * SHARD_ROWS),
        any=sql.SQL(" OR ").join(names),
    )
    rows = driver_connection(connection).execute(query).fetchall()
    columns = np.array(rows, dtype=np.int32).reshape(len(rows), 4 + len(names))
    unknown = np.full((len(rows), 4), np.nan, dtype=np.float32)
    index = CutoutIndex(
        cutout_id=columns[:, 0],
        galaxy_id=columns[:, 1],
        file_id=columns[:, 2],
        file_row=columns[:, 3],
        ebv=unknown[:, 0],
        psf_size=unknown[:, 1:],
        files=files,
    )
    return PendingCutouts(index, columns[:, 4:].T.astype(np.bool_))


def join_pending(parts: Sequence[PendingCutouts]) -> PendingCutouts:
    """Put the pending cutouts of several shards behind each other."""

    def joined(name: str) -> npt.NDArray[np.int32]:
        return np.concatenate([getattr(part.index, name) for part in parts])

    unknown = np.full((sum(len(part.index) for part in parts), 4), np.nan, dtype=np.float32)
    index = CutoutIndex(
        cutout_id=joined("cutout_id"),
        galaxy_id=joined("galaxy_id"),
        file_id=joined("file_id"),
        file_row=joined("file_row"),
        ebv=unknown[:, 0],
        psf_size=unknown[:, 1:],
        files=parts[0].index.files,
    )
    return PendingCutouts(index, np.concatenate([part.is_wanted for part in parts], axis=1))


def _is_pending(sight: Sight, record: EncoderRecord) -> sql.Composed:
    """Write the condition on ``cutout AS c`` that an encoder still has to embed it."""
    tables = VectorTables(record.encoder_id)
    done = sql.SQL(" AND ").join(
        sql.SQL(
            "NOT EXISTS (SELECT FROM {table} AS e WHERE e.encoder_id = {encoder_id}"
            " AND e.galaxy_id = c.galaxy_id AND e.cutout_id = c.cutout_id"
            " AND e.embedded_at >= c.updated_at)"
        ).format(table=qualified(table), encoder_id=sql.Literal(record.encoder_id))
        for table in ("embedding", tables.staging, tables.blank)
    )
    return sql.SQL(
        "c.galaxy_id IS NOT NULL AND c.updated_at <= {as_of}"
        " AND (c.kind = 'flux' OR ({with_pictures} AND NOT EXISTS ("
        "SELECT FROM {cutout} AS f WHERE f.galaxy_id = c.galaxy_id AND f.kind = 'flux')))"
        " AND {done}"
    ).format(
        as_of=sql.Literal(sight.as_of),
        with_pictures=sql.Literal(sight.with_pictures),
        cutout=qualified("cutout"),
        done=done,
    )


def count_galaxies_with_pictures_only(connection: Connection) -> int:
    """Count the galaxies that have a picture but no flux cutout."""
    return int(connection.execute(statement("embeddings_picture_count")).scalar_one())
