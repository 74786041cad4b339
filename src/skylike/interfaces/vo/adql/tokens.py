"""The words of a query, split and vetted before the parser sees them.

The lexical rules are ADQL's own. sqlglot's parser gets tokens only that a query may have: words of
the grammar, and names as quoted identifiers, so that none can be mistaken for a keyword of some
dialect. Functions are marked, so that none is taken for one that sqlglot knows.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple

from sqlglot.tokenizer_core import Token, TokenType

from skylike.errors import AdqlError
from skylike.interfaces.vo.adql.words import GRAMMAR, INSTEAD, OPERATORS, PAIRS, RESERVED

MAX_LENGTH: Final = 500_000
"""Characters: room for a list of 50,000 identifiers."""

MAX_TOKENS: Final = 110_000
"""About two seconds of parsing."""

MAX_PARENTHESES: Final = 25
"""Within each other; sqlglot's recursion ends at about 50."""

MAX_SIGNS: Final = 10
"""NOT, +, - and ~ in a row."""

MAX_SELECTS: Final = 50
"""In one query, subqueries and sides of a UNION together."""

MAX_DIGITS: Final = 400
"""Of a number."""

MAX_DIGITS_HEX: Final = 15
"""Of a hexadecimal number: 60 bits."""

FUNCTION_MARK: Final = "()"
"""Behind the name of a function, before its place."""

_PATTERN: Final = re.compile(
    r"""
    (?P<space>\s+|--[^\n]*)
    |(?P<number>0[xX][0-9A-Fa-f]+|(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
    |(?P<text>'(?:[^']|'')*')
    |(?P<quoted>"(?:[^"]|"")+")
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<operator><>|!=|<=|>=|\|\||[(),.+\-*/<>=&|^~])
    """,
    re.VERBOSE,
)


_MAY_FOLLOW_COMMA: Final = frozenset({"NOT", "TRUE", "FALSE", "EXISTS", "NULL"})


class Word(NamedTuple):
    """A piece of the query with its kind, one of the groups of the pattern."""

    kind: str
    text: str
    start: int


@dataclass(frozen=True)
class Source:
    """The query as it was typed."""

    text: str

    def error(self, reason: str, position: int | None) -> AdqlError:
        """Return an error that points at a character."""
        return AdqlError(reason, self.text, position)


def read_tokens(source: Source) -> tuple[list[Token], frozenset[int]]:
    """Split a query and let only allowed tokens through.

    Returns
    -------
    list of Token
        Names are quoted identifiers, functions quoted identifiers such as ``contains()@17``.
    frozenset of int
        Where the names begin that were quoted by whoever typed them.

    Raises
    ------
    AdqlError
        Something in it is not allowed, or it is too long or nested too deeply.
    """
    _check_text(source)
    words = list(_iter_words(source))
    if len(words) > MAX_TOKENS:
        raise source.error(f"the query has {len(words):,} words; at most {MAX_TOKENS:,}", None)
    if not words:
        raise source.error("the query is empty; it begins with SELECT", None)
    first = next((word for word in words if word.text != "("), words[0])
    if first.kind != "name" or first.text.upper() not in {"SELECT", "WITH"}:
        raise source.error("only SELECT is offered: a query begins with SELECT", first.start)
    _check_size(words, source)
    _check_commas(words, source)
    quoted = frozenset(word.start for word in words if word.kind == "quoted")
    return list(_iter_tokens(words, source)), quoted


def _check_text(source: Source) -> None:
    if len(source.text) > MAX_LENGTH:
        raise AdqlError(
            f"the query has {len(source.text):,} characters; at most {MAX_LENGTH:,} are read", ""
        )
    for place, character in enumerate(source.text):
        if not (character.isprintable() or character in " \t\r\n"):
            raise source.error(f"the character {character!r} is not allowed", place)


def _iter_words(source: Source) -> Iterator[Word]:
    text = source.text.rstrip()
    text = text.removesuffix(";")
    place = 0
    before = ""
    while place < len(text):
        match = _PATTERN.match(text, place)
        if match is None:
            raise source.error(_refusal(text, place), place)
        kind = str(match.lastgroup)
        touches = kind != "space" and before in {"number", "name"} and kind in {"name", "number"}
        if touches or (kind == "text" and before in {"name", "number", "text"}):
            raise source.error(
                f"{match[0][:20]} stands too close to what is before it; texts have no prefix, and"
                " names and numbers are apart",
                place,
            )
        if kind != "space":
            yield Word(kind, match[0], place)
        before = kind
        place = match.end()


