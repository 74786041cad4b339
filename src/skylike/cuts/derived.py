"""Columns that users derive from others: ``g_r = mag_g - mag_r``."""

import re
from collections.abc import Mapping
from typing import Final

from sqlalchemy.dialects.postgresql.base import RESERVED_WORDS as POSTGRESQL_WORDS

from skylike.cuts.functions import ALIASES, FUNCTIONS
from skylike.cuts.kinds import ColumnKind
from skylike.cuts.parse import read_value
from skylike.cuts.source import NONE_DERIVED, SCORE_PREFIX, Source
from skylike.cuts.syntax import Derived, kind_of
from skylike.cuts.tokens import RESERVED_WORDS

__all__ = ["SCORE_PREFIX", "Derived", "parse_definition"]

MAX_NAME_LENGTH: Final = 63
"""Bytes of a name in PostgreSQL."""

_RESULT_COLUMNS: Final = frozenset(
    {"rank", "similarity", "separation", "distance", "query", "query_label"}
)
"""What results have beside columns of the catalog."""

_TAKEN: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        (word.lower() for word in RESERVED_WORDS | set(POSTGRESQL_WORDS)), "an SQL word"
    ),
    **dict.fromkeys([*FUNCTIONS, *ALIASES], "a function"),
    **dict.fromkeys(_RESULT_COLUMNS, "a column of results"),
}
_NAME: Final = re.compile(r"[a-z_][a-z0-9_]*")


def parse_definition(
    text: str, kinds: Mapping[str, ColumnKind], derived: Mapping[str, Derived] = NONE_DERIVED
) -> Derived:
    """Read the definition of a derived column: a name, ``=``, and an expression as in cuts.

    Parameters
    ----------
    text
        Such as ``g_r = mag_g - mag_r`` or ``is_red = g_r > 0.8``.
    kinds
        The columns that it may name.
    derived
        The derived columns defined before it. It may name them, but not define one of them anew
        otherwise than before: so none can ever depend on itself.

    Raises
    ------
    CutError
        It is no definition, its name is taken, or its expression is not understood or allowed;
        where there is one, the message names the character.

    Examples
    --------
    >>> from skylike.cuts import GALAXY_KINDS
    >>> g_r = parse_definition("g_r = mag_g - mag_r", GALAXY_KINDS)
    >>> g_r.name, g_r.kind.value, sorted(g_r.columns)
    ('g_r', 'number', ['mag_g', 'mag_r'])
    """
    before, equals, expression = text.partition("=")
    whole = Source(text, kinds, derived)
    if not equals:
        raise whole.error("a definition is a name, = and an expression: g_r = mag_g - mag_r", None)
    name, start = before.strip().lower(), len(before) + 1
    name_start = len(before) - len(before.lstrip())
    _check_name(name, whole, name_start)
    if expression.startswith("="):
        raise whole.error(f"write one = after {name}", start)
    if not expression.strip():
        raise whole.error(f"after {name} = an expression is missing", start - 1)
    others = {known: one for known, one in derived.items() if known != name}
    value = read_value(Source(" " * start + expression, kinds, others, typed=text))
    before_it = derived.get(name)
    if before_it is not None and before_it.value != value:
        reason = f"{name} is defined already, as {before_it.text}; take another name"
        raise whole.error(reason, name_start)
    kind = kind_of(value)
    if kind is ColumnKind.TIME:
        raise whole.error("a derived column is a number, a text or a condition, not a time", start)
    return Derived(name, expression.strip(), value, kind)


def _check_name(name: str, source: Source, position: int) -> None:
    if not _NAME.fullmatch(name) or len(name) > MAX_NAME_LENGTH:
        raise source.error(
            f"{name!r} cannot be the name of a column; take letters a to z, digits and _, with no"
            f" digit first, at most {MAX_NAME_LENGTH}",
            position,
        )
    taken = _TAKEN.get(name)
    if any(known.casefold() == name for known in source.kinds):
        taken = "a column of the catalog"
    if name.startswith(SCORE_PREFIX):
        taken = "kept for the scores of classifiers"
    if taken is not None:
        raise source.error(f"{name} is {taken}; take another name", position)
