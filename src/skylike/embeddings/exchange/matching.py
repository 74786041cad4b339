"""From names of galaxies in a file to galaxies of the catalog, one row for each galaxy."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection

from skylike.catalog.match import match_positions
from skylike.catalog.store import fetch_galaxy_ids
from skylike.embeddings.exchange import store_import
from skylike.embeddings.exchange.identifiers import RowNames
from skylike.errors import SettingsError
from skylike.progress import SILENT, Progress

NO_GALAXY = -1

_PART_ROWS = 65_536


@dataclass(frozen=True, eq=False)
class MatchedRows:
    """Which row of a file is taken for which galaxy."""

    galaxy_id: npt.NDArray[np.int32]
    """(n,) of each row; -1 where it is not taken."""

    n_unnamed: int
    """Rows without identifier or position."""

    n_unmatched: int
    """Rows whose galaxy is not in the catalog."""

    n_doubles: int
    """Rows whose galaxy another row is taken for: the nearest, or the first."""


def match_rows(
    connection: Connection,
    names: RowNames,
    *,
    radius_arcsec: float,
    survey: str | None = None,
    progress: Progress = SILENT,
) -> MatchedRows:
    """Find the galaxy of each row.

    Parameters
    ----------
    radius_arcsec
        Farthest match of a position.
    survey
        Survey of every ``object_id``; None takes what the file says, or the only one there is.

    Raises
    ------
    SettingsError
        The file does not tell the survey, and there are several; or no such survey.
    """
    n = len(names)
    found = np.full(n, NO_GALAXY, dtype=np.int32)
    separation = np.zeros(n)
    surveys = _surveys(connection, names, survey)
    with progress.task("matching", total=n, unit="rows") as task:
        for first in range(0, n, _PART_ROWS):
            part = slice(first, min(first + _PART_ROWS, n))
            if names.way == "position":
                found[part], separation[part] = match_positions(
                    connection, names.ra[part], names.dec[part], radius_arcsec=radius_arcsec
                )
            elif names.way == "galaxy_id":
                found[part] = store_import.fetch_known_galaxies(connection, names.ids[part])
            else:
                found[part] = _by_object_id(connection, names.ids[part], surveys[part])
            task.advance(part.stop - first)
    is_named = names.ids >= 0 if names.way != "position" else np.isfinite(names.ra + names.dec)
    is_matched = found != NO_GALAXY
    taken = _one_for_each(found, separation)
    return MatchedRows(
        galaxy_id=np.where(taken, found, NO_GALAXY).astype(np.int32),
        n_unnamed=int((~is_named).sum()),
        n_unmatched=int((is_named & ~is_matched).sum()),
        n_doubles=int((is_matched & ~taken).sum()),
    )


def _surveys(connection: Connection, names: RowNames, survey: str | None) -> npt.NDArray[np.str_]:
    """Return the survey of each row's ``object_id``."""
    if names.way != "object_id":
        if survey is not None:
            raise SettingsError(f"--survey goes with object_id; rows are told by {names.way}")
        return names.surveys
    there = store_import.fetch_survey_names(connection)
    if survey is not None:
        if survey not in there:
            raise SettingsError(
                f"--survey {survey}: the catalog has {', '.join(there) or 'no survey yet'}"
            )
        return np.full(len(names), survey)
    if not (names.surveys == "").any():
        return names.surveys
    if len(there) > 1:
        raise SettingsError(
            f"object_id means one thing in each survey; say which of {', '.join(there)} with "
            "--survey"
        )
    return np.where(names.surveys == "", there[0] if there else "", names.surveys)


def _by_object_id(
    connection: Connection, ids: npt.NDArray[np.int64], surveys: npt.NDArray[np.str_]
) -> npt.NDArray[np.int32]:
    found = np.full(len(ids), NO_GALAXY, dtype=np.int32)
    for name in np.unique(surveys[ids >= 0]).tolist():
        rows = np.flatnonzero((surveys == name) & (ids >= 0))
        found[rows] = fetch_galaxy_ids(connection, name, ids[rows])
    return found


def _one_for_each(
    found: npt.NDArray[np.int32], separation: npt.NDArray[np.float64]
) -> npt.NDArray[np.bool_]:
    """Tell which rows are taken: of those of one galaxy the nearest, and of these the first."""
    rows = np.flatnonzero(found != NO_GALAXY)
    order = rows[np.lexsort((rows, separation[rows], found[rows]))]
    is_first = np.ones(len(order), dtype=np.bool_)
    is_first[1:] = found[order[1:]] != found[order[:-1]]
    taken = np.zeros(len(found), dtype=np.bool_)
    taken[order[is_first]] = True
    return taken
