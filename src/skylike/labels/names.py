"""Names of labels and authors: what may be one, and what there is."""

import re
from typing import Final

from skylike.errors import SettingsError

MAX_LENGTH: Final = 50
"""Longest name: with ``score_`` before it still an identifier of PostgreSQL (63 bytes)."""

_NAME: Final = re.compile(rf"[a-z][a-z0-9_]{{0,{MAX_LENGTH - 1}}}")


def check_name(name: str) -> str:
    """Return the name of a label as it was given.

    Raises
    ------
    SettingsError
        It is no plain identifier; the message proposes one.
    """
    if _NAME.fullmatch(name):
        return name
    near = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:MAX_LENGTH]
    proposed = f", such as {near}" if _NAME.fullmatch(near) else ", such as ring"
    raise SettingsError(
        f"the label name {name!r} is not a plain identifier; write a small letter, then small "
        f"letters, digits or _, at most {MAX_LENGTH} in all{proposed}"
    )


def check_author(author: str) -> str:
    """Return an author without spaces around it.

    Raises
    ------
    SettingsError
        It is empty, or not text that a database can hold.
    """
    plain = author.strip()
    if not plain:
        raise SettingsError("--author is empty; write who says so")
    return check_text(plain, "--author")


def check_text(text: str, option: str) -> str:
    """Return a text as it was given.

    Raises
    ------
    SettingsError
        It holds what PostgreSQL's text cannot: a zero byte, or bytes that are not UTF-8.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise SettingsError(f"{option} is not text in UTF-8; write it again") from error
    if "\0" in text:
        raise SettingsError(f"{option} holds a zero byte; write it without")
    return text
