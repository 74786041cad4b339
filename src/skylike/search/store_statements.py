"""The statements of a search: for the server with parameters, for people with values in place."""

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from pgvector.sqlalchemy import HALFVEC
from sqlalchemy import ColumnElement, Select
from sqlalchemy.dialects.postgresql import DOUBLE_PRECISION

from skylike.cuts import GALAXY_KINDS, Cut, to_expression
from skylike.cuts.coordinates import Cone
from skylike.cuts.derived import SCORE_PREFIX
from skylike.cuts.written import written
from skylike.database.engine import SCHEMA
from skylike.database.tables import classifier_score, embedding, embedding_compact, galaxy, survey
from skylike.embeddings.store_tables import VectorTables
from skylike.search.sky_ranges import cone_ranges

E = embedding.alias("e")
G = galaxy.alias("g")
S = survey.alias("s")

COPIED: Final = frozenset(c.name for c in embedding_compact.columns) & frozenset(GALAXY_KINDS)
"""Columns of ``galaxy`` that ``embedding_compact`` repeats."""

_LISTED: Final = 100
"""Identifiers that are written one by one at most."""

Columns = dict[str, ColumnElement[Any]]
Compared = ColumnElement[Any]


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
        Galaxies that may not be results: the examples and the rejects.
    scores
        Names of the classifiers whose scores the cut may read.
    """

    encoder_id: int
    cut: Cut | None = None
    cone: Cone | None = None
    excluded: tuple[int, ...] = ()
    scores: frozenset[str] = field(default=frozenset())

    @property
    def is_everything(self) -> bool:
        """Whether there is neither a cut nor a cone."""
        return self.cut is None and self.cone is None


def _partition(name: str, parent: sa.Table) -> sa.TableClause:
    return sa.table(name, *[sa.column(c.name, c.type) for c in parent.columns], schema=SCHEMA)


def compact_table(encoder_id: int) -> sa.FromClause:
    """Return the partition of ``embedding_compact`` that one encoder has, as ``c``."""
    return _partition(VectorTables(encoder_id).compact, embedding_compact).alias("c")


def vector_table(encoder_id: int) -> sa.FromClause:
    """Return the partition of ``embedding`` that one encoder has, as ``e``."""
    return _partition(VectorTables(encoder_id).vectors, embedding).alias("e")


def cut_columns(source: sa.FromClause, scores: frozenset[str]) -> Columns:
    """Map what a cut may name to columns: of ``source`` where it holds them, else of ``galaxy``."""
    here = COPIED if "compact" in source.c else frozenset({"galaxy_id"})
    columns: Columns = {
        name: source.c[name] if name in here else G.c[name]
        for name in GALAXY_KINDS
        if name != "survey"
    }
    columns["survey"] = S.c.name
    # By name, not as a column of ``source``: a condition that is written for people stands alone,
    # where SQLAlchemy would take the whole table into the subquery.
    galaxy_id = sa.literal_column(f"{source.name}.galaxy_id", sa.Integer())  # type: ignore[attr-defined] # aliases have names
    scores_of = classifier_score.alias("k")
    for name in scores:
        columns[SCORE_PREFIX + name] = (
            sa.select(scores_of.c.score)
            .where(scores_of.c.name == sa.literal(name), scores_of.c.galaxy_id == galaxy_id)
            .scalar_subquery()
        )
    return columns


def _joined(source: sa.FromClause, scope: Scope, *, always: bool = False) -> sa.FromClause:
    """Join to a table of vectors what the cut needs besides."""
    named = scope.cut.columns if scope.cut is not None else frozenset()
    is_compact = "compact" in source.c
    beyond = {name for name in named if name in GALAXY_KINDS and name != "survey"} - COPIED
    tables = source
    if always or beyond or not (is_compact or scope.is_everything):
        tables = tables.join(G, G.c.galaxy_id == source.c.galaxy_id)
    if "survey" in named:
        survey_id = source.c.survey_id if is_compact else G.c.survey_id
        tables = tables.join(S, S.c.survey_id == survey_id)
    return tables


def in_cone(cone: Cone, ra: Compared, dec: Compared) -> ColumnElement[bool]:
    """Is the galaxy in the cone? Inlined by the server, so that the index on (dec, ra) serves."""
    function = getattr(sa.func, SCHEMA).in_cone
    center = [sa.literal(value, DOUBLE_PRECISION) for value in (cone.ra, cone.dec, cone.radius)]
    return sa.type_coerce(function(ra, dec, *center), sa.Boolean)


def _conditions(source: sa.FromClause, scope: Scope) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if scope.cut is not None:
        conditions.append(to_expression(scope.cut, cut_columns(source, scope.scores)))
    if scope.cone is not None:
        place = source if "compact" in source.c else G
        if place is source:
            ranges = cone_ranges(scope.cone)
            healpix = source.c.healpix29
            if ranges:
                conditions.append(sa.or_(*[healpix.between(*ends) for ends in ranges]))
        conditions.append(in_cone(scope.cone, place.c.ra, place.c.dec))
    if scope.excluded:
        conditions.append(_none_of(source, scope.excluded))
    return conditions


def _none_of(source: sa.FromClause, galaxy_ids: tuple[int, ...]) -> ColumnElement[bool]:
    if len(galaxy_ids) == 1:
        return source.c.galaxy_id != sa.literal(galaxy_ids[0])
    if len(galaxy_ids) <= _LISTED:
        return source.c.galaxy_id.not_in(galaxy_ids)
    # One parameter instead of thousands; an array constant, which the server looks up by hash.
    return source.c.galaxy_id != sa.all_(sa.literal(list(galaxy_ids), sa.ARRAY(sa.Integer)))


def _literal(half: npt.NDArray[np.float16]) -> ColumnElement[Any]:
    return sa.literal(half, HALFVEC(len(half)))


def written_ids(galaxy_ids: npt.NDArray[np.int32]) -> str:
    """Write identifiers as PostgreSQL writes an array."""
    return "{" + ",".join(map(str, galaxy_ids.tolist())) + "}"


def arrays(rows: Select[Any]) -> Select[Any]:
    """Gather each column of a query in one binary array, in the order of the rows.

    :func:`skylike.search.store_compact.read_arrays` decodes them: thousands of rows in one, at the
    cost of a copy. The arrays are NULL where there are no rows.
    """
    found = rows.subquery("found")
    return sa.select(*[sa.func.array_send(sa.func.array_agg(column)) for column in found.c])


def compared_statement(
    scope: Scope, half: npt.NDArray[np.float16], *, limit: int
) -> Select[tuple[int, float]]:
    """Compare up to ``limit`` matching rows, whichever come first, by their compact vectors."""
    c = compact_table(scope.encoder_id)
    distance = c.c.compact.l2_distance(_literal(half)).label("distance")
    return (
        sa.select(c.c.galaxy_id, distance)
        .select_from(_joined(c, scope))
        .where(*_conditions(c, scope))
        .limit(limit)
    )


def sampled_statement(scope: Scope, *, percent: float) -> Select[Any]:
    """Count rows of some random pages, and those among them that match."""
    whole = _partition(VectorTables(scope.encoder_id).compact, embedding_compact)
    c = sa.tablesample(whole, sa.func.system(sa.literal(percent)), name="c", seed=sa.literal(1))
    matching = sa.func.count().filter(*_conditions(c, scope)).label("matching")
    counts: list[ColumnElement[Any]] = [sa.func.count().label("total"), matching]
    return sa.select(*counts).select_from(_joined(c, scope))


def nearest_statement(
    scope: Scope, half: npt.NDArray[np.float16], *, limit: int, farthest: bool
) -> Select[tuple[int, float]]:
    """Compare all matching rows by their compact vectors and keep the nearest, or the farthest.

    The sort key is an expression around the operator: no index, approximate or not, can give that
    order, so the planner has no choice but to compute every distance. A bare ``ORDER BY compact <->
    q`` beside a cut lets it take an approximate index and return too few rows without a word (1.8
    of 20, measured).
    """
    c = compact_table(scope.encoder_id)
    distance = c.c.compact.l2_distance(_literal(half)).label("distance")
    key = distance + sa.literal(0.0, DOUBLE_PRECISION)
    return (
        sa.select(c.c.galaxy_id, distance)
        .select_from(_joined(c, scope))
        .where(*_conditions(c, scope))
        .order_by(key.desc() if farthest else key.asc())
        .limit(limit)
    )


def nearer_statement(
    scope: Scope, half: npt.NDArray[np.float16], *, reach: float, limit: int, farthest: bool
) -> Select[tuple[int, float]]:
    """Find up to ``limit`` matching rows with compact vectors within (or beyond) a distance."""
    c = compact_table(scope.encoder_id)
    distance = c.c.compact.l2_distance(_literal(half)).label("distance")
    edge = sa.literal(reach, DOUBLE_PRECISION)
    return (
        sa.select(c.c.galaxy_id, distance)
        .select_from(_joined(c, scope))
        .where(*_conditions(c, scope), distance >= edge if farthest else distance <= edge)
        .limit(limit)
    )


def ranked_statement(
    scope: Scope, half: npt.NDArray[np.float16], *, limit: int, least_similar: bool
) -> Select[tuple[int, float]]:
    """Compare the embeddings of all matching rows with a vector (d,) and keep the best.

    As in :func:`nearest_statement`, no index can give the order.
    """
    e, c = vector_table(scope.encoder_id), compact_table(scope.encoder_id)
    cosine = (1 - e.c.embedding.cosine_distance(_literal(half))).label("cosine")
    matching = sa.select(c.c.galaxy_id).select_from(_joined(c, scope)).where(*_conditions(c, scope))
    key = cosine + sa.literal(0.0, DOUBLE_PRECISION)
    found = sa.select(e.c.galaxy_id, cosine).limit(limit)
    if scope.is_everything:
        found = found.where(*_conditions(e, scope))
    else:
        # A set of identifiers first: the cut must not be tried on rows with their vectors.
        found = found.where(
            e.c.encoder_id == sa.literal(scope.encoder_id), e.c.galaxy_id.in_(matching)
        )
    return found.order_by(key.asc() if least_similar else key.desc())


def approximate_statement(
    scope: Scope, half: npt.NDArray[np.float16], *, limit: int
) -> Select[tuple[int, float]]:
    """Take the nearest rows from the approximate index on compact vectors of ``--fast``."""
    c = compact_table(scope.encoder_id)
    typed = sa.cast(c.c.compact, HALFVEC(len(half)))
    compared: Compared = typed.op("<->", return_type=DOUBLE_PRECISION())(_literal(half))
    distance = compared.label("distance")
    return (
        sa.select(c.c.galaxy_id, distance)
        .select_from(_joined(c, scope))
        .where(*_conditions(c, scope))
        .order_by(distance)
        .limit(limit)
    )


def listed_statement(
    scope: Scope, lists: sa.FromClause, *, galaxy_id: int, run_id: int
) -> Select[tuple[int, int]]:
    """Walk the neighbor list of a galaxy: those that match, in the order of the list, with rank."""
    c = compact_table(scope.encoder_id)
    entry = (
        sa.func.unnest(lists.c.neighbor_ids)
        .table_valued("neighbor_id", with_ordinality="rank", name="entry")
        .render_derived()
    )
    tables = lists.join(entry, sa.true())
    matching = _joined(c, scope)
    return (
        sa.select(c.c.galaxy_id, sa.cast(entry.c.rank, sa.Integer).label("rank"))
        .select_from(tables.join(matching, c.c.galaxy_id == entry.c.neighbor_id))
        .where(
            c.c.encoder_id == sa.literal(scope.encoder_id),
            lists.c.run_id == sa.literal(run_id),
            lists.c.galaxy_id == sa.literal(galaxy_id),
            *_conditions(c, scope),
        )
        .order_by(entry.c.rank)
    )


def typed_sql(
    scope: Scope,
    *,
    example: int | npt.NDArray[np.float64],
    least_similar: bool,
    limit: int,
    offset: int = 0,
    dropped: tuple[int, ...] = (),
    has_undefined: bool = False,
    comments: tuple[str, ...] = (),
) -> str:
    """Write the statement that an analyst would type: no parameters, only tables and operators.

    Parameters
    ----------
    example
        A galaxy, which the statement looks up itself, or a unit vector (d,), written out.
    dropped
        Galaxies to leave out because they are too close to the query or to a better result.
    has_undefined
        Would the limit reach rows without a direction (zero vectors)? They are then left out.
    comments
        Lines to put first.
    """
    conditions = [E.c.encoder_id == sa.literal(scope.encoder_id), *_conditions(E, scope)]
    if dropped:
        conditions.append(_none_of(E, dropped))
    if has_undefined:
        conditions.append(sa.func.l2_norm(E.c.embedding) > sa.literal(0))
    distance, source = _typed_example(scope.encoder_id, example)
    # As in nearest_statement: an expression around the operator, which no index can order by.
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
            f"LIMIT {limit};" if not offset else f"LIMIT {limit} OFFSET {offset};",
        ]
    )


def _typed_example(encoder_id: int, example: int | npt.NDArray[np.float64]) -> tuple[str, str]:
    """Return the distance and the subquery that gives ``q.embedding``."""
    if isinstance(example, int):
        source = (
            f"SELECT embedding FROM {SCHEMA}.embedding"  # noqa: S608 - integers only
            f" WHERE encoder_id = {encoder_id} AND galaxy_id = {example}"
        )
        return "e.embedding <=> q.embedding", source
    # vector, not halfvec: rounding the query to float16 could swap near neighbors.
    numbers = ",".join(str(value) for value in example.astype(np.float32))
    return "e.embedding::vector <=> q.embedding", f"SELECT '[{numbers}]'::vector AS embedding"
