"""Rows of a table that name galaxies: which of its columns tell the galaxy, and what they say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from skylike.catalog.object_ids import legacy_object_ids, whole_numbers
from skylike.catalog.positions import read_positions
from skylike.errors import SettingsError, SurveyFileError
from skylike.survey.batches import Batch, ColumnArray, SurveyTable
from skylike.survey.column_names import guess_columns
from skylike.survey.legacy import release_survey
from skylike.survey.tables import open_tables

Way = Literal["object_id", "galaxy_id", "position"]

_LEGACY_KEY: Final = ("release", "brickid", "objid")
_YES: Final = frozenset({"true", "t", "yes", "y", "1"})
_NO: Final = frozenset({"false", "f", "no", "n", "0"})

NOT_ON_THE_SKY: Final = "whose position is missing or off the sky"
NO_IDENTIFIER: Final = "whose identifier is missing or no exact whole number"
UNREADABLE: Final = "whose is_member is neither true nor false"
OTHER_LABEL: Final = "of other labels"


@dataclass(frozen=True, eq=False)
class GalaxyRows:
    """The rows of a table, (n,) each; what ``way`` does not need is empty.

    Attributes
    ----------
    way
        How rows name their galaxy.
    ids
        ``object_id`` or ``galaxy_id``, int64, -1 where there is none.
    surveys
        Survey of each ``object_id``.
    ra, dec
        ICRS degrees, NaN where there is no position.
    is_member
        What the table says; None where it has no such column.
    left_out
        Reason of each row that is not to be used, empty for the others.
    """

    path: Path
    way: Way
    ids: npt.NDArray[np.int64]
    surveys: npt.NDArray[np.str_]
    ra: npt.NDArray[np.float64]
    dec: npt.NDArray[np.float64]
    is_member: npt.NDArray[np.bool_] | None
    left_out: npt.NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.left_out)


@dataclass(frozen=True)
class _Plan:
    """Which columns of a table are read, by what they are to us."""

    table: SurveyTable
    way: Way
    columns: Mapping[str, str]
    survey: str | None


def read_rows(
    path: Path, *, name: str, survey: str | None = None, columns: Mapping[str, str] | None = None
) -> GalaxyRows:
    """Read which galaxies a table names.

    Galaxies are told, in this order, by ``object_id`` and ``survey`` (as ``skylike search`` and
    ``skylike label export`` write them), by ``galaxy_id``, by ``release``, ``brickid`` and
    ``objid`` of the Legacy Surveys, by ``object_id`` of the survey given, or by ``ra`` and ``dec``.

    Parameters
    ----------
    name
        Label. Where the table has columns ``label`` and ``is_member``, as an export has, rows of
        other labels are left out.
    survey
        Survey of every ``object_id``, for tables that do not say.
    columns
        Ours: theirs, as :func:`skylike.survey.column_names.parse_column_map` returns it.

    Raises
    ------
    SurveyFileError
        The file cannot be read, or does not tell galaxies.
    SettingsError
        It leaves open which column is which.
    """
    plan = _choose(open_tables(path), survey=survey, given=columns or {})
    batches = [_read_batch(batch, plan, name) for batch in plan.table.read(_wanted(plan))]
    if not batches or not sum(map(len, batches)):
        raise SurveyFileError(f"{path}: the table has no rows; give one that names galaxies")
    said = [batch.is_member for batch in batches if batch.is_member is not None]
    return GalaxyRows(
        path,
        plan.way,
        np.concatenate([batch.ids for batch in batches]),
        np.concatenate([batch.surveys for batch in batches]),
        np.concatenate([batch.ra for batch in batches]),
        np.concatenate([batch.dec for batch in batches]),
        np.concatenate(said) if said else None,
        np.concatenate([batch.left_out for batch in batches]),
    )


def _choose(
    tables: Sequence[SurveyTable], *, survey: str | None, given: Mapping[str, str]
) -> _Plan:
    for table in tables:
        plan = _plan(table, survey=survey, given=given)
        if plan is not None:
            return plan
    table = tables[0]
    names = ", ".join(column.name for column in table.columns[:12])
    raise SurveyFileError(
        f"{table.path}: no columns that tell galaxies among {names}; it needs galaxy_id, or "
        "object_id and survey (or --survey), or ra and dec (name them with --columns ra=NAME)"
    )


def _plan(table: SurveyTable, *, survey: str | None, given: Mapping[str, str]) -> _Plan | None:
    guess = guess_columns(table.columns, given)
    found = dict(guess.columns)
    lower = {column.name.lower(): column.name for column in reversed(table.columns)}
    own = {ours: lower[ours] for ours in ("is_member", "label", "survey") if ours in lower}
    if survey is not None:
        own.pop("survey", None)

    def made(way: Way, *needed: str) -> _Plan:
        columns = {ours: found[ours] for ours in needed} | own
        return _Plan(table, way, columns, survey)

    says_survey = survey is not None or "survey" in own
    if "object_id" in found and says_survey:
        return made("object_id", "object_id")
    if "galaxy_id" in lower and "galaxy_id" not in found.values():
        found["galaxy_id"] = lower["galaxy_id"]
        return made("galaxy_id", "galaxy_id")
    if found.keys() >= set(_LEGACY_KEY):
        return made("object_id", *_LEGACY_KEY)
    if {"ra", "dec"} <= found.keys():
        return made("position", "ra", "dec")
    for ours in ("ra", "dec"):
        theirs = guess.ambiguous.get(ours)
        if theirs:
            raise SettingsError(
                f"{table.path}: {ours} may be {' or '.join(theirs)}; say which, such as "
                f"--columns {ours}={theirs[0]}"
            )
    return None


def _wanted(plan: _Plan) -> list[str]:
    return list(plan.columns.values())


def _read_batch(batch: Batch, plan: _Plan, name: str) -> GalaxyRows:
    columns = {ours: batch.columns[theirs] for ours, theirs in plan.columns.items()}
    n = batch.n_rows
    left_out = np.full(n, "", dtype=object)
    ids, surveys = np.full(n, -1, dtype=np.int64), np.full(n, plan.survey or "")
    ra, dec = np.full(n, np.nan), np.full(n, np.nan)
    if plan.way == "position":
        units = {ours: plan.table.column(plan.columns[ours]).unit for ours in ("ra", "dec")}
        found = read_positions(
            columns["ra"], columns["dec"], ra_unit=units["ra"], dec_unit=units["dec"]
        )
        bad = found.is_missing | found.is_off_sky
        ra, dec = np.where(bad, np.nan, found.ra), np.where(bad, np.nan, found.dec)
        left_out[bad] = NOT_ON_THE_SKY
    else:
        ids, surveys, valid = _identifiers(columns, plan, surveys)
        left_out[~valid] = NO_IDENTIFIER
    is_member = None
    if "is_member" in columns:
        is_member, known = _truths(columns["is_member"])
        left_out[~known] = UNREADABLE
    if "label" in columns and "is_member" in columns:
        labels = _texts(columns["label"])
        left_out[labels != name] = OTHER_LABEL
    return GalaxyRows(plan.table.path, plan.way, ids, surveys, ra, dec, is_member, left_out)


def _identifiers(
    columns: Mapping[str, ColumnArray], plan: _Plan, surveys: npt.NDArray[np.str_]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.str_], npt.NDArray[np.bool_]]:
    if "release" in columns:
        parts = [whole_numbers(columns[part]) for part in _LEGACY_KEY]
        ids, valid = legacy_object_ids(*(values for values, _ in parts))
        valid &= np.logical_and.reduce([whole for _, whole in parts])
        if plan.survey is None:
            surveys = np.array([release_survey(release) or "" for release in parts[0][0].tolist()])
    else:
        ids, valid = whole_numbers(columns[plan.way])
        if "survey" in columns:
            surveys = _texts(columns["survey"])
    return np.where(valid, ids, -1), surveys, valid


def _truths(column: ColumnArray) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return what a column says, (n,), and where it says anything, (n,)."""
    words = [word.lower().removesuffix(".0") for word in _texts(column).tolist()]
    yes = np.array([word in _YES for word in words], dtype=bool)
    no = np.array([word in _NO for word in words], dtype=bool)
    return yes, yes | no


def _texts(column: ColumnArray) -> npt.NDArray[np.str_]:
    texts = np.char.strip(column.data.astype(np.str_))
    return np.where(np.ma.getmaskarray(column), "", texts)
