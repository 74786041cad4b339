"""A query being translated: its parameters, and what its names mean."""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sqlglot import exp

from skylike.errors import AdqlError
from skylike.interfaces.vo.adql.parse import place_of
from skylike.interfaces.vo.adql.schema import AdqlSchema, AdqlTable
from skylike.interfaces.vo.adql.scope import Name, Named, Relation, Scope
from skylike.interfaces.vo.adql.tokens import FUNCTION_MARK, Source
from skylike.interfaces.vo.adql.values import Value, text


@dataclass(frozen=True)
class Result:
    """A SELECT that was written: its SQL, and what its columns c1, c2, ... are."""

    sql: str
    columns: tuple[Named, ...]


@dataclass
class Statement:
    """A query being translated: what names may mean, and the parameters so far.

    Attributes
    ----------
    source
        The query.
    schema
        What it may name.
    quoted
        Where names begin that stand between double quotes.
    parameters
        Texts, by the names of their parameters.
    count
        Tables named so far.
    found
        Alias of the rows that a search has found, while its statement is written.
    subquery
        Writes a SELECT within the query.
    """

    source: Source
    schema: AdqlSchema
    quoted: frozenset[int]
    subquery: Callable[[exp.Expr, Scope, "Statement"], Result]
    parameters: dict[str, object] = field(default_factory=dict)
    count: int = 0
    found: str | None = None

    def error(self, reason: str, node: exp.Expr) -> AdqlError:
        """Return an error that points at where a node begins."""
        return self.source.error(reason, place_of(node))

    def only(self, node: exp.Expr, *allowed: str) -> None:
        """Check that a node has no parts but these.

        Raises
        ------
        AdqlError
            It has another one: something that ADQL has not.
        """
        for part, content in node.args.items():
            if content and part not in allowed:
                word = part.strip("_").upper()
                raise self.error(f"{word} is not understood here", node)

    def name(self, identifier: exp.Expr) -> Name:
        """Return a name as it was typed."""
        is_quoted = identifier.meta.get("start") in self.quoted
        typed = identifier.name
        return Name(typed if is_quoted else typed.partition(FUNCTION_MARK)[0], is_quoted)

    def alias(self) -> str:
        """Return a new name for a table in the statement."""
        self.count += 1
        return f"t{self.count}"

    def text(self, constant: str) -> Value:
        """Return a text as a parameter; equal ones are one, so that GROUP BY knows them again."""
        for parameter, known in self.parameters.items():
            if known == constant:
                return text(parameter, constant)
        parameter = f"p{len(self.parameters) + 1}"
        self.parameters[parameter] = constant
        return text(parameter, constant)

    def find_column(self, name: Name, owners: Sequence[Name], scope: Scope, at: exp.Expr) -> Value:
        """Return the column that a name means.

        Raises
        ------
        AdqlError
            There is none, or more than one.
        """
        found = scope.find(name, owners)
        if len(found) > 1:
            exact = [column for column in found if column.name == name.text]
            found = exact if len(exact) == 1 else found
        if len(found) == 1:
            return found[0].value
        said = ".".join(part.text for part in (*owners, name))
        if found:
            raise self.error(f"the column {said} is in more than one table; write which one", at)
        near = difflib.get_close_matches(name.text.casefold(), list(scope.names()), n=2)
        hint = f"did you mean {' or '.join(near)}?" if near else "TAP_SCHEMA.columns lists them"
        raise self.error(f"there is no column {said} here; {hint}", at)

    def find_table(self, parts: Sequence[Name], scope: Scope, at: exp.Expr) -> AdqlTable | Relation:
        """Return the table that a name means.

        Raises
        ------
        AdqlError
            There is none, or several schemas have one.
        """
        *owners, name = parts
        around: Scope | None = scope
        while around is not None and not owners:
            for table in reversed(around.tables):
                if name.matches(table.name):
                    return table
            around = around.parent
        found = [
            table
            for table in self.schema.tables
            if name.matches(table.name)
            and (not owners or (len(owners) == 1 and owners[0].matches(table.schema)))
        ]
        if len(found) == 1:
            return found[0]
        said = ".".join(part.text for part in parts)
        if found:
            choices = " or ".join(table.full_name for table in found)
            raise self.error(f"the table {said} could be {choices}; write its schema too", at)
        known = {table.name.casefold(): table.full_name for table in self.schema.tables}
        near = difflib.get_close_matches(name.text.casefold(), known, n=2)
        hint = " or ".join(known[one] for one in near)
        raise self.error(
            f"there is no table {said}; "
            + (f"did you mean {hint}?" if near else "TAP_SCHEMA.tables lists them"),
            at,
        )
