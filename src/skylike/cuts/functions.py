"""The functions that a cut may call: their names, how many arguments, and what kind comes out."""

from dataclasses import dataclass
from typing import Final

from skylike.cuts.polygon import MAX_VERTICES


@dataclass(frozen=True)
class Function:
    """One allowed function.

    Attributes
    ----------
    least, most
        Number of arguments.
    summary
        What it gives, as the documentation says it.
    """

    least: int
    most: int
    summary: str


MANY: Final = 100
"""Arguments of a function that takes any number of them."""

FUNCTIONS: Final = {
    "abs": Function(1, 1, "size without sign"),
    "sqrt": Function(1, 1, "square root; NULL below zero"),
    "ln": Function(1, 1, "natural logarithm; NULL unless positive"),
    "log10": Function(1, 1, "decimal logarithm; NULL unless positive"),
    "exp": Function(1, 1, "e to the power of; NULL beyond 1e150 or below 1e-150"),
    "power": Function(
        2, 2, "first to the power of the second, also written ^; one must be a number"
    ),
    "floor": Function(1, 1, "next whole number below"),
    "ceil": Function(1, 1, "next whole number above"),
    "round": Function(1, 1, "nearest whole number; halves go to the even one"),
    "sind": Function(1, 1, "sine of degrees"),
    "cosd": Function(1, 1, "cosine of degrees"),
    "least": Function(2, MANY, "smallest, NULLs left out"),
    "greatest": Function(2, MANY, "largest, NULLs left out"),
    "coalesce": Function(2, MANY, "first that is not NULL; numbers or texts"),
    "in_cone": Function(1, 5, "is the position within the radius of a center?"),
    "in_box": Function(2, 6, "is the position between two right ascensions and declinations?"),
    "in_polygon": Function(3, 2 * MAX_VERTICES + 4, "is the position in the polygon?"),
    "has_label": Function(1, 1, "has somebody given the galaxy this label?"),
}
"""Chosen so that PostgreSQL and numpy give the same answer and neither can raise an error."""

CONDITIONS: Final = frozenset({"in_cone", "in_box", "in_polygon", "has_label"})
"""Functions that are true or false of a row; the others give numbers or texts."""

ALIASES: Final = {"ceiling": "ceil", "pow": "power", "log": "log10"}
"""Other names; ``log`` is the decimal logarithm, as in PostgreSQL."""

LARGEST: Final = 1e150
"""Results larger than this are NULL: the product of two smaller ones never overflows a double."""

SMALLEST: Final = 1e-150
"""Results nearer to zero than this, other than zero, are NULL: their product never underflows."""

EXPONENT_LIMIT: Final = 345.0
"""``exp`` of more, or of less than its negative, is NULL: ln(1e150) is 345.4."""

LARGEST_WHOLE: Final = 2**53
"""Doubles above it need not be exact whole numbers: their bits mean nothing."""
