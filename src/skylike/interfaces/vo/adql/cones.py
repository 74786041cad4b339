"""Cones in SQL: written so that the index of one of the two positions finds the rows."""

from typing import Final

from skylike.cuts.coordinates import Cone
from skylike.interfaces.vo.adql.values import Point, Value, number
from skylike.search.sky_ranges import cone_ranges

_WIDENING_DEG: Final = 1e-9
"""What rounding may take from a distance; a second condition then compares exactly."""


def in_cone(first: Point, second: Point, radius: Value) -> str:
    """Say that two positions are within a radius of each other, edge included.

    The server inlines ``skylike.in_cone``; its conditions on (dec, ra) are of the first position,
    so that the indexed one comes first. A constant cone also gives the ranges of HEALPix indices.

    Parameters
    ----------
    radius
        Degrees; below zero there is nothing in it.
    """
    if second.is_indexed and not first.is_indexed:
        first, second = second, first
    ranges = _ranges(first, second, radius)
    if radius.number is None:
        # Outside of 0 to 180 the sines in in_cone mean nothing.
        within = f"LEAST(GREATEST({radius.sql}, 0), 180)"
        cone = f"skylike.in_cone({first.sql}, {second.sql}, {within}) AND {radius.sql} >= 0"
    elif radius.number < 0:
        return "FALSE"
    else:
        within = number(min(float(radius.number), 180.0)).sql
        cone = f"skylike.in_cone({first.sql}, {second.sql}, {within})"
    return f"({ranges}{cone})"


def wider_radius(radius: Value) -> Value:
    """Return a radius that rounding cannot make too small."""
    if radius.number is not None:
        return number(float(radius.number) + _WIDENING_DEG) if radius.number >= 0 else radius
    widening = number(_WIDENING_DEG).sql
    return Value(f"({radius.as_double} + {widening})", radius.datatype)


def constant_cone(center: Point, radius: Value) -> Cone | None:
    """Return a cone of constants, or None where it is none or wider than the sky."""
    ra, dec = center.ra.number, center.dec.number
    if ra is None or dec is None or radius.number is None:
        return None
    size = float(radius.number)
    return Cone(float(ra) % 360, float(dec), size) if 0 < size <= 180 else None


def _ranges(first: Point, second: Point, radius: Value) -> str:
    cone = constant_cone(second, radius)
    if first.healpix is None or cone is None:
        return ""
    ranges = cone_ranges(cone)
    if not ranges:
        return ""
    within = " OR ".join(f"{first.healpix} BETWEEN {low} AND {high}" for low, high in ranges)
    return f"({within}) AND "
