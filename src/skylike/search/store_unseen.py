"""Why nothing matches: what the catalog has without embeddings, and surveys that are not there."""

import difflib
from collections.abc import Iterator

import sqlalchemy as sa
from sqlalchemy import Connection

from skylike.cuts import Cut, to_expression
from skylike.cuts.syntax import Column, Comparison, Membership, Text, Value, iter_values
from skylike.database.tables import survey
from skylike.embeddings.store import EncoderRecord
from skylike.search.store_statements import G, S, Scope, cut_columns, in_cone


def nothing_matches(connection: Connection, scope: Scope, record: EncoderRecord) -> str | None:
    """Say of a search that no embedded galaxy matches what the catalog has; None without limits.

    Counts galaxies of the catalog, those without an embedding included.
    """
    if scope.is_everything:
        return None
    count = _count_galaxies(connection, scope)
    if not count:
        hint = _survey_hint(connection, scope.cut)
        return "No galaxy of the catalog does either" + (f": {hint}" if hint else "")
    if count == 1:
        does = "1 galaxy of the catalog does, but has no embedding"
    else:
        does = f"{count:,} galaxies of the catalog do, but none has an embedding"
    return (
        f"{does} by {record.name}; add images with `skylike images add`, then run "
        f"`skylike embed --encoder {record.name}`"
    )


def _count_galaxies(connection: Connection, scope: Scope) -> int:
    found = sa.select(sa.func.count()).select_from(G.join(S, S.c.survey_id == G.c.survey_id))
    if scope.cut is not None:
        found = found.where(to_expression(scope.cut, cut_columns(G, scope.scores)))
    if scope.cone is not None:
        found = found.where(in_cone(scope.cone, G.c.ra, G.c.dec))
    if scope.excluded:
        found = found.where(
            G.c.galaxy_id != sa.all_(sa.literal(list(scope.excluded), sa.ARRAY(sa.Integer)))
        )
    return int(connection.scalar(found) or 0)


def _survey_hint(connection: Connection, cut: Cut | None) -> str | None:
    """Name the first survey in a cut that is not there, and those that may be meant."""
    named = [] if cut is None else list(_named_surveys(cut))
    known = sorted(connection.scalars(sa.select(survey.c.name))) if named else []
    for name in named:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=2)
            there = (
                f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known)}"
            )
            return f"there is no survey {name}; {there}"
    return None


def _named_surveys(cut: Cut) -> Iterator[str]:
    for value in iter_values(cut.condition):
        match value:
            case Comparison(operator="=", left=left, right=right):
                sides: tuple[Value, ...] = (left, right)
            case Membership(operand=operand, choices=choices):
                sides = (operand, *choices)
            case _:
                continue
        if any(isinstance(side, Column) and side.name == "survey" for side in sides):
            yield from (side.value for side in sides if isinstance(side, Text))
