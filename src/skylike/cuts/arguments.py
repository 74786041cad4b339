"""Arguments of the functions of a cut."""

from dataclasses import dataclass

from skylike.cuts.syntax import Column, Text, Value, kind_of


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
