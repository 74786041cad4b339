"""Functions of a cut, with their arguments checked."""

from collections.abc import Sequence

from skylike.cuts.arguments import Argument, said
from skylike.cuts.functions import CONDITIONS, FUNCTIONS, MANY
from skylike.cuts.kinds import ColumnKind
from skylike.cuts.polygon import MAX_VERTICES
from skylike.cuts.regions import make_region
from skylike.cuts.source import Source
from skylike.cuts.syntax import Call, Number, Value, kind_of


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
        reason = f"{name} takes {_count_said(name)}, not {_given_said(name, len(arguments))}"
        raise source.error(reason, position)
    if name in CONDITIONS:
        return make_region(name, arguments, source, position=position)
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


def _count_said(name: str) -> str:
    function = FUNCTIONS[name]
    if name == "in_polygon":
        return f"3 to {MAX_VERTICES} vertices, such as '180 0', '182 0', '181 2'"
    if function.least == function.most:
        return "one argument" if function.least == 1 else f"{function.least} arguments"
    upper = "or more" if function.most == MANY else f"to {function.most}"
    return f"{function.least} {upper} arguments"


def _given_said(name: str, count: int) -> str:
    if name != "in_polygon":
        return f"{count}"
    return "one argument" if count == 1 else f"{count or 'no'} arguments"


def _check_power(base: Value, exponent: Value, *, source: Source, position: int | None) -> None:
    is_positive = isinstance(base, Number) and base.value > 0
    if not isinstance(exponent, Number) and not is_positive:
        raise source.error("a power needs a number as exponent, or one above 0 as base", position)
