"""Text to syntax tree: sqlglot parses, and only what is on the list here goes on."""

from collections.abc import Mapping
from typing import Final

from sqlglot import exp
from sqlglot.dialects.postgres import Postgres
from sqlglot.errors import ParseError
from sqlglot.tokenizer_core import Token

from skylike.cuts.build import build
from skylike.cuts.kinds import ColumnKind
from skylike.cuts.source import NONE_DERIVED, Source
from skylike.cuts.syntax import (
    Cut,
    Derived,
    Value,
    columns_of,
    iter_values,
    kind_of,
    parts_of,
)
from skylike.cuts.tokens import read_tokens
from skylike.errors import CutError

MAX_TREE_DEPTH: Final = 60
"""Levels of the syntax tree, a chain of ANDs or ORs being one: later steps recurse over them."""

MAX_DERIVED_SIZE: Final = 5_000
"""Parts of all derived columns in a cut together, each as often as it is named: one that uses
another twice is twice as long."""

_BINARY: Final = frozenset({"this", "expression"})
_ALLOWED: Final[Mapping[type[exp.Expr], frozenset[str]]] = {
    exp.Add: _BINARY,
    exp.And: _BINARY,
    exp.Anonymous: frozenset({"this", "expressions"}),
    exp.Between: frozenset({"this", "low", "high"}),
    exp.BitwiseAnd: _BINARY,
    exp.Boolean: frozenset({"this"}),
    exp.Column: frozenset({"this"}),
    exp.Div: _BINARY | {"typed", "safe"},
    exp.EQ: _BINARY,
    exp.GT: _BINARY,
    exp.GTE: _BINARY,
    exp.ILike: _BINARY | {"negate"},
    exp.Identifier: frozenset({"this", "quoted"}),
    exp.In: frozenset({"this", "expressions"}),
    exp.Is: _BINARY | {"negate"},
    exp.LT: _BINARY,
    exp.LTE: _BINARY,
    exp.Like: _BINARY | {"negate"},
    exp.Literal: frozenset({"this", "is_string"}),
    exp.Mul: _BINARY,
    exp.NEQ: _BINARY,
    exp.Neg: frozenset({"this"}),
    exp.Not: frozenset({"this"}),
    exp.Null: frozenset(),
    exp.Or: _BINARY,
    exp.Paren: frozenset({"this"}),
    exp.Pow: _BINARY,
    exp.Sub: _BINARY,
}
"""The nodes of sqlglot's tree that a cut may have, each with the arguments that may be set."""


def parse_cut(
    text: str, kinds: Mapping[str, ColumnKind], derived: Mapping[str, Derived] = NONE_DERIVED
) -> Cut:
    """Read a cut: one SQL condition over columns, such as ``mag_r < 18 AND mag_g - mag_r < 0.6``.

    Parameters
    ----------
    text
        What ``docs/cuts.md`` describes; anything else is refused.
    kinds
        The columns that may be named, and what they hold. Case does not matter, unless two differ
        in nothing else.
    derived
        Derived columns that may be named too, by their names.

    Raises
    ------
    CutError
        It is not understood, not allowed, or compares a number with a text; where there is one, the
        message names the character.
    """
    source = Source(text, kinds, derived)
    condition = read_value(source)
    kind = kind_of(condition)
    if kind is not ColumnKind.BOOLEAN:
        raise source.error(f"the cut is a {kind}, not a condition; compare it with something", 0)
    return Cut(text, condition, columns_of(condition))


def read_value(source: Source) -> Value:
    """Read an expression of any kind.

    Raises
    ------
    CutError
        As :func:`parse_cut`.
    """
    tree = _parse(read_tokens(source), source)
    _check_nodes(tree, source)
    _check_derived_size(tree, source)
    value = build(tree, source)
    if _depth(value) > MAX_TREE_DEPTH:
        raise source.error("its derived columns nest it too deeply; write them out", None)
    return value


def _check_derived_size(tree: exp.Expr, source: Source) -> None:
    sizes: dict[str, int] = {}
    total = 0
    for node in tree.find_all(exp.Column):
        name = node.name
        if name in source.kinds:
            continue
        if name not in sizes:
            sizes[name] = sum(1 for _ in iter_values(source.derived[name].value))
        total += sizes[name]
        if total > MAX_DERIVED_SIZE:
            raise source.error(
                "the derived columns in it are too long together; write out what is needed",
                source.position(node),
            )


def _depth(value: Value) -> int:
    deepest, pending = 0, [(value, 1)]
    while pending:
        current, depth = pending.pop()
        deepest = max(deepest, depth)
        pending += [(part, depth + 1) for part in parts_of(current)]
    return deepest


def _parse(tokens: list[Token], source: Source) -> exp.Expr:
    # With the whole text as context, an error says exactly how many characters lie before it.
    parser = Postgres().parser(error_message_context=len(source.text))
    try:
        trees = parser.parse(tokens, source.text)
    except ParseError as error:
        raise _parse_error(error, source) from error
    except RecursionError as error:
        raise source.error("the cut is nested too deeply", None) from error
    if len(trees) != 1 or not isinstance(trees[0], exp.Expr):
        raise source.error("a cut is one condition", 0)
    return trees[0]


def _parse_error(error: ParseError, source: Source) -> CutError:
    first = error.errors[0]
    near, position = str(first["highlight"]), len(str(first["start_context"]))
    description = str(first["description"])
    if "Expecting )" in description:
        return source.error(f"a closing parenthesis is missing after {near}", position)
    if "Required keyword" in description:
        return source.error(f"something is missing after {near}", position)
    return source.error(
        f"{near} is not expected here; is an AND or OR missing before it?", position
    )


def _check_nodes(tree: exp.Expr, source: Source) -> None:
    pending = [(tree, 1)]
    while pending:
        node, depth = pending.pop()
        if depth > MAX_TREE_DEPTH:
            raise source.error("the cut is nested too deeply", source.position(node))
        if isinstance(node, exp.Alias):
            node = node.args["alias"]  # what follows a complete condition
        if isinstance(node, exp.Identifier) and (not node.quoted or node.arg_key == "alias"):
            # Names of columns and functions came in quoted; these are words out of place.
            raise source.error(
                f"{node.name} is not expected here; is an AND or OR missing before it?",
                source.position(node),
            )
        if isinstance(node, exp.In) and not node.expressions:
            raise source.error(
                "after IN comes a list of constants, such as IN ('SER', 'DEV')",
                source.position(node),
            )
        present = {name for name, value in node.args.items() if value not in (None, False, [])}
        if type(node) not in _ALLOWED or not present <= _ALLOWED[type(node)]:
            raise source.error(
                f"{type(node).__name__.upper()} is not allowed in a cut", source.position(node)
            )
        for child in node.iter_expressions():
            is_chain = isinstance(node, exp.And | exp.Or) and type(child) is type(node)
            pending.append((child, depth + (not is_chain)))
