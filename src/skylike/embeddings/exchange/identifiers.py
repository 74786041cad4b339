"""Which galaxy each row of a file of embeddings is of."""

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

Way = Literal["galaxy_id", "object_id", "position"]
"""How rows name their galaxy."""

WAYS: Final[tuple[Way, ...]] = ("galaxy_id", "object_id", "position")

_LEGACY_KEY: Final = ("release", "brickid", "objid")


@dataclass(frozen=True, eq=False)
class RowNames:
    """What each row of a file names its galaxy by; (n,) each, empty where ``way`` needs none."""

    way: Way
    ids: npt.NDArray[np.int64]
    """``galaxy_id`` or ``object_id``; -1 where there is none."""

    surveys: npt.NDArray[np.str_]
    """Survey of each ``object_id``; empty where the file does not tell."""

    ra: npt.NDArray[np.float64]
    dec: npt.NDArray[np.float64]
    """ICRS degrees; NaN where there is none."""

    def __len__(self) -> int:
        return max(len(self.ids), len(self.ra))


@dataclass(frozen=True)
class _Plan:
    table: SurveyTable
    way: Way
    columns: Mapping[str, str]
    """Ours: theirs."""


def read_names(
    path: Path, *, way: Way | None = None, columns: Mapping[str, str] | None = None
) -> RowNames:
    """Read which galaxies a file names, in the order of its rows.

    Galaxies are told, in this order, by ``galaxy_id``, by ``object_id``, by ``release``,
    ``brickid`` and ``objid`` of the Legacy Surveys, or by ``ra`` and ``dec``.

    Parameters
    ----------
    path
        A table of any format that catalogs have, or a NumPy array: (n,) integers, or (n, 2) right
        ascensions and declinations.
    way
        How rows are to be told; None takes the first that the file has.
    columns
        Ours: theirs, as :func:`skylike.survey.column_names.parse_column_map` returns it.

    Raises
    ------
    SurveyFileError
        The file cannot be read, or does not tell galaxies.
    SettingsError
        It leaves open what its numbers mean.
    """
    if path.suffix == ".npy":
        return _from_array(path, way)
    plan = _choose(open_tables(path), way, columns or {})
    parts = [_read(batch, plan) for batch in plan.table.read(list(plan.columns.values()))]
    if not parts:
        raise SurveyFileError(f"{path}: the table has no rows")

    return RowNames(
        plan.way,
        np.concatenate([part.ids for part in parts]),
        np.concatenate([part.surveys for part in parts]),
        np.concatenate([part.ra for part in parts]),
        np.concatenate([part.dec for part in parts]),
    )


def _names(
    way: Way,
    *,
    ids: npt.NDArray[np.int64] | None = None,
    surveys: npt.NDArray[np.str_] | None = None,
    ra: npt.NDArray[np.float64] | None = None,
    dec: npt.NDArray[np.float64] | None = None,
) -> RowNames:
    none = np.empty(0)
    return RowNames(
        way,
        none.astype(np.int64) if ids is None else ids,
        none.astype(np.str_) if surveys is None else surveys,
        none if ra is None else ra,
        none if dec is None else dec,
    )


def _from_array(path: Path, way: Way | None) -> RowNames:
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise SurveyFileError(
            f"{path}: cannot be read as a NumPy array ({reason}); save plain numbers"
        ) from error
    if array.ndim == 2 and array.shape[1] == 2 and array.dtype.kind == "f":
        if way not in {None, "position"}:
            raise SettingsError(f"{path}: holds pairs of floats, not {way}; give integers")
        ra, dec = array.astype(np.float64).T
        return _names("position", ra=ra, dec=dec)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise SurveyFileError(
            f"{path}: an array of shape {array.shape} and type {array.dtype} tells no galaxies; "
            "save (n,) integers, or (n, 2) floats of ra and dec"
        )
    if way is None or way == "position":
        raise SettingsError(
            f"{path}: say what its numbers are with --id-column galaxy_id or object_id"
        )
    ids, is_whole = whole_numbers(np.ma.asarray(array))
    ids = np.where(is_whole, ids, -1)
    return _names(way, ids=ids, surveys=np.full(len(ids), ""))


def _choose(tables: Sequence[SurveyTable], way: Way | None, given: Mapping[str, str]) -> _Plan:
    for table in tables:
        for one in (way,) if way else WAYS:
            plan = _plan(table, one, given)
            if plan is not None:
                return plan
    table = tables[0]
    there = ", ".join(column.name for column in table.columns[:12])
    wanted = f"no {way}" if way else "neither galaxy_id nor object_id nor ra and dec"
    raise SurveyFileError(
        f"{table.path}: has {wanted} among {there}; name columns with --columns, such as "
        "object_id=NAME, or give a file of them with --ids"
    )


def _plan(table: SurveyTable, way: Way, given: Mapping[str, str]) -> _Plan | None:
    found = dict(guess_columns(table.columns, given).columns)
    lower = {column.name.lower(): column.name for column in reversed(table.columns)}
    if way == "galaxy_id":
        return _Plan(table, way, {way: lower[way]}) if way in lower else None
    if way == "position":
        has = {"ra", "dec"} <= found.keys()
        return _Plan(table, way, {c: found[c] for c in ("ra", "dec")}) if has else None
    survey = {"survey": lower["survey"]} if "survey" in lower else {}
    # Others call many things an identifier: DESI's TARGETID, say, is not what a catalog has here.
    if way in lower or way in given:
        return _Plan(table, way, {way: found.get(way, lower.get(way, "")), **survey})
    if found.keys() >= set(_LEGACY_KEY):
        return _Plan(table, way, {part: found[part] for part in _LEGACY_KEY})
    return None


def _read(batch: Batch, plan: _Plan) -> RowNames:
    if batch.n_malformed:
        raise SurveyFileError(
            f"{plan.table.path}: {batch.n_malformed:,} rows have another number of fields than the "
            "header, so that it is not known which row is of which embedding; mend them"
        )
    columns = {ours: batch.columns[theirs] for ours, theirs in plan.columns.items()}
    if plan.way == "position":
        units = {ours: plan.table.column(plan.columns[ours]).unit for ours in ("ra", "dec")}
        found = read_positions(
            columns["ra"], columns["dec"], ra_unit=units["ra"], dec_unit=units["dec"]
        )
        bad = found.is_missing | found.is_off_sky
        return _names(
            plan.way,
            ra=np.where(bad, np.nan, found.ra),
            dec=np.where(bad, np.nan, found.dec),
        )
    ids, surveys = _identifiers(columns, plan.way, batch.n_rows)
    return _names(plan.way, ids=ids, surveys=surveys)


def _identifiers(
    columns: Mapping[str, ColumnArray], way: Way, n: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.str_]]:
    surveys = np.full(n, "")
    if "release" in columns:
        parts = [whole_numbers(columns[part]) for part in _LEGACY_KEY]
        ids, is_valid = legacy_object_ids(*(values for values, _ in parts))
        is_valid &= np.logical_and.reduce([is_whole for _, is_whole in parts])
        surveys = np.array([release_survey(release) or "" for release in parts[0][0].tolist()])
    else:
        ids, is_valid = whole_numbers(columns[way])
        if "survey" in columns:
            texts = np.char.strip(columns["survey"].data.astype(np.str_))
            surveys = np.where(np.ma.getmaskarray(columns["survey"]), "", texts)
    return np.where(is_valid, ids, -1), surveys
