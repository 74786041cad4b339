"""The syntax tree of a cut: small, typed, and made of nothing but what a cut may say.

Every back end is made from this tree, so that PostgreSQL and numpy cannot disagree about what a cut
means. Comparison is three-valued, as in SQL: with NULL on either side it is neither true nor false.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import datetime

from skylike.cuts.kinds import ColumnKind
from skylike.cuts.polygon import Vertex


@dataclass(frozen=True)
class Column:
    """A column, by the name it has in the kinds given to the parser."""

    name: str
    kind: ColumnKind


@dataclass(frozen=True)
class Number:
    """A number; whole ones stay integers, because identifiers exceed 2^53."""

    value: int | float


@dataclass(frozen=True)
class Text:
    """A text between single quotes."""

    value: str


@dataclass(frozen=True)
class Truth:
    """TRUE or FALSE."""

    value: bool


@dataclass(frozen=True)
class Moment:
    """An instant, UTC."""

    value: datetime


@dataclass(frozen=True)
class Negative:
    """Minus a number."""

    operand: "Value"


@dataclass(frozen=True)
class Arithmetic:
    """``+ - * /`` of double precision numbers, ``&`` of whole ones."""

    operator: str
    left: "Value"
    right: "Value"


@dataclass(frozen=True)
class Call:
    """One of the functions in :mod:`skylike.cuts.functions`."""

    name: str
    arguments: tuple["Value", ...]
    kind: ColumnKind


@dataclass(frozen=True)
class Comparison:
    """``= <> < <= > >=`` of two values of one kind."""

    operator: str
    left: "Value"
    right: "Value"


@dataclass(frozen=True)
class Membership:
    """Whether a value is one of a list of constants."""

    operand: "Value"
    choices: tuple["Number | Text | Truth | Moment", ...]


@dataclass(frozen=True)
class Like:
    r"""Whether a text matches ``%`` and ``_``; ``\`` makes the next character plain."""

    operand: "Value"
    pattern: str
    ignore_case: bool


@dataclass(frozen=True)
class IsNull:
    """Whether a value is missing; never NULL itself."""

    operand: "Value"


@dataclass(frozen=True)
class IsTruth:
    """Whether a condition is TRUE (or FALSE); never NULL itself."""

    operand: "Value"
    value: bool


@dataclass(frozen=True)
class InCone:
    """Whether a position lies within a radius of a center; ICRS degrees, edge included."""

    ra: Column
    dec: Column
    center_ra: float
    center_dec: float
    radius: float


@dataclass(frozen=True)
class InBox:
    """Whether a position lies in a box; edges included, across RA 0 where ra_min > ra_max."""

    ra: Column
    dec: Column
    ra_min: float
    ra_max: float
    dec_min: float
    dec_max: float


@dataclass(frozen=True)
class InPolygon:
    """Whether a position lies in a polygon, checked by :mod:`skylike.cuts.polygon`."""

    ra: Column
    dec: Column
    vertices: tuple[Vertex, ...]


@dataclass(frozen=True)
class HasLabel:
    """Whether somebody has said that a galaxy bears a label; known in the catalog only."""

    name: str
    galaxy: Column = Column("galaxy_id", ColumnKind.NUMBER)


@dataclass(frozen=True)
class Not:
    """The opposite of a condition."""

    operand: "Value"


@dataclass(frozen=True)
class And:
    """Conditions joined by AND, two or more."""

    operands: tuple["Value", ...]


@dataclass(frozen=True)
class Or:
    """Conditions joined by OR, two or more."""

    operands: tuple["Value", ...]


Constant = Number | Text | Truth | Moment
Value = (
    Constant
    | Column
    | Negative
    | Arithmetic
    | Call
    | Comparison
    | Membership
    | Like
    | IsNull
    | IsTruth
    | InCone
    | InBox
    | InPolygon
    | HasLabel
    | Not
    | And
    | Or
)


@dataclass(frozen=True)
class Derived:
    """A column that somebody has derived from others; in a cut its name stands for its tree."""

    name: str
    """In lower case."""

    text: str
    """What it stands for, as it was typed."""

    value: Value
    """Its syntax tree, with those of other derived columns in their places."""

    kind: ColumnKind
    """Number, text or boolean."""

    @property
    def columns(self) -> frozenset[str]:
        """Names of the columns that it reads in the end."""
        return columns_of(self.value)


@dataclass(frozen=True)
class Cut:
    """A cut that was understood and allowed."""

    text: str
    """As it was typed."""

    condition: Value
    """Its syntax tree; of kind boolean."""

    columns: frozenset[str]
    """Names of the columns that it reads."""


def kind_of(value: Value) -> ColumnKind:
    """Return what a value is."""
    match value:
        case Column() | Call():
            return value.kind
        case Number() | Negative() | Arithmetic():
            return ColumnKind.NUMBER
        case Text():
            return ColumnKind.TEXT
        case Moment():
            return ColumnKind.TIME
        case _:
            return ColumnKind.BOOLEAN


def columns_of(value: Value) -> frozenset[str]:
    """Return the names of the columns that a value reads."""
    return frozenset(part.name for part in iter_values(value) if isinstance(part, Column))


def parts_of(value: Value) -> Iterator[Value]:
    """Iterate over what a value is made of."""
    for field in fields(value):
        part = getattr(value, field.name)
        for inner in part if isinstance(part, tuple) else (part,):
            if isinstance(inner, Value):
                yield inner


def iter_values(value: Value) -> Iterator[Value]:
    """Iterate over a value and all that it is made of."""
    yield value
    for part in parts_of(value):
        yield from iter_values(part)
