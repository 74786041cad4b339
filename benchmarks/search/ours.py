"""The methods of skylike: the exact route, the fast route and the SQL function."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from questions import K, Question
from sqlalchemy import Engine

from skylike.cuts import coordinates
from skylike.search.query import Query
from skylike.search.search import search

Ids = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Method:
    """One way to answer; ``ask`` gives galaxy identifiers, best first, at most K."""

    name: str
    is_exact: bool
    ask: Callable[[Question], Ids]
    close: Callable[[], None] = lambda: None


def query_of(question: Question, *, fast: bool = False) -> Query:
    """Write a question as skylike's query; results may be near each other, as peers give them."""
    cone = question.cone
    return Query(
        galaxies=(question.galaxy_id,),
        where=None if question.cut is None else question.cut.sql,
        cone=None if cone is None else coordinates.Cone(cone.ra, cone.dec, cone.radius),
        k=K,
        min_separation=0.0,
        fast=fast,
    )


def library(engine: Engine, encoder: str, *, fast: bool) -> Method:
    """Return the Python library: the whole of :func:`search`, result table and provenance too."""

    def ask(question: Question) -> Ids:
        result = search(engine, query_of(question, fast=fast), encoder=encoder)
        return result.rows["galaxy_id"].to_numpy()

    return Method("skylike fast" if fast else "skylike exact", not fast, ask)


def function(engine: Engine) -> Method:
    """Return the SQL function similar_to, on the active encoder, over one open connection."""
    connection = engine.connect()
    statement = sa.text("SELECT galaxy_id FROM skylike.similar_to(:galaxy_id, :k, :cut, 0)")

    def ask(question: Question) -> Ids:
        cut, cone = question.cut, question.cone
        where = None if cut is None else cut.sql
        if cone is not None:
            where = f'in_cone(ra, "dec", {cone.ra!r}, {cone.dec!r}, {cone.radius!r})'
        values = {"galaxy_id": question.galaxy_id, "k": K, "cut": where}
        found = connection.scalars(statement, values).all()
        connection.rollback()
        return np.array(found, dtype=np.int32)

    return Method("skylike SQL similar_to", True, ask, connection.close)
