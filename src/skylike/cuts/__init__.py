"""Cuts: SQL conditions over catalog columns, and positions and cones, as people type them."""

from skylike.cuts.derived import Derived, parse_definition
from skylike.cuts.expression import check_derived, to_expression, value_expression
from skylike.cuts.kinds import GALAXY_KINDS, ColumnKind
from skylike.cuts.mask import to_mask
from skylike.cuts.parse import parse_cut
from skylike.cuts.syntax import Cut

__all__ = [
    "GALAXY_KINDS",
    "ColumnKind",
    "Cut",
    "Derived",
    "check_derived",
    "parse_cut",
    "parse_definition",
    "to_expression",
    "to_mask",
    "value_expression",
]
