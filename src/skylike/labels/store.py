"""The table ``label``: all SQL on what people said of galaxies."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy import Connection

from skylike.database.sql_files import statement
from skylike.database.tables import classifier

GalaxyIds = npt.NDArray[np.int32]

_QUERY_ROWS: Final = 20_000
"""Galaxies named in one query."""

_NEARBY_ROWS: Final = 1_000
"""Galaxies whose neighbors one query finds. Of more, the planner takes a scan of the whole catalog
for cheaper than probes of its index, and is wrong (20,000 galaxies: 160 s instead of 2 s)."""


@dataclass(frozen=True)
class AddCounts:
    """What an author's statements changed."""

    new: int
    changed: int
    same: int


def add_statements(
    connection: Connection,
    name: str,
    galaxy_ids: GalaxyIds,
    is_member: npt.NDArray[np.bool_],
    *,
    author: str,
    note: str | None,
) -> AddCounts:
    """Write what an author says of galaxies, in the connection's transaction.

    Parameters
    ----------
    galaxy_ids, is_member
        (n,) each; galaxies of the catalog, none twice.
    note
        None keeps the note that is there.
    """
    values = {
        "name": name,
        "galaxy_ids": galaxy_ids.tolist(),
        "is_member": is_member.tolist(),
        "author": author,
        "note": note,
    }
    written = connection.scalars(statement("labels_add"), values).all()
    new = sum(written)
    return AddCounts(new, len(written) - new, len(galaxy_ids) - len(written))


def remove_statements(
    connection: Connection, name: str, *, galaxy_ids: GalaxyIds | None, author: str | None
) -> int:
    """Take back what was said of galaxies; None stands for all galaxies, or all authors."""
    ids = None if galaxy_ids is None else galaxy_ids.tolist()
    values = {"name": name, "galaxy_ids": ids, "author": author}
    return connection.execute(statement("labels_remove"), values).rowcount


