"""The words of a cut, vetted before the parser sees them.

sqlglot splits the text and later parses it. In between, every token is held against a list of what
a cut may contain; names are looked up and rewritten as quoted identifiers, so that none can be
mistaken for a keyword (``dec`` is an SQL type; ``class`` and ``type`` are keywords somewhere).
"""

import difflib
import math
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from sqlglot.dialects.postgres import Postgres
from sqlglot.errors import TokenError
from sqlglot.tokenizer_core import Token, TokenType

from skylike.cuts.functions import ALIASES, FUNCTIONS, LARGEST, SMALLEST
from skylike.cuts.source import Source
from skylike.errors import CutError

MAX_LENGTH: Final = 50_000
"""Characters: room for a list of some thousand identifiers, read in a quarter of a second."""

MAX_PARENTHESES: Final = 25
"""Within each other; sqlglot's recursion ends at about 50."""

MAX_SIGNS: Final = 10
"""NOT, + and - in a row."""

FUNCTION_MARK: Final = "()"
"""Ends the name of a function, so that sqlglot takes none for one that it knows."""

_GRAMMAR: Final = frozenset(
    {"AND", "OR", "NOT", "IN", "BETWEEN", "IS", "ISNULL", "NOTNULL"}
    | {"NULL", "LIKE", "ILIKE", "TRUE", "FALSE"}
)
_OPERATORS: Final = frozenset(
    {"(", ")", ",", "+", "-", "*", "/", "^", "&", "=", "<>", "!=", "<", "<=", ">", ">="}
)
_INSTEAD: Final = {
    "==": "write = for equality",
    "&&": "write AND",
    "||": "to join conditions write OR",
    "|": "to join conditions write OR",
    "!": "write NOT",
    "%": "there is no remainder",
    "::": "types cannot be changed",
    ";": "a cut is one condition",
    ".": "write the column without its table",
}
_STATEMENT_WORDS: Final = frozenset(
    {"ALL", "ALTER", "ANY", "ARRAY", "AS", "CASE", "CAST", "COLLATE"}
    | {"COPY", "CREATE", "DELETE", "DISTINCT", "DO", "DROP", "ELSE", "END"}
    | {"ESCAPE", "EXISTS", "EXTRACT", "FILTER", "FROM", "GROUP", "HAVING", "INSERT"}
    | {"INTERVAL", "INTO", "JOIN", "LIMIT", "OFFSET", "ON", "ORDER", "OVER"}
    | {"RETURNING", "ROW", "SELECT", "SET", "SIMILAR", "SOME", "SYMMETRIC", "TABLE"}
    | {"THEN", "TRUNCATE", "UNION", "UPDATE", "USING", "VALUES", "WHEN", "WHERE"}
    | {"WITH"}
)
RESERVED_WORDS: Final = _GRAMMAR | _STATEMENT_WORDS
"""Words that mean something in a cut, or would in a statement."""

