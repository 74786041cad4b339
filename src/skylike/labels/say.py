"""``skylike label add`` and ``remove``: from identifiers or a table to statements of an author."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, Engine

from skylike.catalog.match import match_positions
from skylike.catalog.store import fetch_galaxy_ids
from skylike.database.engine import connect
from skylike.errors import GalaxyNotFoundError, NotFoundError, SettingsError
from skylike.labels import store, store_classifier
from skylike.labels.names import check_author, check_name, check_text
from skylike.labels.rows import GalaxyRows, read_rows
from skylike.labels.training import no_such_label

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


@dataclass(frozen=True)
class AddReport:
    """What ``skylike label add`` did."""

    name: str
    author: str
    counts: store.AddCounts
    chosen: Chosen
    path: Path | None


def add_labels(
    engine: Engine,
    name: str,
    source: Source,
    *,
    author: str,
    is_member: bool = True,
    note: str | None = None,
) -> AddReport:
    """Write that galaxies are members of a label, or are none. Saying it again changes nothing.

    Parameters
    ----------
    is_member
        False says that they were looked at and are none. A table with a column ``is_member`` (an
        export) says it itself, row by row.
    note
        What to remember about these galaxies; None keeps what is there.

    Raises
    ------
    SettingsError
        Name, author, note or source are no such thing.
    SurveyFileError
        The table cannot be read.
    GalaxyNotFoundError
        A galaxy that was named is not in the catalog, or none of the table is.
    """
    check_name(name)
    author = check_author(author)
    note = check_text(note, "--note") if note is not None else None
    rows = _read(source, name)
    if rows is not None and rows.is_member is not None and not is_member:
        raise SettingsError(
            f"{rows.path} has a column is_member, which says for each galaxy whether it is one; "
            "leave --not out, or drop the column"
        )
    with connect(engine) as connection, connection.begin():
        chosen = _choose(connection, source, rows)
        truths = chosen.is_member
        if truths is None:
            truths = np.full(len(chosen.galaxy_ids), is_member)
        counts = store.add_statements(
            connection, name, chosen.galaxy_ids, truths, author=author, note=note
        )
    return AddReport(name, author, counts, chosen, source.path)


@dataclass(frozen=True)
class RemoveReport:
    """What ``skylike label remove`` did."""

    name: str
    removed: int
    left_out: Mapping[str, int]
    classifier_removed: bool


def remove_labels(
    engine: Engine, name: str, source: Source | None, *, author: str | None
) -> RemoveReport:
    """Take back what was said under a label; its classifier goes with the last statement.

    Parameters
    ----------
    source
        Galaxies, or None for all.
    author
        Who takes back what they said; None takes back what anybody said.

    Raises
    ------
    NotFoundError
        Nothing was said under this label and it has no classifier.
    """
    check_name(name)
    author = check_author(author) if author is not None else None
    rows = _read(source, name) if source is not None else None
    with connect(engine) as connection, connection.begin():
        if not store.fetch_overview(connection, name):
            raise NotFoundError(no_such_label(name, store.fetch_names(connection)))
        chosen = _choose(connection, source, rows) if source is not None else None
        galaxy_ids = None if chosen is None else chosen.galaxy_ids
        removed = store.remove_statements(connection, name, galaxy_ids=galaxy_ids, author=author)
        gone = source is None and name not in store.fetch_names(connection)
        forgotten = gone and store_classifier.delete_classifier(connection, name)
    left_out = {} if chosen is None else chosen.left_out
    return RemoveReport(name, removed, left_out, forgotten)


def _read(source: Source, name: str) -> GalaxyRows | None:
    if source.path is None:
        return None
    return read_rows(source.path, name=name, survey=source.survey, columns=source.columns)


def _choose(connection: Connection, source: Source, rows: GalaxyRows | None) -> Chosen:
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


def add_lines(report: AddReport) -> list[str]:
    """Say for people what was added."""
    counts, chosen = report.counts, report.chosen
    lines = [
        f"label {report.name}: {counts.new:,} new, {counts.changed:,} changed, "
        f"{counts.same:,} the same (author {report.author})"
    ]
    if report.path is not None:
        far = chosen.largest_separation
        matched = f", matched within {far:.2f} arcsec" if far is not None else ""
        lines.append(f"  {report.path.name}: {chosen.n_rows:,} rows{matched}")
    return lines + left_out_lines(chosen.left_out)


def remove_lines(report: RemoveReport) -> list[str]:
    """Say for people what was removed."""
    statements = "statement" if report.removed == 1 else "statements"
    lines = [f"label {report.name}: {report.removed:,} {statements} removed"]
    if report.classifier_removed:
        lines.append(f"  its classifier and the column score_{report.name} are gone too")
    return lines + left_out_lines(report.left_out)


def left_out_lines(left_out: Mapping[str, int]) -> list[str]:
    """Say how many rows of a table were not used, and why."""
    return [f"  left out, {_rows(n)} {reason}" for reason, n in sorted(left_out.items())]


def _rows(n: int) -> str:
    return "1 row" if n == 1 else f"{n:,} rows"
