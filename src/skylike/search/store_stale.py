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
    """The neighbor run that readers see, and whether its input has changed since it was read.

    Attributes
    ----------
    k, band, width
        Length of the lists and their window in magnitude; band and width are None without one.
    recall
        As measured on a sample when the run was built.
    is_certain
        Was it recorded what the run has seen? Runs made before migration 0006 did not.
    """

    run_id: int
    k: int
    band: str | None
    width: float | None
    recall: float
    catalog_is_newer: bool
    embeddings_are_newer: bool
    is_certain: bool

    @property
    def is_fresh(self) -> bool:
        """Whether the lists were provably made of all that searches compare now."""
        return self.is_certain and not (self.catalog_is_newer or self.embeddings_are_newer)


def fetch_published_run(connection: Connection, *, encoder_id: int) -> PublishedRun | None:
    """Fetch the published neighbor run of an encoder, None without one."""
    row = connection.execute(statement("search_run"), {"encoder_id": encoder_id}).one_or_none()
    return None if row is None else PublishedRun(**row._asdict())
