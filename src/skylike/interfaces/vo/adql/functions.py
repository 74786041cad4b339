"""The functions of ADQL 2.1 but geometry: numbers, texts, aggregates, and those of the IVOA.

No number makes a query fail where NULL can say that there is none: a root or a logarithm of a
negative flux, a division by zero. The guards name their argument once, so that nesting them does
not make the statement grow.
"""

import math
from collections.abc import Callable, Mapping
from typing import Final

from skylike.interfaces.vo.adql.calls import Call
from skylike.interfaces.vo.adql.schema import DOUBLE, INT, LONG, TEXT
from skylike.interfaces.vo.adql.values import Likeness, Value, derived, plain, wider

_ABOVE_ONE: Final = "1.0000000000000002"
_EXP_LIMIT: Final = "708"

_OF_ONE: Final[Mapping[str, str]] = {
    "acos": "acos({inner})",
    "asin": "asin({inner})",
    "atan": "atan({x})",
    "cos": "cos({x})",
    "cot": "cot({x})",
    "degrees": "degrees({x})",
    "exp": "exp({bounded})",
    "log": "ln({positive})",
    "log10": "log({positive})",
    "radians": "radians({x})",
    "sin": "sin({x})",
    "sqrt": "sqrt({root})",
    "tan": "tan({x})",
}
"""ADQL's LOG is natural; PostgreSQL's log is decimal."""

_GUARDS: Final[Mapping[str, str]] = {
    "x": "{x}",
    "not_zero": "NULLIF({x}, double precision '0')",
    "positive": "NULLIF(GREATEST({x}, double precision '0'), double precision '0')",
    # Above it only zero and what is positive is left; nearer to zero are no normal doubles.
    "root": "NULLIF(GREATEST({x}, double precision '-3e-308'), double precision '-3e-308')",
    "inner": (
        f"NULLIF(NULLIF(LEAST(GREATEST({{x}}, double precision '-{_ABOVE_ONE}'),"
        f" double precision '{_ABOVE_ONE}'), double precision '-{_ABOVE_ONE}'),"
        f" double precision '{_ABOVE_ONE}')"
    ),
    "bounded": (
        f"NULLIF(NULLIF(LEAST(GREATEST({{x}}, double precision '-{_EXP_LIMIT}'),"
        f" double precision '{_EXP_LIMIT}'), double precision '-{_EXP_LIMIT}'),"
        f" double precision '{_EXP_LIMIT}')"
    ),
}


def _of_one(call: Call) -> Value:
    call.check_count(1, 1)
    call.check_numbers()
    x = call.arguments[0].as_double
    guarded = {name: form.format(x=x) for name, form in _GUARDS.items()}
    unit = {"degrees": "deg", "radians": "rad"}.get(call.name)
    return Value(_OF_ONE[call.name].format(**guarded), DOUBLE, unit)


def _sized(call: Call) -> Value:
    """ABS, CEILING and FLOOR mean what their argument means."""
    call.check_count(1, 1)
    call.check_numbers()
    only = call.arguments[0]
    name = {"ceiling": "ceil"}.get(call.name, call.name)
    if only.is_whole:
        return derived(f"{name}({only.sql})" if name == "abs" else only.sql, only.datatype, only)
    return derived(f"{name}({only.as_double})", DOUBLE, only)


def _rounded(call: Call) -> Value:
    call.check_count(1, 2)
    call.check_numbers()
    name = {"truncate": "trunc"}.get(call.name, call.name)
    first = call.arguments[0]
    if len(call.arguments) == 1:
        sql = first.sql if first.is_whole else f"{name}({first.as_double})"
        return derived(sql, first.datatype if first.is_whole else DOUBLE, first)
    digits = call.whole_constant(1)
    if abs(digits) > 100:
        raise call.error("so many digits are never there")
    rounded = f"{name}(CAST({first.sql} AS numeric), {digits})"
    return derived(f"CAST({rounded} AS double precision)", DOUBLE, first)


