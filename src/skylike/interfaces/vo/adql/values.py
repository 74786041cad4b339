"""Values of a query: the SQL of each, and what is known about it."""

from dataclasses import dataclass, replace
from typing import Final

from skylike.cuts.polygon import Vertex
from skylike.interfaces.vo.adql.schema import DOUBLE, NUMBERS, TEXT, WHOLE, Datatype

Constant = int | float | str


@dataclass(frozen=True)
class Origin:
    """The column of a table that a value is.

    Attributes
    ----------
    table, column
        Names in ADQL.
    alias
        The table's name in the statement; empty once a subquery lies between.
    is_indexed
        Does an index begin with it?
    """

    table: str
    column: str
    alias: str = ""
    is_indexed: bool = False


@dataclass(frozen=True)
class Point:
    """A position, degrees.

    Attributes
    ----------
    healpix
        SQL of a column with the HEALPix index (NESTED, order 29) of the same position, or None.
    """

    ra: "Value"
    dec: "Value"
    healpix: str | None = None

    @property
    def is_indexed(self) -> bool:
        """Whether an index finds rows by it."""
        origins = self.ra.origin, self.dec.origin
        return all(origin is not None and origin.is_indexed for origin in origins)

    @property
    def sql(self) -> str:
        """Both coordinates, as arguments of a function."""
        return f"{self.ra.sql}, {self.dec.sql}"


@dataclass(frozen=True)
class Circle:
    """All within a radius (degrees) of a center."""

    center: Point
    radius: "Value"


@dataclass(frozen=True)
class Polygon:
    """A polygon of constant vertices, as :func:`skylike.cuts.polygon.check_polygon` accepts it."""

    vertices: tuple[Vertex, ...]


Shape = Point | Circle | Polygon


@dataclass(frozen=True)
class Likeness:
    """The similarity of a galaxy to a constant one."""

    galaxy: "Value"
    example: int


@dataclass(frozen=True)
class Value:
    """A value.

    Attributes
    ----------
    sql
        Complete in itself: may stand between any two operators.
    datatype
        What comes out.
    unit, ucd, description
        What it means, as far as that follows from the columns in it.
    origin
        The column that it is, or None.
    constant
        The number or text that it is for sure, or None.
    predicate
        Of 1 or 0 by a condition, the condition.
    shape
        Of a geometry, what it is.
    between
        Of a distance, from where to where.
    likeness
        Of a similarity, between what.
    """

    sql: str
    datatype: Datatype
    unit: str | None = None
    ucd: str = ""
    description: str = ""
    origin: Origin | None = None
    constant: Constant | None = None
    predicate: str | None = None
    shape: Shape | None = None
    between: tuple[Point, Point] | None = None
    likeness: Likeness | None = None

    @property
    def is_number(self) -> bool:
        """Whether it can be reckoned with."""
        return self.datatype in NUMBERS

    @property
    def is_whole(self) -> bool:
        """Whether it is a whole number."""
        return self.datatype in WHOLE

    @property
    def is_text(self) -> bool:
        """Whether it is a text."""
        return self.datatype.votable == "char" and self.datatype.xtype is None

    @property
    def number(self) -> float | None:
        """The number that it is for sure, or None."""
        return self.constant if isinstance(self.constant, int | float) else None

    @property
    def as_double(self) -> str:
        """SQL of it as a double precision number: sums of reals would be rounded to reals."""
        if self.datatype == DOUBLE or (self.origin is None and self.number is not None):
            return self.sql
        return f"CAST({self.sql} AS double precision)"


LARGEST_LONG: Final = 2**63 - 1


def number(constant: float) -> Value:
    """Write a number; whole ones stay whole as far as 64 bits reach."""
    if isinstance(constant, int) and abs(constant) <= LARGEST_LONG:
        datatype = WHOLE[1] if abs(constant) < 2**31 else WHOLE[2]
        sql = str(constant) if constant >= 0 else f"({constant})"
        return Value(sql, datatype, constant=constant)
    constant = float(constant)
    return Value(f"double precision '{constant!r}'", DOUBLE, constant=constant)


def text(parameter: str, constant: str) -> Value:
    """Refer to the parameter that holds a text."""
    return Value(f"CAST(%({parameter})s AS text)", TEXT, constant=constant)


def wider(first: Datatype, second: Datatype) -> Datatype:
    """Return the type that holds numbers of both types."""
    wide = max(NUMBERS.index(first), NUMBERS.index(second))
    return NUMBERS[wide]


def plain(value: Value) -> Value:
    """Keep what a value means, and forget what it is made of."""
    return replace(
        value, origin=None, constant=None, predicate=None, shape=None, between=None, likeness=None
    )


def derived(sql: str, datatype: Datatype, like: Value) -> Value:
    """Make a value that means the same as another, such as its absolute value."""
    return Value(sql, datatype, like.unit, like.ucd, like.description)