_WORD: Final = re.compile(r"[^\W\d]\w*")
_QUOTES_AND_COMMENTS: Final = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|--|/\*|['"]""")


def read_tokens(source: Source) -> list[Token]:
    """Split a cut and let only allowed tokens through.

    Returns
    -------
    list of Token
        Columns are quoted identifiers with the name that they have in the kinds; functions are
        quoted identifiers that end in :data:`FUNCTION_MARK`.

    Raises
    ------
    CutError
        Something in it is not allowed, or names no column or function.
    """
    _check_text(source)
    try:
        tokens = Postgres().tokenize(source.text)
    except TokenError as error:
        raise source.error("the cut is not understood; is a quote left open?", None) from error
    _check_nesting(tokens, source)
    joined = list(_iter_with_fractions(tokens, source))
    return [
        _vetted(token, source, is_called=after is not None and source.text[after.start] == "(")
        for token, after in pairwise([*joined, None])
        if token is not None
    ]


def _check_text(source: Source) -> None:
    text = source.text
    if not text.strip():
        raise source.error("the cut is empty; write a condition such as mag_r < 18", None)
    if len(text) > MAX_LENGTH:
        raise source.error(
            f"the cut has {len(text):,} characters; at most {MAX_LENGTH:,} are read", None
        )
    for place, character in enumerate(text):
        if not (character.isprintable() or character.isspace()):
            raise source.error(f"the character {character!r} is not allowed in a cut", place)
    for match in _QUOTES_AND_COMMENTS.finditer(text):
        if match[0] in {"'", '"'}:
            raise source.error(f"the quote {match[0]} is never closed", match.start())
        if match[0] in {"--", "/*"}:
            raise source.error(f"{match[0]} begins a comment, and a cut has none", match.start())


def _check_nesting(tokens: list[Token], source: Source) -> None:
    depth = signs = 0
    for token in tokens:
        written = source.text[token.start : token.end + 1].upper()
        depth += (written == "(") - (written == ")")
        signs = signs + 1 if written in {"NOT", "+", "-"} else 0
        if depth > MAX_PARENTHESES or signs > MAX_SIGNS:
            raise source.error("the cut is nested too deeply", token.start)


def _iter_with_fractions(tokens: list[Token], source: Source) -> Iterator[Token]:
    # sqlglot splits .5 into a dot and a 5; mag_r.5 stays apart and is refused.
    skip = False
    for token, after in pairwise([*tokens, None]):
        if skip or token is None:
            skip = False
            continue
        is_fraction = (
            token.token_type == TokenType.DOT
            and after is not None
            and after.token_type == TokenType.NUMBER
            and after.start == token.end + 1
            and not re.match(r"[\w.\"]", source.text[token.start - 1 : token.start])
        )
        if is_fraction and after is not None:
            skip = True
            yield Token(
                TokenType.NUMBER, f"0.{after.text}", token.line, after.col, token.start, after.end
            )
        else:
            yield token


def _vetted(token: Token, source: Source, *, is_called: bool) -> Token:
    written = source.text[token.start : token.end + 1]
    if token.token_type == TokenType.STRING and written.startswith("'"):
        return token
    if token.token_type == TokenType.NUMBER:
        _check_number(token, source)
        return token
    if written in _OPERATORS or written.upper() in _GRAMMAR:
        return token
    is_quoted = token.token_type == TokenType.IDENTIFIER and written.startswith('"')
    if not is_quoted and not _WORD.fullmatch(written):
        hint = _INSTEAD.get(written, "it has columns, numbers, texts and operators")
        raise source.error(f"{written} is not allowed in a cut: {hint}", token.start)
    if is_called:
        name = _function_name(token, source)
    elif not is_quoted and _is_statement_word(written, source):
        raise _statement_error(written, source, token.start)
    else:
        name = source.find_column(token.text, token.start)
    return Token(TokenType.IDENTIFIER, name, token.line, token.col, token.start, token.end)


def _check_number(token: Token, source: Source) -> None:
    try:
        value = float(token.text)
    except ValueError as error:
        raise source.error(f"{token.text} is not a number", token.start) from error
    is_zero = re.fullmatch(r"[0.]+([eE].*)?", token.text) is not None
    if not (is_zero or SMALLEST <= value <= LARGEST) or not math.isfinite(value):
        raise source.error(
            f"{token.text} is out of range; numbers reach from {SMALLEST:g} to {LARGEST:g}",
            token.start,
        )


def _function_name(token: Token, source: Source) -> str:
    name = ALIASES.get(token.text.lower(), token.text.lower())
    if name in FUNCTIONS:
        return name + FUNCTION_MARK
    if token.text.upper() in _STATEMENT_WORDS:
        raise _statement_error(token.text, source, token.start)
    near = difflib.get_close_matches(name, [*FUNCTIONS, *ALIASES], n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(FUNCTIONS)}"
    raise source.error(f"there is no function {token.text}; {hint}", token.start)


def _is_statement_word(word: str, source: Source) -> bool:
    # A file may well have a column named row or set.
    known = {name.casefold() for name in source.kinds}
    return word.upper() in _STATEMENT_WORDS and word.casefold() not in known


def _statement_error(word: str, source: Source, position: int) -> CutError:
    if word.upper() == "WHERE":
        return source.error("leave out the word WHERE", position)
    return source.error(
        f"{word.upper()} is not allowed in a cut: a cut is one condition on columns, no statement",
        position,
    )