def fetch_known(connection: Connection, galaxy_ids: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Tell which of some identifiers, (n,), are galaxies of the catalog."""
    fits = (galaxy_ids >= 1) & (galaxy_ids <= np.iinfo(np.int32).max)
    candidates = np.unique(galaxy_ids[fits])
    known: list[int] = []
    for start in range(0, len(candidates), _QUERY_ROWS):
        part = candidates[start : start + _QUERY_ROWS].tolist()
        known += connection.scalars(statement("labels_known"), {"galaxy_ids": part}).all()
    return np.isin(galaxy_ids, np.array(known, dtype=np.int64))


@dataclass(frozen=True, eq=False)
class Consensus:
    """What the majority of authors says; galaxies by identifier, (n,) int32 each."""

    members: GalaxyIds
    not_members: GalaxyIds
    disputed: GalaxyIds
    """As many say yes as no."""

    @property
    def labeled(self) -> GalaxyIds:
        """All galaxies that anything was said of."""
        return np.sort(np.concatenate([self.members, self.not_members, self.disputed]))


def fetch_consensus(connection: Connection, name: str) -> Consensus:
    """Fetch what the majority of authors says of the galaxies of a label."""
    rows = connection.execute(statement("labels_consensus"), {"name": name}).all()
    ids = np.array([row.galaxy_id for row in rows], dtype=np.int32)
    lead = np.array([row.n_for - row.n_against for row in rows], dtype=np.int64)
    return Consensus(ids[lead > 0], ids[lead < 0], ids[lead == 0])


def fetch_score_names(connection: Connection) -> list[str]:
    """Fetch the labels whose classifier has scored galaxies: each is a cut column score_NAME."""
    return list(connection.scalars(sa.select(classifier.c.name).order_by(classifier.c.name)))


@dataclass(frozen=True)
class LabelOverview:
    """What there is of one label; what begins with ``trained_`` is None without a classifier."""

    name: str
    n_members: int
    n_not_members: int
    n_disputed: int
    labeled_at: datetime | None
    authors: tuple[str, ...]
    encoder: str | None
    is_active: bool | None
    trained_members: int | None
    trained_not_members: int | None
    n_random: int | None
    n_scored: int | None
    regularization: float | None
    average_precision: float | None
    chance: float | None
    roc_auc: float | None
    top_n: int | None
    precision_top_n: float | None
    seed: int | None
    version: str | None
    trained_at: datetime | None
    embeddings_are_newer: bool
    """Were embeddings published after those that the classifier has scored?"""


def fetch_overview(connection: Connection, name: str | None = None) -> list[LabelOverview]:
    """Fetch what there is of each label, by name; of one where a name is given."""
    rows = connection.execute(statement("labels_overview"), {"name": name}).mappings()
    return [LabelOverview(**{**row, "authors": tuple(row["authors"])}) for row in rows]


_EXPORTED: Final = pa.schema(
    [
        ("galaxy_id", pa.int32()),
        ("survey", pa.string()),
        ("object_id", pa.int64()),
        ("ra", pa.float64()),
        ("dec", pa.float64()),
        ("label", pa.string()),
        ("is_member", pa.bool_()),
        ("author", pa.string()),
        ("note", pa.string()),
        ("labeled_at", pa.timestamp("us", tz="UTC")),
    ]
)


def fetch_statements(connection: Connection, names: Sequence[str]) -> pa.Table:
    """Fetch everything that was said under some labels: by label, galaxy and author."""
    rows = connection.execute(statement("labels_export"), {"names": list(names)}).mappings()
    return pa.Table.from_pylist([dict(row) for row in rows], schema=_EXPORTED)


@dataclass(frozen=True, eq=False)
class Places:
    """Where galaxies are, and what they are called outside this database; (n,) each."""

    galaxy_ids: GalaxyIds
    ra: npt.NDArray[np.float64]
    dec: npt.NDArray[np.float64]
    keys: tuple[str, ...]
    """``survey/object_id``."""


def fetch_nearby(
    connection: Connection, galaxy_ids: GalaxyIds, *, radius: float, limit: int
) -> Places:
    """Fetch the galaxies within ``radius`` degrees of some, these included; at most ``limit``."""
    found: dict[int, tuple[float, float, str]] = {}
    for start in range(0, len(galaxy_ids), _NEARBY_ROWS):
        values = {
            "galaxy_ids": galaxy_ids[start : start + _NEARBY_ROWS].tolist(),
            "radius": radius,
            "limit": limit,
        }
        for row in connection.execute(statement("labels_nearby"), values):
            found[row.galaxy_id] = (row.ra, row.dec, f"{row.survey}/{row.object_id}")
        if len(found) >= limit:
            break
    ids = sorted(found)
    return Places(
        np.array(ids, dtype=np.int32),
        np.array([found[i][0] for i in ids], dtype=np.float64),
        np.array([found[i][1] for i in ids], dtype=np.float64),
        tuple(found[i][2] for i in ids),
    )


def fetch_positions(
    connection: Connection, galaxy_ids: GalaxyIds
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Fetch ra and dec, (n,) ICRS degrees, of galaxies in the order given."""
    rows = connection.execute(
        statement("labels_positions"), {"galaxy_ids": galaxy_ids.tolist()}
    ).all()
    ids = np.array([row.galaxy_id for row in rows], dtype=np.int32)
    place = np.searchsorted(ids, galaxy_ids)
    return (
        np.array([row.ra for row in rows], dtype=np.float64)[place],
        np.array([row.dec for row in rows], dtype=np.float64)[place],
    )


def fetch_cutout_places(
    connection: Connection, galaxy_ids: GalaxyIds
) -> dict[int, tuple[str, int, str]]:
    """Fetch file, row and kind of one cutout of each galaxy that has any."""
    found: dict[int, tuple[str, int, str]] = {}
    for start in range(0, len(galaxy_ids), _QUERY_ROWS):
        part = galaxy_ids[start : start + _QUERY_ROWS].tolist()
        for row in connection.execute(statement("labels_cutouts"), {"galaxy_ids": part}):
            found[row.galaxy_id] = (row.cutout_file, row.cutout_row, row.cutout_kind)
    return found
