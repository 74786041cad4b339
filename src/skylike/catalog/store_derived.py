"""Derived columns that are kept for everybody, in the order in which they build on one another."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from skylike.cuts import GALAXY_KINDS, Derived, check_derived, parse_definition
from skylike.database.comments import ColumnMeaning
from skylike.database.tables import derived_column, galaxy, survey
from skylike.errors import ConflictError, CutError, NotFoundError, SettingsError


@dataclass(frozen=True)
class DerivedColumn:
    """A derived column as it is kept."""

    name: str
    expression: str
    description: str
    unit: str | None
    """As :mod:`astropy.units` reads it."""
    created_at: datetime

    @property
    def meaning(self) -> ColumnMeaning:
        """What it holds, for the columns of results."""
        return ColumnMeaning(self.description or self.expression, self.unit, "")


def fetch_definitions(connection: Connection) -> list[DerivedColumn]:
    """Return the derived columns, each after those that it uses."""
    table = derived_column
    rows = connection.execute(sa.select(table).order_by(table.c.created_at, table.c.name))
    return [DerivedColumn(**row) for row in rows.mappings()]


def fetch_derived(connection: Connection) -> dict[str, Derived]:
    """Return what the names of the derived columns stand for.

    Raises
    ------
    CutError
        A definition is no longer understood; the message says how to drop it.
    """
    return understood(fetch_definitions(connection))


def understood(columns: Iterable[DerivedColumn]) -> dict[str, Derived]:
    """Return what the names of kept columns stand for, each given after those that it uses.

    Raises
    ------
    CutError
        As :func:`fetch_derived`.
    """
    return dict(_understood(tuple((column.name, column.expression) for column in columns)))


@lru_cache(maxsize=16)
def _understood(definitions: tuple[tuple[str, str], ...]) -> dict[str, Derived]:
    # Every search asks for them; they seldom change.
    derived: dict[str, Derived] = {}
    for name, expression in definitions:
        try:
            derived[name] = parse_definition(f"{name} = {expression}", GALAXY_KINDS, derived)
        except CutError as error:
            reason = (
                f"the derived column {name} is not understood any more: {error.reason}; drop it"
                f" with `skylike catalog define --drop {name}`"
            )
            raise CutError(reason, error.cut, error.position) from error
    return derived


def define_column(
    engine: Engine, text: str, *, description: str | None = None, unit: str | None = None
) -> Derived:
    """Keep a derived column, so that every cut may name it.

    Defining the same again changes its description and unit only, and these only where given.

    Parameters
    ----------
    text
        A definition over columns of the catalog and derived columns defined before, as
        :func:`skylike.cuts.parse_definition` takes it.
    description
        In a phrase. None leaves it as it is, at first empty.
    unit
        As :mod:`astropy.units` reads it; empty for a pure number, a text or a condition. None
        leaves it as it is, at first without.

    Raises
    ------
    CutError
        The definition is not understood or nests too many functions, or its name is taken.
    SettingsError
        The unit is not understood, or the definition does not fit on one line.
    ConflictError
        The name stands for something else already.
    """
    about: dict[str, str | None] = {}
    if unit is not None:
        about["unit"] = _checked_unit(unit)
    text = text.strip()
    if description is not None:
        about["description"] = description.strip()
    if not f"{text}{about.get('description', '')}".isprintable():
        raise SettingsError("a definition and its description are one line each, without tabs")
    with engine.begin() as connection:
        _lock(connection)
        known = fetch_derived(connection)
        before = known.pop(text.partition("=")[0].strip().lower(), None)
        made = parse_definition(text, GALAXY_KINDS, known)
        if before is not None and before.value != made.value:
            raise ConflictError(
                f"{made.name} is defined already, as {before.text}; drop that first with"
                f" `skylike catalog define --drop {made.name}`"
            )
        # Every result has the column: what no statement can be made of would fail them all.
        check_derived(made, {**galaxy.c, "survey": survey.c.name})
        if before is None:
            values = {"description": "", **about, "name": made.name, "expression": made.text}
            connection.execute(sa.insert(derived_column).values(values))
        elif about:
            here = derived_column.c.name == made.name
            connection.execute(sa.update(derived_column).where(here).values(about))
    return made


def drop_column(engine: Engine, name: str) -> None:
    """Forget a derived column that no other uses.

    Raises
    ------
    NotFoundError
        There is none of this name.
    ConflictError
        Others use it; the message says which.
    """
    name = name.strip().lower()
    with engine.begin() as connection:
        _lock(connection)
        columns = fetch_definitions(connection)
        names = [column.name for column in columns]
        if name not in names:
            there_are = f"there are {', '.join(names)}" if names else "none is defined"
            raise NotFoundError(f"there is no derived column {name!r}; {there_are}")
        users = _users(name, columns)
        if users:
            raise ConflictError(
                f"{name} is used by {', '.join(users)}; drop first what uses it, the last named"
                " one before the others"
            )
        connection.execute(sa.delete(derived_column).where(derived_column.c.name == name))


def _users(name: str, columns: Iterable[DerivedColumn]) -> list[str]:
    """Return the columns that are not understood without one, directly or through others."""
    without: dict[str, Derived] = {}
    users = []
    for column in columns:
        if column.name == name:
            continue
        text = f"{column.name} = {column.expression}"
        try:
            without[column.name] = parse_definition(text, GALAXY_KINDS, without)
        except CutError:
            users.append(column.name)
    return users


def _lock(connection: Connection) -> None:
    # Nobody may build on a definition while another drops it.
    connection.execute(sa.text("LOCK TABLE skylike.derived_column IN SHARE ROW EXCLUSIVE MODE"))


def _checked_unit(unit: str) -> str | None:
    from astropy.units import Unit  # noqa: PLC0415 - half a second that reading does not need

    if not unit.strip():
        return None
    try:
        Unit(unit)
    except ValueError as error:
        raise SettingsError(
            f"the unit {unit!r} is not understood; write it as astropy does, such as mag, deg or"
            " km / s, or leave it out"
        ) from error
    return unit.strip()
