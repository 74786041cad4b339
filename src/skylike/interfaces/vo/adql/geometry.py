"""The geometry of ADQL 2.1 (section 4.2): shapes, and what they contain, in ICRS degrees."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from skylike.cuts.polygon import Vertex, check_polygon
from skylike.errors import CoordinateError
from skylike.interfaces.vo.adql.calls import Call
from skylike.interfaces.vo.adql.cones import in_cone
from skylike.interfaces.vo.adql.edges import (
    box_corners,
    circle_near_edges,
    in_polygon,
    middle_of,
    polygon_area,
)
from skylike.interfaces.vo.adql.schema import CIRCLE, DOUBLE, INT, LONG, POINT, POLYGON, TEXT
from skylike.interfaces.vo.adql.scope import Name
from skylike.interfaces.vo.adql.values import Circle, Point, Polygon, Shape, Value, number

_FRAMES: Final = frozenset({"", "ICRS", "UNKNOWNFRAME"})
"""First word of a coordinate system that is ours; ADQL 2.1 gives the argument up."""


def _without_frame(call: Call) -> list[Value]:
    """Leave out a coordinate system in front; positions here are ICRS."""
    arguments = list(call.arguments)
    if arguments and isinstance(arguments[0].constant, str):
        frame = arguments.pop(0).constant
        first = next(iter(str(frame).upper().split()), "")
        if first not in _FRAMES:
            raise call.error(f"positions are ICRS here, not {frame}")
    return arguments


def _coordinates(call: Call, ra: Value, dec: Value) -> Point:
    if not (ra.is_number and dec.is_number):
        raise call.error("coordinates are numbers, in degrees")
    if dec.number is not None and not -90 <= dec.number <= 90:
        raise call.error(f"the declination {dec.number:g} is not within -90 to 90 degrees")
    if ra.number is not None:
        if not -360 <= ra.number <= 720:
            raise call.error(f"the right ascension {ra.number:g} is not within 0 to 360 degrees")
        ra = number(float(ra.number) % 360)
    return Point(ra, dec, _healpix_beside(call, ra, dec))


def _healpix_beside(call: Call, ra: Value, dec: Value) -> str | None:
    """Find the column with the HEALPix index of a position: that of the same indexed table."""
    first, second = ra.origin, dec.origin
    if first is None or second is None or not first.alias or first.alias != second.alias:
        return None
    if (first.column, second.column) != ("ra", "dec") or not (
        first.is_indexed and second.is_indexed
    ):
        return None
    found = call.scope.find(Name("healpix29", is_quoted=False), ())
    for column in found:
        origin = column.value.origin
        if origin is not None and origin.alias == first.alias and origin.is_indexed:
            return column.value.sql
    return None


def _points(call: Call, arguments: Sequence[Value]) -> list[Point]:
    """Read points, or their coordinates one after the other."""
    points = [argument.shape for argument in arguments]
    if points and all(isinstance(point, Point) for point in points):
        return [point for point in points if isinstance(point, Point)]
    if len(arguments) % 2 or not arguments:
        raise call.error("it takes points, or right ascensions and declinations in turn")
    pairs = zip(arguments[::2], arguments[1::2], strict=True)
    return [_coordinates(call, ra, dec) for ra, dec in pairs]


def _point(call: Call) -> Value:
    arguments = _without_frame(call)
    if len(arguments) != 2:
        raise call.error("write POINT(ra, dec)")
    point = _coordinates(call, *arguments)
    sql = f"ARRAY[{point.ra.as_double}, {point.dec.as_double}]"
    return Value(sql, POINT, "deg", "pos.eq", shape=point)


def _circle(call: Call) -> Value:
    *center, radius = _without_frame(call) or [number(0)]
    points = _points(call, center)
    if len(points) != 1 or not radius.is_number:
        raise call.error("write CIRCLE(ra, dec, radius), in degrees")
    if radius.number is not None and not 0 <= radius.number <= 180:
        raise call.error(f"the radius {radius.number:g} is not within 0 to 180 degrees")
    place = points[0]
    sql = f"ARRAY[{place.ra.as_double}, {place.dec.as_double}, {radius.as_double}]"
    return Value(sql, CIRCLE, "deg", "pos.outline", shape=Circle(place, radius))


def _constant(call: Call, point: Point) -> Vertex:
    if point.ra.number is None or point.dec.number is None:
        raise call.error("its coordinates are numbers written out, not columns")
    return Vertex(float(point.ra.number), float(point.dec.number))


def _outline(call: Call, vertices: Sequence[Vertex]) -> Value:
    try:
        checked = check_polygon(vertices)
    except CoordinateError as error:
        raise call.error(str(error)) from error
    numbers = ", ".join(number(float(one)).sql for vertex in checked for one in vertex)
    return Value(f"ARRAY[{numbers}]", POLYGON, "deg", "pos.outline", shape=Polygon(checked))


def _polygon(call: Call) -> Value:
    points = _points(call, _without_frame(call))
    return _outline(call, [_constant(call, point) for point in points])


def _box(call: Call) -> Value:
    *center, width, height = _without_frame(call) or [number(0)] * 2
    points = _points(call, center)
    if len(points) != 1 or width.number is None or height.number is None:
        raise call.error("write BOX(ra, dec, width, height), numbers in degrees")
    if not (0 < width.number < 180 and 0 < height.number < 180):
        raise call.error("its sides are above 0 and below 180 degrees")
    middle = _constant(call, points[0])
    return _outline(call, box_corners(middle, float(width.number), float(height.number)))


def _shapes(call: Call) -> tuple[Shape, Shape]:
    call.check_count(2, 2)
    first, second = (argument.shape for argument in call.arguments)
    if first is None or second is None:
        raise call.error("it takes two of POINT, CIRCLE, BOX and POLYGON")
    return first, second


def _is_small(radius: Value) -> bool:
    """Whether a circle is less than half of the sky, so that great circles cross it straight."""
    return radius.number is not None and radius.number < 90


def _test(sql: str) -> Value:
    return Value(f"CAST({sql} AS integer)", INT, predicate=sql)


def _contains(call: Call) -> Value:
    inner, outer = _shapes(call)
    match inner, outer:
        case Point(), Point():
            sql = f"(skylike.separation({inner.sql}, {outer.sql}) = 0)"
        case Point(), Circle(center, radius):
            sql = in_cone(inner, center, radius)
        case Point(), Polygon():
            sql = in_polygon(inner, outer)
        case Circle(center, radius), Circle(other, reach):
            apart = f"skylike.separation({center.sql}, {other.sql})"
            sql = f"({in_cone(center, other, reach)} AND {apart} + {radius.sql} <= {reach.sql})"
        case Polygon(vertices), Circle(center, radius) if _is_small(radius):
            corners = [_at(vertex) for vertex in vertices]
            sql = "(" + " AND ".join(in_cone(center, one, radius) for one in corners) + ")"
        case Circle(center, radius), Polygon() if _is_small(radius):
            near = circle_near_edges(center, radius, outer)
            sql = f"({in_polygon(center, outer)} AND NOT {near})"
        case _:
            raise call.error("whether it lies in such a shape is not offered")
    return _test(sql)


def _intersects(call: Call) -> Value:
    first, second = _shapes(call)
    if isinstance(second, Point) or (isinstance(first, Polygon) and isinstance(second, Circle)):
        first, second = second, first
    match first, second:
        case Point(), _:
            inner = Value("", POINT, shape=first), Value("", POINT, shape=second)
            return _contains(Call(call.name, inner, call.node, call.statement, call.scope))
        case Circle(center, radius), Circle(other, reach):
            both = _sum(radius, reach)
            return _test(in_cone(center, other, both))
        case Circle(center, radius), Polygon() if _is_small(radius):
            near = circle_near_edges(center, radius, second)
            return _test(f"({in_polygon(center, second)} OR {near})")
        case _:
            raise call.error("of two polygons or boxes it is not offered")


def _sum(first: Value, second: Value) -> Value:
    if first.number is not None and second.number is not None:
        return number(float(first.number) + float(second.number))
    return Value(f"({first.as_double} + {second.as_double})", DOUBLE)


def _at(vertex: Vertex) -> Point:
    return Point(number(float(vertex.ra)), number(float(vertex.dec)))


def _distance(call: Call) -> Value:
    points = _points(call, call.arguments)
    if len(points) != 2:
        raise call.error("write DISTANCE(ra1, dec1, ra2, dec2) or DISTANCE(point, point)")
    first, second = points
    return Value(
        f"skylike.separation({first.sql}, {second.sql})",
        DOUBLE,
        "deg",
        "pos.angDistance",
        "Separation on the sky",
        between=(first, second),
    )


def _area(call: Call) -> Value:
    call.check_count(1, 1)
    match call.arguments[0].shape:
        case Point():
            return Value("double precision '0'", DOUBLE, "deg**2")
        case Circle(_, radius):
            # 2 pi (1 - cos r) without cancellation.
            cap = f"4 * pi() * power(sind({radius.as_double} / 2), 2)"
            return Value(f"({cap} * power(180 / pi(), 2))", DOUBLE, "deg**2", "phys.angArea")
        case Polygon(vertices):
            area = polygon_area(vertices)
            return Value(number(area).sql, DOUBLE, "deg**2", "phys.angArea")
    raise call.error("it takes a CIRCLE, BOX or POLYGON")


def _one_coordinate(call: Call) -> Value:
    call.check_count(1, 1)
    point = call.arguments[0].shape
    if not isinstance(point, Point):
        raise call.error("it takes a POINT")
    return point.ra if call.name == "coord1" else point.dec


def _centroid(call: Call) -> Value:
    call.check_count(1, 1)
    match call.arguments[0].shape:
        case Point() as point:
            place = point
        case Circle(center, _):
            place = center
        case Polygon(vertices):
            place = _at(middle_of(vertices))
        case _:
            raise call.error("it takes a geometry")
    sql = f"ARRAY[{place.ra.as_double}, {place.dec.as_double}]"
    return Value(sql, POINT, "deg", "pos.eq", shape=place)


def _system(call: Call) -> Value:
    call.check_count(1, 1)
    if call.arguments[0].shape is None:
        raise call.error("it takes a geometry")
    frame = call.statement.text("ICRS")
    return Value(frame.sql, TEXT, constant="ICRS")


def _healpix_index(call: Call) -> Value:
    """Give the HEALPix index of a galaxy: coarser ones are the beginning of the stored one."""
    write = "write ivo_healpix_index(order, ra, dec) with the columns ra and dec of galaxies"
    if len(call.arguments) not in {2, 3}:
        raise call.error(write)
    order = call.whole_constant(0)
    points = _points(call, call.arguments[1:])
    if not 0 <= order <= 29 or len(points) != 1 or points[0].healpix is None:
        raise call.error(f"{write}; order is 0 to 29")
    sql = f"({points[0].healpix} >> {2 * (29 - order)})"
    return Value(sql, LONG, ucd="pos.healpix", description=f"HEALPix index, order {order}, NESTED")


GEOMETRY: Final[Mapping[str, Callable[[Call], Value]]] = {
    "area": _area,
    "box": _box,
    "centroid": _centroid,
    "circle": _circle,
    "contains": _contains,
    "coord1": _one_coordinate,
    "coord2": _one_coordinate,
    "coordsys": _system,
    "distance": _distance,
    "intersects": _intersects,
    "ivo_healpix_index": _healpix_index,
    "point": _point,
    "polygon": _polygon,
}
"""By their names in lower case."""
