"""Reads the rarity that came with a neighbor run, of galaxies in a cut and a cone."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy import Connection, Select
from sqlalchemy.dialects.postgresql import DOUBLE_PRECISION

from skylike.cuts import to_expression
from skylike.cuts.written import written
from skylike.database.comments import ColumnMeaning, read_meanings
from skylike.database.engine import SCHEMA
from skylike.database.tables import neighbor_statistic
from skylike.search import store_compact
from skylike.search.store_statements import G, S, Scope, cut_columns, in_cone

N = neighbor_statistic.alias("n")

TOLD = ("rarity", "distance", "hubness", "n_mutual", "duplicate_group")
"""Columns of the view ``neighborhood`` that results have."""

_BY_RARITY = (N.c.rarity.desc().nulls_last(), N.c.galaxy_id)
"""As the index has it."""

Identifiers = npt.NDArray[np.int32]
Positions = npt.NDArray[np.float64]


def has_statistics(connection: Connection, run_id: int) -> bool:
    """Tell whether a run has statistics; those of earlier versions have none."""
    return bool(connection.scalar(sa.select(sa.exists().where(N.c.run_id == sa.literal(run_id)))))


def _conditions(scope: Scope, run_id: int) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = [
        N.c.run_id == sa.literal(run_id),
        N.c.rarity.is_not(None),
    ]
    if scope.cut is not None:
        conditions.append(to_expression(scope.cut, cut_columns(N, scope.scores)))
    if scope.cone is not None:
        conditions.append(in_cone(scope.cone, G.c.ra, G.c.dec))
    return conditions


def _matching(scope: Scope, run_id: int) -> Select[Any]:
    tables = N.join(G, G.c.galaxy_id == N.c.galaxy_id)
    if scope.cut is not None and "survey" in scope.cut.columns:
        tables = tables.join(S, S.c.survey_id == G.c.survey_id)
    return (
        sa.select(
            N.c.galaxy_id,
            sa.cast(N.c.rarity, DOUBLE_PRECISION).label("rarity"),
            G.c.ra,
            G.c.dec,
        )
        .select_from(tables)
        .where(*_conditions(scope, run_id))
    )


def some_statement(scope: Scope, run_id: int, *, limit: int) -> Select[Any]:
    """Take up to ``limit`` matching galaxies, whichever come first."""
    return _matching(scope, run_id).limit(limit)


def rarest_statement(scope: Scope, run_id: int, *, limit: int) -> Select[Any]:
    """Take the rarest matching galaxies, ties by rising identifier."""
    return _matching(scope, run_id).order_by(*_BY_RARITY).limit(limit)


def fetch_rarities(
    connection: Connection, statement: Select[Any]
) -> tuple[Identifiers, npt.NDArray[np.float64], Positions, Positions]:
    """Execute one of these statements: identifiers, rarities, ra and dec (degrees), (n,) each."""
    ids, rarities, ra, dec = store_compact.read_arrays(connection, statement)
    return ids, rarities, ra, dec


def fetch_told(connection: Connection, run_id: int, galaxy_ids: Identifiers) -> pa.Table:
    """Fetch what the lists of a run tell of galaxies, :data:`TOLD`, in the order given."""
    rows = connection.execute(
        sa.select(N.c.galaxy_id, *(N.c[name] for name in TOLD)).where(
            N.c.run_id == sa.literal(run_id),
            N.c.galaxy_id == sa.any_(sa.literal(galaxy_ids.tolist(), sa.ARRAY(sa.Integer))),
        )
    )
    found = {row.galaxy_id: row for row in rows}
    types = (pa.float32(), pa.float32(), pa.int32(), pa.int16(), pa.int32())
    return pa.table(
        {
            name: pa.array([getattr(found[n], name) for n in galaxy_ids.tolist()], kind)
            for name, kind in zip(TOLD, types, strict=True)
        }
    )


def fetch_told_meanings(connection: Connection) -> dict[str, ColumnMeaning]:
    """Read what the columns :data:`TOLD` mean."""
    meanings = read_meanings(connection, "neighborhood")
    return {name: meanings[name] for name in TOLD}


def typed_rarest(
    scope: Scope,
    run_id: int,
    *,
    limit: int,
    offset: int,
    dropped: Identifiers,
    comments: list[str],
) -> str:
    """Write the statement that an analyst would type for the same galaxies.

    Parameters
    ----------
    dropped
        Galaxies to leave out because they are too close to a rarer one.
    comments
        Lines to put first.
    """
    conditions = _conditions(scope, run_id)
    if len(dropped):
        conditions.append(N.c.galaxy_id.not_in(dropped.tolist()))
    return "\n".join(
        [
            *(f"-- {line}" for line in comments),
            'SELECT g.galaxy_id, g.ra, g."dec", g.mag_g, g.mag_r, g.mag_z, s.name AS survey,',
            "       n.rarity, n.distance, n.hubness, n.n_mutual, n.duplicate_group",
            f"FROM {SCHEMA}.neighbor_statistic AS n",
            f"JOIN {SCHEMA}.galaxy AS g ON g.galaxy_id = n.galaxy_id",
            f"JOIN {SCHEMA}.survey AS s ON s.survey_id = g.survey_id",
            "WHERE " + "\n  AND ".join(map(written, conditions)),
            "ORDER BY n.rarity DESC NULLS LAST, n.galaxy_id",
            f"LIMIT {limit};" if not offset else f"LIMIT {limit} OFFSET {offset};",
        ]
    )
