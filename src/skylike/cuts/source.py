"""The text of a cut beside the columns that it may name, and errors that point into it."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from sqlglot import exp

from skylike.cuts.kinds import ColumnKind
from skylike.cuts.syntax import Column, Derived, Value
from skylike.errors import CutError

SCORE_PREFIX: Final = "score_"
"""Begins the columns that trained classifiers give."""

NONE_DERIVED: Final[Mapping[str, Derived]] = MappingProxyType({})


@dataclass(frozen=True)
class Source:
    """A cut or a definition being read."""

    text: str
    """What is read. Of a definition the part before the expression is blank, so that places in it
    are places in what was typed."""

    kinds: Mapping[str, ColumnKind]
    """The columns that it may name."""

    derived: Mapping[str, Derived]
    """The derived columns that it may name, unless a column has the same name."""

    typed: str = ""
    """What error messages repeat, where it is not :attr:`text`."""

    def error(self, reason: str, position: int | None) -> CutError:
        """Return an error that points at a character."""
        return CutError(reason, self.typed or self.text, position)

    def position(self, node: exp.Expr) -> int | None:
        """Return where a node of sqlglot's tree begins: its first name or literal, or None."""
        starts = [part.meta["start"] for part in node.walk() if "start" in part.meta]
        return min(starts, default=None)

    def find_column(self, name: str, position: int | None) -> str:
        """Find a column by the name that somebody typed: exactly, else in any case.

        Raises
        ------
        CutError
            There is none, or several differ only in case.
        """
        if name in self.kinds:
            return name
        names = [*self.kinds, *(known for known in self.derived if known not in self.kinds)]
        same = [known for known in names if known.casefold() == name.casefold()]
        if len(same) == 1:
            return same[0]
        if same:
            choices = " or ".join(f'"{known}"' for known in same)
            raise self.error(
                f"column {name} could be {choices}; write it in the same case", position
            )
        raise self.error(f"there is no column {name}; {self._hint(name)}", position)

    def value_of(self, name: str) -> Value:
        """Return what a name that :meth:`find_column` gave stands for."""
        if name in self.kinds:
            return Column(name, self.kinds[name])
        return self.derived[name].value

    def _hint(self, name: str) -> str:
        written = {known.casefold(): known for known in [*self.derived, *self.kinds]}
        near = difflib.get_close_matches(name.casefold(), written, n=2)
        if near:
            return f"did you mean {' or '.join(written[known] for known in near)}?"
        if name.casefold().startswith(SCORE_PREFIX):
            return "searches have a column of scores once `skylike label train` has made them"
        return "a text goes between single quotes"
