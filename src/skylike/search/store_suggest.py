"""The candidates of a suggestion: unlabeled galaxies in a cut and a cone, scored by the server."""

from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from pgvector.sqlalchemy import HALFVEC
from sqlalchemy import ColumnElement, Connection, Select
from sqlalchemy.dialects.postgresql import DOUBLE_PRECISION

from skylike.cuts import to_expression
from skylike.database.tables import label
from skylike.labels.classifier import LinearModel
from skylike.search.store_statements import E, G, S, Scope, cut_columns, in_cone

GalaxyIds = npt.NDArray[np.int32]


def fetch_candidates(
    connection: Connection,
    model: LinearModel,
    *,
    scope: Scope,
    name: str,
    limit: int,
) -> tuple[GalaxyIds, int]:
    """Fetch the likeliest and the most doubtful galaxies that nobody has labeled.

    The server scores all that match with the weights in half precision: enough to choose candidates
    by, which are scored again.

    Parameters
    ----------
    scope
        Encoder, cut and cone.
    name
        Label whose galaxies are no candidates.
    limit
        How many of either kind.

    Returns
    -------
    tuple
        Identifiers (n,) ascending, n at most ``2 limit``, and how many galaxies match.
    """
    matching = _matching(scope, name)
    length = float(np.linalg.norm(model.weights)) or 1.0
    half = (model.weights / length).astype(np.float16)  # no entry overflows or is subnormal
    product = E.c.embedding.max_inner_product(sa.literal(half, HALFVEC(len(half))))
    margin = (model.intercept - length * sa.type_coerce(product, DOUBLE_PRECISION)).label("margin")
    scored = (
        matching.with_only_columns(E.c.galaxy_id, margin).cte("scored").prefix_with("MATERIALIZED")
    )
    chosen = sa.union_all(
        *(
            sa.select(
                sa.select(scored.c.galaxy_id)
                .order_by(key, scored.c.galaxy_id)
                .limit(limit)
                .subquery()
            )
            for key in (scored.c.margin.desc(), sa.func.abs(scored.c.margin))
        ),
        sa.select(sa.cast(-sa.func.count(), sa.Integer)).select_from(scored),
    )
    found = np.array(connection.scalars(chosen).all(), dtype=np.int32)
    is_count = found <= 0  # wherever the server puts that row: identifiers begin at 1
    return np.unique(found[~is_count]), int(-found[is_count][0])


def _matching(scope: Scope, name: str) -> Select[Any]:
    tables = E.join(G, G.c.galaxy_id == E.c.galaxy_id)
    conditions: list[ColumnElement[bool]] = [
        E.c.encoder_id == sa.literal(scope.encoder_id),
        ~sa.exists().where(label.c.name == name, label.c.galaxy_id == E.c.galaxy_id),
    ]
    if scope.cone is not None:
        conditions.append(in_cone(scope.cone, G.c.ra, G.c.dec))
    if scope.cut is not None:
        conditions.append(to_expression(scope.cut, cut_columns(G, scope.scores)))
        if "survey" in scope.cut.columns:
            tables = tables.join(S, S.c.survey_id == G.c.survey_id)
    return sa.select(E.c.galaxy_id).select_from(tables).where(*conditions)
