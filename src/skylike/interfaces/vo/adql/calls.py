"""What a function of a query is called with."""

from dataclasses import dataclass

from sqlglot import exp

from skylike.errors import AdqlError
from skylike.interfaces.vo.adql.scope import Scope
from skylike.interfaces.vo.adql.statement import Statement
from skylike.interfaces.vo.adql.values import Value


@dataclass(frozen=True)
class Call:
    """A function, its arguments and where it stands.

    Attributes
    ----------
    name
        In lower case.
    arguments
        What it is called with.
    is_distinct
        Of an aggregate: does each value count once?
    """

    name: str
    arguments: tuple[Value, ...]
    node: exp.Expr
    statement: Statement
    scope: Scope
    is_distinct: bool = False

    def error(self, reason: str) -> AdqlError:
        """Return an error that points at the function."""
        return self.statement.error(f"{self.name.upper()}: {reason}", self.node)

    def check_count(self, least: int, most: int) -> None:
        """Check the number of arguments.

        Raises
        ------
        AdqlError
            It takes another number.
        """
        given = len(self.arguments)
        if not least <= given <= most:
            wanted = f"{least}" if least == most else f"{least} to {most}"
            raise self.error(f"it takes {wanted} arguments, not {given}")

    def check_numbers(self) -> None:
        """Check that all arguments are numbers.

        Raises
        ------
        AdqlError
            One is none.
        """
        for argument in self.arguments:
            if not argument.is_number:
                raise self.error("it takes numbers")

    def check_texts(self) -> None:
        """Check that all arguments are texts.

        Raises
        ------
        AdqlError
            One is none.
        """
        for argument in self.arguments:
            if not argument.is_text:
                raise self.error("it takes texts")

    def whole_constant(self, place: int) -> int:
        """Return an argument that must be a whole number written out.

        Raises
        ------
        AdqlError
            It is something else.
        """
        found = self.arguments[place].constant
        if not isinstance(found, int):
            raise self.error(f"argument {place + 1} is a whole number written out")
        return found
