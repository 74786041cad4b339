"""CAST, to the types of ADQL."""

from collections.abc import Mapping
from typing import Final

from sqlglot import exp

from skylike.interfaces.vo.adql.schema import (
    DOUBLE,
    FLOAT,
    INT,
    LONG,
    SHORT,
    TEXT,
    TIMESTAMP,
    Datatype,
)
from skylike.interfaces.vo.adql.statement import Statement
from skylike.interfaces.vo.adql.values import Value

_MAX_CHARACTERS: Final = 10_000
_TYPES: Final[Mapping[str, tuple[str, Datatype]]] = {
    "CHAR": ("text", TEXT),
    "VARCHAR": ("text", TEXT),
    "SMALLINT": ("smallint", SHORT),
    "INT": ("integer", INT),
    "BIGINT": ("bigint", LONG),
    "FLOAT": ("real", FLOAT),
    "DOUBLE": ("double precision", DOUBLE),
    "TIMESTAMP": ("timestamp with time zone", TIMESTAMP),
}
"""By sqlglot's names; its FLOAT is REAL, and one of ADQL is no token."""

_TYPE_NAMES: Final = (
    "BIGINT",
    "CHAR",
    "DOUBLE PRECISION",
    "INTEGER",
    "REAL",
    "SMALLINT",
    "TIMESTAMP",
    "VARCHAR",
)


def cast_value(value: Value, target: exp.Expr, statement: Statement) -> Value:
    """Change the type of a value.

    Parameters
    ----------
    target
        The type, as sqlglot understood it.

    Raises
    ------
    AdqlError
        It is no type of ADQL, or the value is an array or a geometry.
    """
    statement.only(target, "this", "expressions", "nested")
    sql_type, datatype = _TYPES.get(target.this.value, ("", TEXT))
    if not sql_type or target.args.get("nested"):
        raise statement.error("CAST makes " + ", ".join(sorted(_TYPE_NAMES)), target)
    if value.shape is not None or value.datatype.arraysize not in {None, "*"}:
        raise statement.error("CAST takes numbers, texts and times", target)
    if target.expressions:
        length = target.expressions[0].name
        if datatype != TEXT or len(target.expressions) > 1 or not length.isdigit():
            raise statement.error("only CHAR and VARCHAR take a length", target)
        if not 0 < int(length) <= _MAX_CHARACTERS:
            raise statement.error(f"a length is 1 to {_MAX_CHARACTERS}", target)
        sql_type = f"varchar({int(length)})"
    sql = f"CAST({value.sql} AS {sql_type})"
    if target.expressions:
        sql = f"CAST({sql} AS text)"
    return Value(sql, datatype, value.unit, value.ucd, value.description)
