"""Functions of a cut, with their arguments checked."""

from collections.abc import Sequence
from dataclasses import dataclass

from skylike.cuts.coordinates import check_cone, parse_angle, parse_position
from skylike.cuts.functions import FUNCTIONS, MANY, Function
from skylike.cuts.kinds import ColumnKind
from skylike.cuts.source import Source
from skylike.cuts.syntax import Call, Column, InCone, Number, Text, Value, kind_of
from skylike.errors import CoordinateError


@dataclass(frozen=True)
class Argument:
    """One argument of a function, and where it begins."""

    value: Value
    position: int | None


def said(value: Value) -> str:
    """Return how an error message names a value."""
    if isinstance(value, Column):
        return f"the {value.kind} column {value.name}"
    if isinstance(value, Text):
        return f"the text '{value.value}'"
    return f"a {kind_of(value)}"


def make_call(
    name: str, arguments: Sequence[Argument], source: Source, *, position: int | None
) -> Value:
    """Call a function of :data:`skylike.cuts.functions.FUNCTIONS`.

    Raises
    ------
    CutError
        It takes another number of arguments, or other kinds.
    """
    function = FUNCTIONS[name]
    if not function.least <= len(arguments) <= function.most:
        reason = f"{name} takes {_count_said(function)}, not {len(arguments)}"
        raise source.error(reason, position)
    if name == "in_cone":
        return _cone(arguments, source, position)
    first = kind_of(arguments[0].value)
    kind = first if name == "coalesce" and first is ColumnKind.TEXT else ColumnKind.NUMBER
    for argument in arguments:
        if kind_of(argument.value) is not kind:
            raise source.error(
                f"{name} takes a {kind} here, not {said(argument.value)}", argument.position
            )
    values = tuple(argument.value for argument in arguments)
    if name == "power":
        _check_power(*values, source=source, position=position)
    return Call(name, values, kind)


def _count_said(function: Function) -> str:
    if function.least == function.most:
        return "one argument" if function.least == 1 else f"{function.least} arguments"
    upper = "or more" if function.most == MANY else f"to {function.most}"
    return f"{function.least} {upper} arguments"


def _check_power(base: Value, exponent: Value, *, source: Source, position: int | None) -> None:
    is_positive = isinstance(base, Number) and base.value > 0
    if not isinstance(exponent, Number) and not is_positive:
        raise source.error("a power needs a number as exponent, or one above 0 as base", position)


def _cone(arguments: Sequence[Argument], source: Source, position: int | None) -> Value:
    try:
        match [argument.value for argument in arguments]:
            case [
                Column(kind=ColumnKind.NUMBER) as ra,
                Column(kind=ColumnKind.NUMBER) as dec,
                Number(center_ra),
                Number(center_dec),
                Number(radius),
            ]:
                cone = check_cone(float(center_ra), float(center_dec), float(radius))
            case [Text(center_text), (Text() | Number()) as radius_given]:
                ra, dec = (_number_column(name, source, position) for name in ("ra", "dec"))
                center = parse_position(center_text)
                cone = check_cone(center.ra, center.dec, _radius(radius_given))
            case _:
                raise source.error(
                    "write in_cone(ra, dec, CENTER_RA, CENTER_DEC, RADIUS) in degrees,"
                    " or in_cone('13:29:52 +47:11:43', '10 arcmin')",
                    position,
                )
    except CoordinateError as error:
        raise source.error(str(error), position) from error
    return InCone(ra, dec, cone.ra, cone.dec, cone.radius)


def _number_column(name: str, source: Source, position: int | None) -> Column:
    found = source.find_column(name, position)
    if source.kinds[found] is not ColumnKind.NUMBER:
        raise source.error(f"in_cone needs numbers in the column {found}", position)
    return Column(found, ColumnKind.NUMBER)


def _radius(given: Text | Number) -> float:
    return parse_angle(given.value, "deg") if isinstance(given, Text) else float(given.value)
