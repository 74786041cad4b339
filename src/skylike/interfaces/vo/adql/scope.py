"""Names: which table and column is meant where."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from skylike.interfaces.vo.adql.schema import AdqlTable
from skylike.interfaces.vo.adql.values import Origin, Value


class Name(NamedTuple):
    """A name as it was typed; between double quotes its case matters."""

    text: str
    is_quoted: bool

    def matches(self, other: str) -> bool:
        """Whether it names something that is called ``other``."""
        return self.text == other if self.is_quoted else self.text.casefold() == other.casefold()


class Named(NamedTuple):
    """A column of a table of the query."""

    name: str
    value: Value


@dataclass(frozen=True)
class Relation:
    """A table of the query: one of the schema, or what a subquery gives.

    Attributes
    ----------
    name
        Its alias, else its name, in ADQL.
    schema
        Of a table without an alias; columns may be called by it.
    alias
        Its name in the statement.
    columns
        In their order.
    """

    name: str
    schema: str | None
    alias: str
    columns: tuple[Named, ...]


@dataclass(frozen=True)
class Scope:
    """What names mean in one SELECT.

    Attributes
    ----------
    relations
        The tables after FROM, in order.
    merged
        Columns that USING or NATURAL made one of two; they stand for those of the same name.
    parent
        The SELECT around it, of a subquery in a condition.
    tables
        The names that WITH has defined.
    """

    relations: tuple[Relation, ...] = ()
    merged: tuple[Named, ...] = ()
    parent: "Scope | None" = None
    tables: tuple[Relation, ...] = ()

    def visible(self) -> list[Named]:
        """Return the columns of ``SELECT *``: merged ones first, as SQL orders them."""
        merged = {column.name for column in self.merged}
        others = [
            column
            for relation in self.relations
            for column in relation.columns
            if column.name not in merged
        ]
        return [*self.merged, *others]

    def find(self, name: Name, owners: Sequence[Name]) -> list[Named]:
        """Return the columns that a name may mean, those of the nearest SELECT that has any."""
        found = [] if owners else [column for column in self.merged if name.matches(column.name)]
        if not found:
            found = [
                column
                for relation in self.relations
                if _is_called(relation, owners)
                for column in relation.columns
                if name.matches(column.name)
            ]
        if found or self.parent is None:
            return found
        return self.parent.find(name, owners)

    def names(self) -> Iterable[str]:
        """Return all names of columns, for a hint."""
        own = [column.name for relation in self.relations for column in relation.columns]
        return own if self.parent is None else [*own, *self.parent.names()]


def _is_called(relation: Relation, owners: Sequence[Name]) -> bool:
    match owners:
        case []:
            return True
        case [table]:
            return table.matches(relation.name)
        case [schema, table]:
            return (
                relation.schema is not None
                and schema.matches(relation.schema)
                and table.matches(relation.name)
            )
    return False


def relation_of(table: AdqlTable, alias: str, called: Name | None) -> Relation:
    """Make a relation of a table of the schema."""
    columns = tuple(
        Named(
            column.name,
            Value(
                f"{alias}.{quote(column.sql_name or column.name)}",
                column.datatype,
                column.unit,
                column.ucd,
                column.description,
                Origin(table.full_name, column.name, alias, column.is_indexed),
            ),
        )
        for column in table.columns
    )
    name = table.name if called is None else called.text
    return Relation(name, table.schema if called is None else None, alias, columns)


def result_relation(name: str, alias: str, columns: Iterable[Named]) -> Relation:
    """Make a relation of what a subquery gives; it calls its columns c1, c2, ..."""
    renamed = tuple(
        Named(column.name, _result_value(column.value, f"{alias}.c{n}"))
        for n, column in enumerate(columns, 1)
    )
    return Relation(name, None, alias, renamed)


def _result_value(value: Value, sql: str) -> Value:
    origin = None if value.origin is None else Origin(value.origin.table, value.origin.column)
    return Value(sql, value.datatype, value.unit, value.ucd, value.description, origin)


def again(relation: Relation, alias: str, called: Name | None) -> Relation:
    """Name a relation once more: what WITH defined, each time that it is read."""
    columns = tuple(
        Named(column.name, replace(column.value, sql=f"{alias}.c{n}"))
        for n, column in enumerate(relation.columns, 1)
    )
    return Relation(relation.name if called is None else called.text, None, alias, columns)


def quote(name: str) -> str:
    """Quote a name of PostgreSQL in a statement with parameters."""
    return '"' + name.replace('"', '""').replace("%", "%%") + '"'
