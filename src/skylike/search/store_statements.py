"""The statements that rank: for the server with parameters, for people with values in place."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from pgvector.sqlalchemy import HALFVEC
from sqlalchemy import ColumnElement, Select
from sqlalchemy.dialects.postgresql import DOUBLE_PRECISION

from skylike.cuts import GALAXY_KINDS, Cut, to_expression
from skylike.cuts.coordinates import Cone
from skylike.cuts.written import written
from skylike.database.engine import SCHEMA
from skylike.database.tables import embedding, galaxy, survey

E = embedding.alias("e")
G = galaxy.alias("g")
S = survey.alias("s")

CUT_COLUMNS: Final[dict[str, ColumnElement[object]]] = {
    name: S.c.name if name == "survey" else G.c[name] for name in GALAXY_KINDS
}

_NAN: Final[ColumnElement[float]] = sa.literal_column("'NaN'::double precision", DOUBLE_PRECISION)


@dataclass(frozen=True)
class Scope:
    """Which rows a search is among.

    Attributes
    ----------
    encoder_id
        Whose embeddings are compared.
    cut, cone
        What galaxies must meet, or None.
    excluded
        Galaxies that may not be results: the examples.
    """

    encoder_id: int
    cut: Cut | None = None
    cone: Cone | None = None
    excluded: tuple[int, ...] = ()


def in_cone(cone: Cone) -> ColumnElement[bool]:
    """Is the galaxy in the cone? Inlined by the server, so that the index on (dec, ra) serves."""
    function = getattr(sa.func, SCHEMA).in_cone
    center = [sa.literal(value, DOUBLE_PRECISION) for value in (cone.ra, cone.dec, cone.radius)]
    return sa.type_coerce(function(G.c.ra, G.c.dec, *center), sa.Boolean)


def _conditions(scope: Scope) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [E.c.encoder_id == sa.literal(scope.encoder_id)]
    if scope.cut is not None:
        conditions.append(to_expression(scope.cut, CUT_COLUMNS))
    if scope.cone is not None:
        conditions.append(in_cone(scope.cone))
    if scope.excluded:
        conditions.append(_none_of(scope.excluded))
    return conditions


def _none_of(galaxy_ids: tuple[int, ...]) -> ColumnElement[bool]:
    if len(galaxy_ids) == 1:
        return E.c.galaxy_id != sa.literal(galaxy_ids[0])
    return E.c.galaxy_id.not_in(galaxy_ids)


def _matching(scope: Scope, *columns: ColumnElement[Any]) -> Select[Any]:
    tables: sa.FromClause = E
    if scope.cut is not None or scope.cone is not None:
        tables = tables.join(G, G.c.galaxy_id == E.c.galaxy_id)
    if scope.cut is not None and "survey" in scope.cut.columns:
        tables = tables.join(S, S.c.survey_id == G.c.survey_id)
    return sa.select(*columns).select_from(tables).where(*_conditions(scope))


def count_statement(scope: Scope) -> Select[tuple[int]]:
    """Count the rows that a search is among."""
    return _matching(scope, sa.func.count())


def ranking_statement(
    scope: Scope, vector: npt.NDArray[np.float16], *, limit: int, least_similar: bool
) -> Select[tuple[int, float | None]]:
    """Rank all rows of the scope by pgvector's cosine distance to a vector (d,).

    Columns ``galaxy_id`` and ``distance``, which is NULL for rows without a direction (zero
    vectors); those come last.

    The sort key is an expression around the operator: no index, approximate or not, can give that
    order, so the planner has no choice but to compute every distance. A bare ``ORDER BY embedding
    <=> q`` beside a cut lets it take an approximate index and return too few rows without a word
    (1.8 of 20, measured).
    """
    distance = sa.func.nullif(
        E.c.embedding.cosine_distance(sa.literal(vector, HALFVEC(len(vector)))), _NAN
    ).label("distance")
    direction = distance.desc() if least_similar else distance.asc()
    return (
        _matching(scope, E.c.galaxy_id, distance)
        .order_by(direction.nulls_last(), E.c.galaxy_id)
        .limit(limit)
    )


def typed_sql(
    scope: Scope,
    *,
    example: tuple[int, ...] | npt.NDArray[np.float64],
    least_similar: bool,
    limit: int,
    dropped: tuple[int, ...] = (),
    has_undefined: bool = False,
    comments: tuple[str, ...] = (),
) -> str:
    """Write the statement that an analyst would type: no parameters, only tables and operators.

    Parameters
    ----------
    example
        Galaxies, which the statement looks up itself, or a unit vector (d,), written out.
    dropped
        Galaxies to leave out because they are too close to the query or to a better result.
    has_undefined
        Would the limit reach rows without a direction (zero vectors)? They are then left out.
    comments
        Lines to put first.
    """
    conditions = _conditions(scope)
    if dropped:
        conditions.append(_none_of(dropped))
    if has_undefined:
        conditions.append(sa.func.l2_norm(E.c.embedding) > sa.literal(0))
    distance, source = _typed_example(scope.encoder_id, example)
    # As in ranking_statement: an expression around the operator, which no index can order by.
    # NaN, the distance of a zero vector, sorts last in both.
    key = f"1 - ({distance})" if least_similar else f"({distance}) + 0"
    return "\n".join(
        [
            *(f"-- {line}" for line in comments),
            'SELECT g.galaxy_id, g.ra, g."dec", g.mag_g, g.mag_r, g.mag_z, s.name AS survey,',
            f"       1 - ({distance}) AS similarity",
            f"FROM {SCHEMA}.embedding AS e",
            f"JOIN {SCHEMA}.galaxy AS g ON g.galaxy_id = e.galaxy_id",
            f"JOIN {SCHEMA}.survey AS s ON s.survey_id = g.survey_id",
            f"CROSS JOIN ({source}) AS q",
            "WHERE " + "\n  AND ".join(map(written, conditions)),
            f"ORDER BY {key}, e.galaxy_id",
            f"LIMIT {limit};",
        ]
    )


def _typed_example(
    encoder_id: int, example: tuple[int, ...] | npt.NDArray[np.float64]
) -> tuple[str, str]:
    """Return the distance and the subquery that gives ``q.embedding``."""
    if not isinstance(example, tuple):
        # vector, not halfvec: rounding the query to float16 could swap near neighbors.
        numbers = ",".join(str(value) for value in example.astype(np.float32))
        source = f"SELECT '[{numbers}]'::vector AS embedding"
    else:
        mean = "avg(l2_normalize(embedding::vector)) AS embedding"
        column = "embedding" if len(example) == 1 else mean
        chosen = f"= {example[0]}" if len(example) == 1 else f"IN ({', '.join(map(str, example))})"
        source = (
            f"SELECT {column} FROM {SCHEMA}.embedding"  # noqa: S608 - integers only
            f" WHERE encoder_id = {encoder_id} AND galaxy_id {chosen}"
        )
    stored = (
        "e.embedding" if isinstance(example, tuple) and len(example) == 1 else "e.embedding::vector"
    )
    return f"{stored} <=> q.embedding", source
