"""Which galaxies identifiers and a table mean: matched with the catalog, the rest counted."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection

from skylike.catalog.match import match_positions
from skylike.catalog.store import fetch_galaxy_ids
from skylike.errors import GalaxyNotFoundError, SettingsError
from skylike.labels import store
from skylike.labels.rows import GalaxyRows, read_rows

GalaxyIds = npt.NDArray[np.int32]
Truth = npt.NDArray[np.bool_]

MATCH_RADIUS_ARCSEC: Final = 1.0
"""Farthest match of a position with a galaxy, as of images: smaller than the PSF."""

CONTRADICTED: Final = "of a galaxy that the table calls both a member and none"
AGAIN: Final = "of a galaxy that an earlier row names"


@dataclass(frozen=True)
class Source:
    """Which galaxies are meant: those named, and those in a table.

    Attributes
    ----------
    galaxy_ids
        Identifiers; each must be in the catalog.
    path
        A table, or None.
    survey, columns
        See :func:`skylike.labels.rows.read_rows`.
    match_radius_arcsec
        Farthest that a galaxy may lie from a position of the table.
    """

    galaxy_ids: tuple[int, ...] = ()
    path: Path | None = None
    survey: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    match_radius_arcsec: float = MATCH_RADIUS_ARCSEC

    def __post_init__(self) -> None:
        if not self.galaxy_ids and self.path is None:
            raise SettingsError("no galaxy is named; give --galaxy ID or --from FILE")
        if not 0 < self.match_radius_arcsec <= 60:
            raise SettingsError(
                f"--match-radius {self.match_radius_arcsec:g} is out of range; take up to 60 arcsec"
            )


@dataclass(frozen=True, eq=False)
class Chosen:
    """The galaxies that a source means.

    Attributes
    ----------
    galaxy_ids
        (n,) ascending, none twice.
    is_member
        (n,) what the table says, or None where it does not.
    n_rows
        Rows of the table, 0 without one.
    left_out
        How many of them are not used, by reason.
    largest_separation
        Farthest match of a position, arcsec; None where positions did not tell.
    """

    galaxy_ids: GalaxyIds
    is_member: Truth | None
    n_rows: int = 0
    left_out: Mapping[str, int] = field(default_factory=dict)
    largest_separation: float | None = None


def read_source(source: Source, name: str) -> GalaxyRows | None:
    """Read the table of a source, None without one; see :func:`skylike.labels.rows.read_rows`."""
    if source.path is None:
        return None
    return read_rows(source.path, name=name, survey=source.survey, columns=source.columns)


def choose_galaxies(connection: Connection, source: Source, rows: GalaxyRows | None) -> Chosen:
    """Find the galaxies of a source in the catalog.

    Parameters
    ----------
    rows
        What :func:`read_source` gave.

    Raises
    ------
    GalaxyNotFoundError
        A galaxy that was named is not in the catalog, or no row of the table can be used.
    """
    named = _named(connection, source.galaxy_ids)
    if rows is None:
        return Chosen(named, None)
    galaxy_id, separation = _match(connection, rows, source)
    reasons = rows.left_out.copy()
    reasons[(reasons == "") & (galaxy_id < 0)] = _not_found(rows, source)
    used = np.flatnonzero(reasons == "")
    _drop_repeated(galaxy_id, rows.is_member, reasons, used)
    left_out = Counter(reason for reason in reasons.tolist() if reason)
    used = np.flatnonzero(reasons == "")
    if not len(used) and not len(named):
        said = "; ".join(f"{_rows(n)} {reason}" for reason, n in sorted(left_out.items()))
        raise GalaxyNotFoundError(
            f"{rows.path}: none of its {len(rows):,} rows can be used: {said}; load that catalog "
            "with `skylike catalog load`, or correct the table"
        )
    matched = separation[used][np.isfinite(separation[used])]
    ids, first = np.unique(np.concatenate([named, galaxy_id[used]]), return_index=True)
    is_member = None
    if rows.is_member is not None:
        both = np.concatenate([np.ones(len(named), dtype=bool), rows.is_member[used]])
        is_member = both[first]
    largest = float(matched.max()) if len(matched) else None
    return Chosen(ids.astype(np.int32), is_member, len(rows), dict(left_out), largest)


def _named(connection: Connection, galaxy_ids: Sequence[int]) -> GalaxyIds:
    # An identifier beyond int64 is no galaxy either.
    ids = np.array([n if abs(n) < 2**63 else 0 for n in galaxy_ids], dtype=np.int64)
    missing = [
        str(n)
        for n, known in zip(galaxy_ids, store.fetch_known(connection, ids), strict=True)
        if not known
    ]
    if missing:
        those = ", ".join(missing[:5]) + (" ..." if len(missing) > 5 else "")
        raise GalaxyNotFoundError(
            f"galaxy {those} is not in the catalog; nothing was changed; look the galaxy_id up "
            "with `skylike search` or in skylike.galaxy"
        )
    return np.unique(ids).astype(np.int32)


def _match(
    connection: Connection, rows: GalaxyRows, source: Source
) -> tuple[GalaxyIds, npt.NDArray[np.float64]]:
    usable = np.flatnonzero(rows.left_out == "")
    found = np.full(len(rows), -1, dtype=np.int32)
    separation = np.full(len(rows), np.nan)
    if rows.way == "position":
        found[usable], separation[usable] = match_positions(
            connection, rows.ra[usable], rows.dec[usable], radius_arcsec=source.match_radius_arcsec
        )
    elif rows.way == "galaxy_id":
        known = store.fetch_known(connection, rows.ids[usable])
        found[usable[known]] = rows.ids[usable[known]].astype(np.int32)
    else:
        for survey in np.unique(rows.surveys[usable]).tolist():
            of_survey = usable[rows.surveys[usable] == survey]
            found[of_survey] = fetch_galaxy_ids(connection, survey, rows.ids[of_survey])
    return found, separation


def _not_found(rows: GalaxyRows, source: Source) -> str:
    if rows.way == "position":
        return f"without a galaxy within {source.match_radius_arcsec:g} arcsec"
    return f"whose {rows.way} is not in the catalog"


def _drop_repeated(
    galaxy_id: GalaxyIds,
    is_member: Truth | None,
    reasons: npt.NDArray[np.object_],
    used: npt.NDArray[np.int64],
) -> None:
    """Give a reason to rows that repeat a galaxy, or contradict another row about it."""
    _, first, place = np.unique(galaxy_id[used], return_index=True, return_inverse=True)
    earlier = used[first][place]  # (u,) the first row of the same galaxy
    again = earlier != used
    if is_member is not None:
        differs = used[is_member[used] != is_member[earlier]]
        contradicted = np.isin(galaxy_id[used], galaxy_id[differs])
        reasons[used[contradicted]] = CONTRADICTED
        again &= ~contradicted
    reasons[used[again]] = AGAIN


def left_out_lines(left_out: Mapping[str, int]) -> list[str]:
    """Say how many rows of a table were not used, and why."""
    return [f"  left out, {_rows(n)} {reason}" for reason, n in sorted(left_out.items())]


def _rows(n: int) -> str:
    return "1 row" if n == 1 else f"{n:,} rows"
