"""Reads how fresh an answer is: images, catalog and embeddings that have changed since."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from skylike.database.sql_files import statement


def count_stale(connection: Connection, *, encoder_id: int, galaxy_ids: Sequence[int]) -> int:
    """Count the galaxies whose image is gone, changed since it was embedded, or not theirs now."""
    found = connection.scalar(
        statement("search_stale"), {"encoder_id": encoder_id, "galaxy_ids": list(galaxy_ids)}
    )
    return int(found or 0)


@dataclass(frozen=True)
class PublishedRun:
    """The neighbor run that readers see, and whether its input has changed since it was read."""

    run_id: int
    catalog_is_newer: bool
    embeddings_are_newer: bool


def fetch_published_run(connection: Connection, *, encoder_id: int) -> PublishedRun | None:
    """Fetch the published neighbor run of an encoder, None without one."""
    row = connection.execute(statement("search_run"), {"encoder_id": encoder_id}).one_or_none()
    return None if row is None else PublishedRun(**row._asdict())
