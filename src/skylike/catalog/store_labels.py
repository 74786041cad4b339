"""Names of labels, as cuts of the catalog may write them in ``has_label``."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy import Connection

from skylike.cuts import Cut
from skylike.cuts.syntax import HasLabel, iter_values
from skylike.database.tables import label
from skylike.errors import NotFoundError


def fetch_names(connection: Connection) -> list[str]:
    """Fetch the names of all labels, in order."""
    return list(connection.scalars(sa.select(label.c.name).distinct().order_by(label.c.name)))


def no_such_label(name: str, names: Sequence[str]) -> str:
    """Say that nothing was said under a label, and what there is."""
    there = f"there are {', '.join(names)}" if names else "there is no label yet"
    return f"nothing is labeled {name}; {there}; add some with `skylike label add {name}`"


def check_labels(connection: Connection, cut: Cut) -> None:
    """See that the labels that a cut names are there.

    A misspelled label would otherwise be taken for one without members.

    Raises
    ------
    NotFoundError
        Nothing was said under a label that it names.
    """
    named = {value.name for value in iter_values(cut.condition) if isinstance(value, HasLabel)}
    if named:
        known = fetch_names(connection)
        for name in sorted(named.difference(known)):
            raise NotFoundError(no_such_label(name, known))