def _mod(call: Call) -> Value:
    call.check_count(2, 2)
    call.check_numbers()
    first, second = call.arguments
    if first.is_whole and second.is_whole:
        datatype = wider(first.datatype, second.datatype)
        return derived(f"mod({first.sql}, NULLIF({second.sql}, 0))", datatype, first)
    exact = [f"CAST({one.sql} AS numeric)" for one in call.arguments]
    sql = f"CAST(mod({exact[0]}, NULLIF({exact[1]}, 0)) AS double precision)"
    return derived(sql, DOUBLE, first)


def _atan2(call: Call) -> Value:
    call.check_count(2, 2)
    call.check_numbers()
    y, x = (argument.as_double for argument in call.arguments)
    return Value(f"atan2({y}, {x})", DOUBLE, "rad")


def _power(call: Call) -> Value:
    call.check_count(2, 2)
    call.check_numbers()
    base, exponent = call.arguments
    x = base.as_double
    guard = "x"
    if exponent.number is not None and exponent.number % 1:
        guard = "root" if exponent.number > 0 else "positive"
    elif exponent.number is not None and exponent.number < 0:
        guard = "not_zero"
    return Value(f"power({_GUARDS[guard].format(x=x)}, {exponent.as_double})", DOUBLE)


def _pi(call: Call) -> Value:
    call.check_count(0, 0)
    return Value("pi()", DOUBLE, constant=math.pi)


def _rand(call: Call) -> Value:
    if call.arguments:
        raise call.error("it takes no seed here; write RAND()")
    return Value("random()", DOUBLE)


def _case(call: Call) -> Value:
    call.check_count(1, 1)
    call.check_texts()
    return derived(f"{call.name}({call.arguments[0].sql})", TEXT, call.arguments[0])


def _coalesce(call: Call) -> Value:
    call.check_count(2, 100)
    first = call.arguments[0]
    datatype = first.datatype
    for other in call.arguments[1:]:
        if first.is_number and other.is_number:
            datatype = wider(datatype, other.datatype)
        elif other.datatype != first.datatype:
            raise call.error("its arguments are of different kinds")
    if first.shape is not None or datatype.arraysize not in {None, "*"}:
        raise call.error("it takes numbers, texts and times")
    chosen = ", ".join(argument.sql for argument in call.arguments)
    return derived(f"COALESCE({chosen})", datatype, first)


def _in_unit(call: Call) -> Value:
    call.check_count(2, 2)
    value, wanted = call.arguments
    if not value.is_number or not isinstance(wanted.constant, str):
        raise call.error("write IN_UNIT(column, 'unit')")
    from astropy import units as u  # noqa: PLC0415 - half a second that other queries need not wait

    try:
        factor = u.Unit(value.unit or "").to(u.Unit(wanted.constant))
    except (ValueError, TypeError, u.UnitsError) as error:
        raise call.error(
            f"{value.unit or 'a pure number'} cannot be given in {wanted.constant}"
        ) from error
    sql = f"({value.as_double} * double precision '{float(factor)!r}')"
    return Value(sql, DOUBLE, wanted.constant, value.ucd, value.description)


def _condition(sql: str) -> Value:
    """Make a number of a condition: 1, 0 or NULL."""
    return Value(f"CAST(({sql}) AS integer)", INT, predicate=f"({sql})")


def _has_word(call: Call) -> Value:
    call.check_count(2, 2)
    call.check_texts()
    text, word = (argument.sql for argument in call.arguments)
    return _condition(f"to_tsvector('simple', {text}) @@ plainto_tsquery('simple', {word})")


def _no_case_match(call: Call) -> Value:
    call.check_count(2, 2)
    call.check_texts()
    text, pattern = (argument.sql for argument in call.arguments)
    return _condition(f"{text} ILIKE {pattern} ESCAPE ''")


