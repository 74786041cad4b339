"""What a column holds, as far as a cut must know."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

import sqlalchemy as sa

from skylike.database.tables import galaxy


class ColumnKind(StrEnum):
    """The four kinds of values that a cut tells apart."""

    NUMBER = "number"
    TEXT = "text"
    BOOLEAN = "boolean"
    TIME = "time"


def kind_of_type(sql_type: sa.types.TypeEngine[object]) -> ColumnKind:
    """Return the kind of a column of this SQL type."""
    if isinstance(sql_type, sa.Boolean):
        return ColumnKind.BOOLEAN
    if isinstance(sql_type, sa.Integer | sa.Float | sa.Numeric):
        return ColumnKind.NUMBER
    if isinstance(sql_type, sa.DateTime):
        return ColumnKind.TIME
    return ColumnKind.TEXT


GALAXY_KINDS: Mapping[str, ColumnKind] = MappingProxyType(
    {column.name: kind_of_type(column.type) for column in galaxy.columns}
    | {"survey": ColumnKind.TEXT}
)
"""Columns that a cut on the catalog may name: those of ``galaxy``, and ``survey``, its name."""
