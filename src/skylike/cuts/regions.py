"""Regions of the sky and labels: the functions of a cut that ask where or what a galaxy is."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from skylike.cuts.arguments import Argument, said
from skylike.cuts.coordinates import (
    check_box,
    check_cone,
    check_position,
    parse_angle,
    parse_cone,
    parse_declination,
    parse_position,
    parse_right_ascension,
)
from skylike.cuts.kinds import ColumnKind
from skylike.cuts.polygon import Vertex, check_polygon
from skylike.cuts.source import Source
from skylike.cuts.syntax import Column, HasLabel, InBox, InCone, InPolygon, Number, Text, Value
from skylike.errors import CoordinateError

_LABEL: Final = re.compile(r"[a-z][a-z0-9_]{0,49}")
"""What names of labels look like (:mod:`skylike.labels.names`)."""

_FORMS: Final[Mapping[str, str]] = {
    "in_cone": "in_cone(ra, dec, CENTER_RA, CENTER_DEC, RADIUS) in degrees, or"
    " in_cone('13:29:52 +47:11:43', '10 arcmin')",
    "in_box": "in_box(ra, dec, RA_MIN, RA_MAX, DEC_MIN, DEC_MAX) in degrees, or two corners:"
    " in_box('150 1.5', '151 2.5')",
    "in_polygon": "in_polygon(ra, dec, RA, DEC, RA, DEC, RA, DEC, ...) in degrees, or"
    " in_polygon('150 1', '152 1', '151 3')",
}

_Read = TypeVar("_Read")


@dataclass(frozen=True)
class _Call:
    """A region's function as it was called."""

    name: str
    ra: Column
    dec: Column
    arguments: Sequence[Argument]
    """Those after the columns."""
    source: Source
    position: int | None

    @property
    def values(self) -> list[Value]:
        return [argument.value for argument in self.arguments]

    def read(self, argument: Argument, parse: Callable[[str], _Read]) -> _Read:
        """Read a text; what is wrong with it is said of its place."""
        if not isinstance(argument.value, Text):
            raise self.source.error(
                f"{said(argument.value)} stands where {self.name} takes a text; write"
                f" {_FORMS[self.name]}",
                argument.position,
            )
        try:
            return parse(argument.value.value)
        except CoordinateError as error:
            raise self.source.error(str(error), argument.position) from error

    def angle(self, argument: Argument, parse: Callable[[str], float]) -> float:
        """Read a number of degrees or a text."""
        if isinstance(argument.value, Number):
            return float(argument.value.value)
        return self.read(argument, parse)


def make_region(
    name: str, arguments: Sequence[Argument], source: Source, *, position: int | None
) -> Value:
    """Call ``in_cone``, ``in_box``, ``in_polygon`` or ``has_label``.

    Raises
    ------
    CutError
        The arguments are none that the function takes, or no region of the sky.
    """
    if name == "has_label":
        return _has_label(arguments[0], source, position)
    match [argument.value for argument in arguments[:2]]:
        case [Column(kind=ColumnKind.NUMBER) as ra, Column(kind=ColumnKind.NUMBER) as dec]:
            call = _Call(name, ra, dec, arguments[2:], source, position)
        case _:
            ra, dec = (_number_column(column, name, source, position) for column in ("ra", "dec"))
            call = _Call(name, ra, dec, arguments, source, position)
    try:
        found = _MAKERS[name](call)
    except CoordinateError as error:
        raise source.error(str(error), position) from error
    if found is None:
        raise source.error(f"write {_FORMS[name]}", position)
    return found


def _number_column(column: str, function: str, source: Source, position: int | None) -> Column:
    value = source.value_of(source.find_column(column, position))
    if not isinstance(value, Column) or value.kind is not ColumnKind.NUMBER:
        raise source.error(f"{function} needs numbers in the column {column}", position)
    return value


def _cone(call: _Call) -> InCone | None:
    match call.arguments, call.values:
        case [whole], [Text()]:
            cone = call.read(whole, parse_cone)
        case [center, radius], [Text(), Text() | Number()]:
            place = call.read(center, parse_position)
            cone = check_cone(place.ra, place.dec, call.angle(radius, _radius))
        case [ra, dec, radius], [_, _, _] if _are_constants(call.values):
            cone = check_cone(
                call.angle(ra, parse_right_ascension),
                call.angle(dec, parse_declination),
                call.angle(radius, _radius),
            )
        case _:
            return None
    return InCone(call.ra, call.dec, cone.ra, cone.dec, cone.radius)


def _radius(text: str) -> float:
    return parse_angle(text, "deg")


def _box(call: _Call) -> InBox | None:
    match call.arguments, call.values:
        case [first, second], [Text(), Text()]:
            low, high = (call.read(corner, _corner) for corner in (first, second))
            box = check_box(low.ra, high.ra, low.dec, high.dec)
        case [west, east, south, north], [_, _, _, _] if _are_constants(call.values):
            box = check_box(
                *(call.angle(ra, parse_right_ascension) for ra in (west, east)),
                *(call.angle(dec, parse_declination) for dec in (south, north)),
            )
        case _:
            return None
    return InBox(call.ra, call.dec, box.ra_min, box.ra_max, box.dec_min, box.dec_max)


def _corner(text: str) -> Vertex:
    position = parse_position(text, full_circle=True)
    return Vertex(position.ra, position.dec)


def _polygon(call: _Call) -> InPolygon | None:
    given = call.arguments
    if all(isinstance(value, Text) for value in call.values):
        vertices = [call.read(vertex, _corner) for vertex in given]
    elif all(isinstance(value, Number) for value in call.values) and len(given) % 2 == 0:
        numbers = [call.angle(number, float) for number in given]
        vertices = [Vertex(*pair) for pair in zip(numbers[::2], numbers[1::2], strict=True)]
    else:
        return None
    for vertex in vertices:
        check_position(*vertex, full_circle=True)
    return InPolygon(call.ra, call.dec, check_polygon(vertices))


def _are_constants(values: Sequence[Value]) -> bool:
    return all(isinstance(value, Number | Text) for value in values)


_MAKERS: Final[Mapping[str, Callable[[_Call], Value | None]]] = {
    "in_cone": _cone,
    "in_box": _box,
    "in_polygon": _polygon,
}


def _has_label(label: Argument, source: Source, position: int | None) -> HasLabel:
    if not isinstance(label.value, Text):
        raise source.error(
            f"has_label takes a text, not {said(label.value)}: has_label('ring')", label.position
        )
    name = label.value.value
    if not _LABEL.fullmatch(name):
        raise source.error(
            "the name of a label is a small letter, then small letters, digits or _:"
            " has_label('ring')",
            label.position,
        )
    node = HasLabel(name)
    if source.kinds.get(node.galaxy.name) is not node.galaxy.kind:
        raise source.error("has_label serves in the catalog only; files have no labels", position)
    return node
