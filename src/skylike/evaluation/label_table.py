"""A CSV of what people, or a simulation, say of images: classes, vote fractions, votes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from skylike.errors import SettingsError, SurveyFileError
from skylike.images.folders import COLUMN_NAMES

Floats = npt.NDArray[np.float64]

VOTES_COLUMN: Final = "smooth-or-featured_total-votes"
"""Votes of a galaxy in the tables of Galaxy Zoo DECaLS, which the AION-Search protocol reads."""

_KEYS: Final[Mapping[str, Sequence[str]]] = {
    "file": COLUMN_NAMES["file"],
    "id": COLUMN_NAMES["id"],
    "row": ("row", "file_row", "row_id", "row_index"),
}
"""By what an image may be found, and what the column may be called, in any case."""


@dataclass(frozen=True)
class LabelColumns:
    """Which columns of the CSV are read.

    Attributes
    ----------
    label
        The class; None takes ``label`` or ``class``, whichever is there.
    fractions
        Vote fractions, from 0 to 1.
    votes
        Number of votes; None takes that of Galaxy Zoo DECaLS where it is there.
    """

    label: str | None = None
    fractions: tuple[str, ...] = ()
    votes: str | None = None


@dataclass(frozen=True, eq=False)
class LabelTable:
    """What the CSV says, row by row.

    Attributes
    ----------
    path
        The CSV.
    labels
        (n,) classes, empty where none is given; None without such a column.
    fractions
        (n,) from 0 to 1, NaN where unknown, by the name of the column.
    votes
        (n,) number of votes, NaN where unknown; None without such a column.
    pixel_scale
        (n,) arcsec per pixel of a picture, NaN where unknown.
    places
        Row of a key, by kind of key (``file``, ``id``, ``row``); of equal keys the first row's.
    repeated
        Rows whose key an earlier row has.
    """

    path: Path
    labels: npt.NDArray[np.str_] | None
    fractions: Mapping[str, Floats]
    votes: Floats | None
    pixel_scale: Floats
    places: Mapping[str, Mapping[str, int]]
    repeated: int

    def __len__(self) -> int:
        return len(self.pixel_scale)

    def find_file(self, name: str) -> int | None:
        """Return the row of a picture by its relative path, or else by its bare file name."""
        files = self.places.get("file", {})
        found = files.get(name)
        return files.get(PurePosixPath(name).name) if found is None else found


def read_label_table(path: Path, columns: LabelColumns) -> LabelTable:
    """Read the CSV.

    Raises
    ------
    SurveyFileError
        It cannot be read, is empty, lacks a column that is asked for, or a fraction is not from 0
        to 1.
    SettingsError
        Neither a class nor a fraction is there to be measured.
    """
    table = _read(path)
    by_lower = {str(name).strip().lower(): str(name) for name in reversed(table.columns)}
    label = _label_column(path, table, columns, by_lower)
    votes = columns.votes
    if votes is None and columns.fractions and VOTES_COLUMN in table.columns:
        votes = VOTES_COLUMN
    fractions = {name: _fraction(path, table, name) for name in columns.fractions}
    scale = next((by_lower[n] for n in COLUMN_NAMES["pixel_scale"] if n in by_lower), None)
    places, repeated = _places(path, table, by_lower)
    return LabelTable(
        path=path,
        labels=None if label is None else _texts(table[label]),
        fractions=fractions,
        votes=None if votes is None else _numbers(path, table, votes),
        pixel_scale=np.full(len(table), np.nan) if scale is None else _numbers(path, table, scale),
        places=places,
        repeated=repeated,
    )


def _read(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise SurveyFileError(
            f"{path}: there is no such file; --labels names a CSV of classes"
        ) from error
    except pd.errors.EmptyDataError as error:
        raise SurveyFileError(f"{path}: is empty; columns `file` and `label` are needed") from error
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise SurveyFileError(f"{path}: not a readable CSV ({reason}); give a CSV file") from error
    if table.empty:
        raise SurveyFileError(f"{path}: has no rows; give a CSV with a row for each image")
    return table


def _label_column(
    path: Path, table: pd.DataFrame, columns: LabelColumns, by_lower: Mapping[str, str]
) -> str | None:
    if columns.label is not None:
        _check_column(path, table, columns.label, "--label-column")
        return columns.label
    found = next((by_lower[name] for name in COLUMN_NAMES["label"] if name in by_lower), None)
    if found is None and not columns.fractions:
        raise SettingsError(
            f"{path}: has no column `label` or `class`; name one of its columns with "
            f"--label-column, or vote fractions with --fraction-column: {_named(table)}"
        )
    return found


def _check_column(path: Path, table: pd.DataFrame, name: str, option: str) -> None:
    if name not in table.columns:
        raise SurveyFileError(
            f"{path}: has no column {name!r}; give {option} one of {_named(table)}"
        )


def _named(table: pd.DataFrame) -> str:
    return ", ".join(str(name) for name in table.columns)


def _texts(column: "pd.Series[str]") -> npt.NDArray[np.str_]:
    return column.str.strip().to_numpy(dtype=np.str_)


def _numbers(path: Path, table: pd.DataFrame, name: str) -> Floats:
    _check_column(path, table, name, "--votes-column")
    return pd.to_numeric(table[name], errors="coerce").to_numpy(dtype=np.float64)


def _fraction(path: Path, table: pd.DataFrame, name: str) -> Floats:
    _check_column(path, table, name, "--fraction-column")
    values = pd.to_numeric(table[name], errors="coerce").to_numpy(dtype=np.float64)
    known = values[~np.isnan(values)]
    if not len(known):
        raise SurveyFileError(f"{path}: column {name!r} holds no number; name a vote fraction")
    if known.min() < 0 or known.max() > 1:
        raise SurveyFileError(
            f"{path}: column {name!r} goes from {known.min():g} to {known.max():g}; a vote "
            "fraction is from 0 to 1"
        )
    return values


def _places(
    path: Path, table: pd.DataFrame, by_lower: Mapping[str, str]
) -> tuple[dict[str, dict[str, int]], int]:
    places: dict[str, dict[str, int]] = {}
    repeated = 0
    for kind, names in _KEYS.items():
        column = next((by_lower[name] for name in names if name in by_lower), None)
        if column is None:
            continue
        keys = table[column].str.strip().str.removeprefix("./")
        first: dict[str, int] = {}
        for place, key in enumerate(keys):
            if key:
                first.setdefault(key, place)
        places[kind] = first
        repeated = max(repeated, int((keys != "").sum()) - len(first))
    if not places:
        raise SurveyFileError(
            f"{path}: has no column `file` (pictures), `object_id` or `row` (HDF5) that says which "
            f"image a row is of; its columns are {_named(table)}"
        )
    return places, repeated
