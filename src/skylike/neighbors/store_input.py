"""The input of a run: embeddings and magnitudes of one moment, and what tells it from another."""

import hashlib
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from psycopg import sql
from sqlalchemy import Connection

from skylike.bands import BANDS
from skylike.database.copy import iter_fixed_rows, iter_halfvec_rows
from skylike.database.partitions import qualified
from skylike.database.tables import embedding, galaxy
from skylike.embeddings.store import EncoderRecord
from skylike.embeddings.store_vectors import iter_vectors_of

GalaxyIds = npt.NDArray[np.int32]


def fetch_magnitudes(
    connection: Connection, encoder_id: int, band: str | None
) -> tuple[GalaxyIds, npt.NDArray[np.float32]]:
    """Fetch the galaxies with an embedding, by identifier, and their magnitudes (NaN where NULL).

    Parameters
    ----------
    band
        One of :data:`skylike.bands.BANDS`; None gives NaN for all.
    """
    magnitude = sql.Identifier("g", f"mag_{band}") if band else sql.SQL("NULL::real")
    query = sql.SQL(
        "SELECT e.galaxy_id, coalesce({magnitude}, 'NaN'::real)"
        " FROM {embedding} AS e JOIN {galaxy} AS g ON g.galaxy_id = e.galaxy_id"
        " WHERE e.encoder_id = {encoder_id} ORDER BY e.galaxy_id"
    ).format(
        magnitude=magnitude,
        embedding=qualified("embedding"),
        galaxy=qualified("galaxy"),
        encoder_id=sql.Literal(encoder_id),
    )
    columns = [("id", ">i4"), ("magnitude", ">f4")]
    ids, magnitudes = [np.empty(0, np.int32)], [np.empty(0, np.float32)]
    for rows in iter_fixed_rows(connection, query, columns, batch_rows=65_536):
        ids.append(rows["id"].astype(np.int32))
        magnitudes.append(rows["magnitude"].astype(np.float32))
    return np.concatenate(ids), np.concatenate(magnitudes)


def fetch_filled_bands(connection: Connection, encoder_id: int) -> list[str]:
    """Fetch the bands in which any galaxy with an embedding has a magnitude."""
    has = [sa.func.bool_or(galaxy.c[f"mag_{band}"].is_not(None)).label(band) for band in BANDS]
    row = connection.execute(
        sa.select(*has)
        .join_from(galaxy, embedding, embedding.c.galaxy_id == galaxy.c.galaxy_id)
        .where(embedding.c.encoder_id == encoder_id)
    ).one()
    return [band for band, is_filled in zip(BANDS, row, strict=True) if is_filled]


def iter_embeddings(
    connection: Connection, record: EncoderRecord
) -> Iterator[tuple[GalaxyIds, npt.NDArray[np.float16]]]:
    """Stream all embeddings of an encoder: identifiers (b,) and vectors (b, d), in any order."""
    query = sql.SQL("SELECT galaxy_id, embedding FROM {} WHERE encoder_id = {}").format(
        qualified("embedding"), sql.Literal(record.encoder_id)
    )
    return iter_halfvec_rows(connection, query, dimension=record.dimension, batch_rows=2048)


def fetch_vectors(
    connection: Connection, record: EncoderRecord, galaxy_ids: GalaxyIds
) -> tuple[GalaxyIds, npt.NDArray[np.float16]]:
    """Fetch the embeddings of some galaxies; those without one are missing from the answer."""
    parts = list(
        iter_vectors_of(
            connection,
            galaxy_ids,
            encoder_id=record.encoder_id,
            dimension=record.dimension,
        )
    )
    if not parts:
        return np.empty(0, np.int32), np.empty((0, record.dimension), np.float16)
    return np.concatenate([ids for ids, _ in parts]), np.concatenate([rows for _, rows in parts])


def fingerprint(
    connection: Connection,
    record: EncoderRecord,
    galaxy_ids: GalaxyIds,
    magnitudes: npt.NDArray[np.float32],
) -> str:
    """Return a digest that changes when the input of a run does.

    It covers every galaxy and magnitude, and the number and newest time of the embeddings (an
    embedding that is computed again gets a new time).
    """
    newest, number = connection.execute(
        sa.select(sa.func.max(embedding.c.embedded_at), sa.func.count()).where(
            embedding.c.encoder_id == record.encoder_id
        )
    ).one()
    digest = hashlib.sha256(f"{record.checkpoint_sha256} {newest} {number}".encode())
    digest.update(np.ascontiguousarray(galaxy_ids).data)
    digest.update(np.ascontiguousarray(magnitudes).data)
    return digest.hexdigest()
