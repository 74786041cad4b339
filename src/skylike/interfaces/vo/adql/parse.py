"""Tokens to sqlglot's tree, which is checked for depth before anything walks it."""

from typing import Final

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import ErrorLevel, ParseError
from sqlglot.parser import Parser

from skylike.interfaces.vo.adql.tokens import Source, read_tokens

MAX_TREE_DEPTH: Final = 90
"""Levels of the syntax tree, a chain of ANDs or ORs being one: later steps recurse over them."""


def parse(source: Source) -> tuple[exp.Expr, frozenset[int]]:
    """Parse a query; what the tree may hold is checked by whoever walks it.

    Returns
    -------
    Expr
        A SELECT, a set operation, or either in parentheses.
    frozenset of int
        As from :func:`skylike.interfaces.vo.adql.tokens.read_tokens`.

    Raises
    ------
    AdqlError
        It is not understood, or nested too deeply.
    """
    tokens, quoted = read_tokens(source)
    # The plain dialect: no function or operator means anything special.
    parser = Parser(error_level=ErrorLevel.IMMEDIATE, dialect=Dialect.get_or_raise(None))
    try:
        trees = parser.parse(tokens, source.text)
    except ParseError as error:
        found = error.errors[0]
        said = str(found.get("description") or "something is missing").rstrip(".")
        column = found.get("col")
        place = column - 1 if isinstance(column, int) and column > 0 else None
        raise source.error(f"the query is not understood: {_plain(said)}", place) from error
    except RecursionError as error:
        raise source.error("the query is nested too deeply", None) from error
    if len(trees) != 1 or not isinstance(trees[0], exp.Select | exp.SetOperation | exp.Subquery):
        raise source.error("only SELECT is offered: a query begins with SELECT", 0)
    _check_depth(trees[0], source)
    return trees[0], quoted


def place_of(node: exp.Expr) -> int | None:
    """Return where a node begins: its first name, function or number, or None."""
    starts = [part.meta["start"] for part in node.walk() if "start" in part.meta]
    return min(starts, default=None)


def _plain(said: str) -> str:
    """Leave out what the parser shows of its own classes."""
    return said.partition(" but got <")[0] if "<class" not in said else "something is missing"


def _check_depth(tree: exp.Expr, source: Source) -> None:
    left = [(tree, 1)]
    while left:
        node, depth = left.pop()
        if depth > MAX_TREE_DEPTH:
            raise source.error(
                "the query is nested too deeply; divide long sums by parentheses", place_of(node)
            )
        for child in node.iter_expressions():
            is_chain = isinstance(child, exp.And | exp.Or) and type(child) is type(node)
            left.append((child, depth if is_chain else depth + 1))