def _hash_list_has(call: Call) -> Value:
    call.check_count(2, 2)
    call.check_texts()
    texts, item = (argument.sql for argument in call.arguments)
    return _condition(f"lower({item}) = ANY (string_to_array(lower({texts}), '#'))")


def _similarity(call: Call) -> Value:
    call.check_count(2, 2)
    if not all(argument.is_whole for argument in call.arguments):
        raise call.error("it takes two values of galaxy_id: skylike_similarity(galaxy_id, 42)")
    galaxy, example = call.arguments
    if isinstance(galaxy.constant, int):
        galaxy, example = example, galaxy
    likeness = None
    if isinstance(example.constant, int):
        if not 0 <= example.constant < 2**31:
            raise call.error(f"there is no galaxy {example.constant}")
        likeness = Likeness(galaxy, example.constant)
        # A subquery of its own is answered once, not for each row.
        other = f"(SELECT skylike.embedding_of({example.constant}))"
    else:
        other = f"skylike.embedding_of(CAST({example.sql} AS integer))"
    sql = f"skylike.similarity(skylike.embedding_of(CAST({galaxy.sql} AS integer)), {other})"
    if call.statement.found is not None and likeness is not None:
        sql = f"{call.statement.found}.similarity"
    said = "another one" if likeness is None else f"galaxy {likeness.example}"
    return Value(
        sql,
        DOUBLE,
        ucd="stat.correlation",
        description=f"Cosine of the embeddings of the galaxy and of {said}",
        likeness=likeness,
    )


def _aggregate(call: Call) -> Value:
    call.check_count(1, 1)
    only = call.arguments[0]
    distinct = "DISTINCT " if call.is_distinct else ""
    if call.name == "count":
        return Value(f"count({distinct}{only.sql})", LONG, ucd="meta.number")
    if call.name in {"min", "max"}:
        is_plain = only.datatype.arraysize in {None, "*"} and only.shape is None
        if not is_plain or only.datatype.votable == "boolean":
            raise call.error("it takes numbers, texts or times")
        ucd = f"{only.ucd};stat.{call.name}" if only.ucd else f"stat.{call.name}"
        return Value(f"{call.name}({only.sql})", only.datatype, only.unit, ucd, only.description)
    call.check_numbers()
    if call.name == "sum" and only.is_whole:
        return derived(f"CAST(sum({distinct}{only.sql}) AS bigint)", LONG, plain(only))
    return derived(f"{call.name}({distinct}{only.as_double})", DOUBLE, only)


def _string_agg(call: Call) -> Value:
    call.check_count(2, 2)
    call.check_texts()
    text, between = (argument.sql for argument in call.arguments)
    return Value(f"string_agg({text}, {between})", TEXT)


AGGREGATES: Final = frozenset({"count", "min", "max", "sum", "avg"})
"""They take DISTINCT."""

FUNCTIONS: Final[Mapping[str, Callable[[Call], Value]]] = {
    **dict.fromkeys(_OF_ONE, _of_one),
    **dict.fromkeys(["abs", "ceiling", "floor"], _sized),
    **dict.fromkeys(["round", "truncate"], _rounded),
    "atan2": _atan2,
    "power": _power,
    **dict.fromkeys(["lower", "upper"], _case),
    **dict.fromkeys(AGGREGATES, _aggregate),
    "mod": _mod,
    "pi": _pi,
    "rand": _rand,
    "coalesce": _coalesce,
    "in_unit": _in_unit,
    "ivo_hasword": _has_word,
    "ivo_nocasematch": _no_case_match,
    "ivo_hashlist_has": _hash_list_has,
    "ivo_string_agg": _string_agg,
    "skylike_similarity": _similarity,
}
"""By their names in lower case."""

SUMMARIES: Final = frozenset({*AGGREGATES, "ivo_string_agg"})
"""Functions of many rows."""
