"""``skylike label add`` and ``remove``: from identifiers or a table to statements of an author."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sqlalchemy import Engine

from skylike.catalog.store_labels import fetch_names, no_such_label
from skylike.database.engine import connect
from skylike.errors import NotFoundError, SettingsError
from skylike.labels import store, store_classifier
from skylike.labels.choose import Chosen, Source, choose_galaxies, left_out_lines, read_source
from skylike.labels.names import check_author, check_name, check_text


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
    rows = read_source(source, name)
    if rows is not None and rows.is_member is not None and not is_member:
        raise SettingsError(
            f"{rows.path} has a column is_member, which says for each galaxy whether it is one; "
            "leave --not out, or drop the column"
        )
    with connect(engine) as connection, connection.begin():
        chosen = choose_galaxies(connection, source, rows)
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
    rows = read_source(source, name) if source is not None else None
    with connect(engine) as connection, connection.begin():
        if not store.fetch_overview(connection, name):
            raise NotFoundError(no_such_label(name, fetch_names(connection)))
        chosen = choose_galaxies(connection, source, rows) if source is not None else None
        galaxy_ids = None if chosen is None else chosen.galaxy_ids
        removed = store.remove_statements(connection, name, galaxy_ids=galaxy_ids, author=author)
        gone = source is None and name not in fetch_names(connection)
        forgotten = gone and store_classifier.delete_classifier(connection, name)
    left_out = {} if chosen is None else chosen.left_out
    return RemoveReport(name, removed, left_out, forgotten)


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