def _refusal(text: str, place: int) -> str:
    if text[place] in "'\"":
        return f"the quote {text[place]} is never closed, or nothing is between two"
    if text[place] == ";":
        return "; may only end the query: one query is answered at a time"
    if text.startswith("/*", place):
        return "/* is no comment in ADQL; write -- to the end of the line"
    return f"the character {text[place]} is not allowed here"


def _check_size(words: list[Word], source: Source) -> None:
    depth = signs = selects = 0
    for word in words:
        upper = word.text.upper() if word.kind in {"name", "operator"} else ""
        depth += (upper == "(") - (upper == ")")
        signs = signs + 1 if upper in {"NOT", "+", "-", "~"} else 0
        selects += upper == "SELECT"
        if depth > MAX_PARENTHESES or signs > MAX_SIGNS:
            raise source.error("the query is nested too deeply", word.start)
        if selects > MAX_SELECTS:
            raise source.error(f"the query has more than {MAX_SELECTS} SELECTs", word.start)


def _check_commas(words: list[Word], source: Source) -> None:
    """Refuse a comma with nothing behind it, which the parser would leave out."""
    for word, after in pairwise([*words, Word("end", ")", len(source.text))]):
        ends = after.text.upper() in GRAMMAR and after.text.upper() not in _MAY_FOLLOW_COMMA
        if word.kind == "operator" and word.text == ",":
            if after.kind in {"operator", "end"} and after.text in {",", ")"}:
                raise source.error("after the comma something is missing", word.start)
            if after.kind == "name" and (ends or after.text.upper() in {"GROUP", "ORDER"}):
                raise source.error("after the comma something is missing", word.start)


def _iter_tokens(words: list[Word], source: Source) -> Iterator[Token]:
    skip = False
    for word, after in pairwise([*words, Word("end", "", len(source.text))]):
        if skip:
            skip = False
            continue
        pair = (word.text.upper(), after.text.upper())
        if word.kind == after.kind == "name" and pair in PAIRS:
            skip = True
            yield _token(PAIRS[pair], " ".join(pair), word)
            continue
        yield _vetted(word, source, is_called=after.text == "(")


def _vetted(word: Word, source: Source, *, is_called: bool) -> Token:
    kind, text = TokenType.IDENTIFIER, word.text
    match word.kind:
        case "number":
            kind, text = TokenType.NUMBER, _decimal(word, source)
        case "text":
            kind, text = TokenType.STRING, text[1:-1].replace("''", "'")
        case "operator":
            kind = OPERATORS[text]
        case "quoted" if is_called:
            raise source.error("the name of a function is not quoted", word.start)
        case "quoted":
            text = text[1:-1].replace('""', '"')
        case _:
            kind, text = _name(word, source, is_called=is_called)
    return _token(kind, text, word)


def _name(word: Word, source: Source, *, is_called: bool) -> tuple[TokenType, str]:
    upper = word.text.upper()
    if upper in GRAMMAR:
        return GRAMMAR[upper], upper
    if upper in INSTEAD:
        raise source.error(f"{upper} is no word of ADQL: {INSTEAD[upper]}", word.start)
    if is_called and upper == "CAST":
        return TokenType.VAR, upper
    if is_called:
        # After WITH it is a name all the same; whoever reads that takes the mark away.
        return TokenType.IDENTIFIER, f"{word.text.lower()}{FUNCTION_MARK}@{word.start}"
    if upper in RESERVED:
        raise source.error(
            f'{word.text} is a reserved word of ADQL; as a name write it "{word.text}"', word.start
        )
    return TokenType.IDENTIFIER, word.text


def _decimal(word: Word, source: Source) -> str:
    """Write a number as sqlglot keeps it: decimal, digits before the dot."""
    is_hex = word.text[:2].lower() == "0x"
    is_long = len(word.text) > (MAX_DIGITS_HEX + 2 if is_hex else MAX_DIGITS)
    if is_long or (not is_hex and float(word.text) == float("inf")):
        raise source.error(f"{word.text[:30]} is out of range", word.start)
    if is_hex:
        return str(int(word.text, 16))
    return f"0{word.text}" if word.text.startswith(".") else word.text


def _token(kind: TokenType, text: str, word: Word) -> Token:
    # On one line as far as the parser knows, so that the column of its errors is the place.
    return Token(kind, text, 1, word.start + 1, word.start, word.start + len(word.text) - 1)
