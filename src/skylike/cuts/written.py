"""Cuts as SQL for people to type: values in place, no casts but those that change something."""

from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.base import PGCompiler, PGDialect
from sqlalchemy.sql import operators, visitors
from sqlalchemy.sql.elements import BooleanClauseList
from typing_extensions import override

_WHOLE_AS_DIGITS: Final = 1e15
"""Whole numbers below it are written without a decimal point: ``20``, not ``20.0``."""

_SMALLEST_BIGINT: Final = -(2**63)
_SHORT_NAMES: Final = {"DOUBLE PRECISION": "float8", "BIGINT": "int8"}


def written(condition: sa.ColumnElement[bool]) -> str:
    """Write a condition with its values in place; it means the same as with bound parameters.

    Parameters
    ----------
    condition
        Made by :func:`skylike.cuts.expression.to_expression`, or of nothing but columns, functions
        and values.

    Returns
    -------
    str
        SQL that can stand beside an ``AND``.
    """
    plain = visitors.replacement_traverse(condition, {}, _as_typed)
    text = str(plain.compile(dialect=_dialect(), compile_kwargs={"literal_binds": True}))
    is_chain_of_or = (
        isinstance(condition, BooleanClauseList) and condition.operator is operators.or_
    )
    return f"({text})" if is_chain_of_or else text


def _as_typed(element: object, **_: object) -> sa.ColumnElement[Any] | None:
    if not isinstance(element, sa.BindParameter) or element.expanding:
        return None
    value = element.value
    if isinstance(value, list):
        return sa.literal_column(f"'{{{','.join(map(_digits, value))}}}'::float8[]", element.type)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if value == _SMALLEST_BIGINT:
        return sa.literal_column(f"'{_SMALLEST_BIGINT}'::int8", element.type)
    digits = _digits(value)
    # SQLAlchemy writes the opposite of -1 as "--1", which starts a comment.
    return sa.literal_column(f"({digits})" if value < 0 else digits, element.type)


def _digits(value: float) -> str:
    is_short = value == int(value) and abs(value) < _WHOLE_AS_DIGITS
    return str(int(value) if is_short else value)


class _Compiler(PGCompiler):
    """Writes ``CAST(x AS DOUBLE PRECISION)`` as people do: ``x::float8``."""

    @override
    def visit_cast(
        self,
        cast: sa.Cast[Any],
        **options: Any,
    ) -> str:
        inner = self.process(cast.clause, **options)
        name = self.process(cast.typeclause, **options)
        needs_none = isinstance(cast.clause, sa.ColumnClause | sa.BindParameter)
        return f"{inner if needs_none else f'({inner})'}::{_SHORT_NAMES.get(name, name)}"


def _dialect() -> PGDialect:
    # Of the ways to mark parameters, only "named" leaves % in texts as it is.
    dialect = PGDialect(paramstyle="named")  # type: ignore[no-untyped-call] # not annotated there
    dialect.statement_compiler = _Compiler
    return dialect
