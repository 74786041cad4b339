"""How a file will be loaded: its table, columns, key and survey, decided before the first row."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np

from skylike.catalog.clean import STAR_TYPES, CleaningRules, Key, galaxy_columns
from skylike.catalog.columns import KEY, POSITION
from skylike.catalog.object_ids import id_problem, whole_numbers
from skylike.catalog.photometry import Magnitudes, numbers
from skylike.cuts import GALAXY_KINDS, ColumnKind, Cut, Derived, parse_cut
from skylike.cuts.source import NONE_DERIVED
from skylike.errors import SettingsError, SurveyFileError
from skylike.survey.batches import Batch, SurveyTable
from skylike.survey.column_names import ColumnGuess, guess_columns
from skylike.survey.legacy import release_survey
from skylike.survey.tables import open_tables

_LEGACY_KEY: Final = ("release", "brickid", "objid")
_COPY_SAMPLE: Final = 2
"""A redshift equal to a coordinate in at least so many rows, and in all of them, is a copy."""


@dataclass(frozen=True)
class LoadOptions:
    """What a user may say about catalog files."""

    survey: str | None = None
    """Survey to load into; None for the Legacy Surveys' data release, or the file's name."""
    format: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    """Ours: theirs; see :func:`skylike.survey.column_names.parse_column_map`."""
    magnitudes: Magnitudes | None = None
    where: str | None = None
    keep_stars: bool = False
    drop_types: tuple[str, ...] = ()
    """Types to leave out beside stars."""


@dataclass(frozen=True)
class LoadPlan:
    """How one file will be loaded."""

    table: SurveyTable
    survey: str
    rules: CleaningRules
    notes: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """Columns of the file to read."""
        used = list(self.rules.columns.values())
        if self.rules.cut is not None:
            names = [column.name for column in self.table.columns]
            used += [name for name in names if {name, name.lower()} & self.rules.cut.columns]
        return list(dict.fromkeys(used))


def plan_load(
    path: Path, options: LoadOptions, derived: Mapping[str, Derived] = NONE_DERIVED
) -> LoadPlan:
    """Decide how a file will be loaded, reading its header, its first rows and its identifiers.

    Parameters
    ----------
    derived
        Derived columns of the catalog; the cut may name those that the file's columns give.

    Raises
    ------
    SurveyFileError
        The file is unreadable or empty, has no positions, or leaves open which column is which.
    SettingsError
        A column that was told is not in the file, or is no identifier.
    CutError
        The cut is not understood.
    """
    table, guess = _choose(
        open_tables(path, format=options.format, way_out=", or give --format"), options.columns
    )
    columns, notes = dict(guess.columns), []
    if guess.ambiguous:
        raise SurveyFileError(f"{path}: {_question(guess.ambiguous)}")
    first = next(iter(table.read(list(columns.values()))), None)
    if first is None or (first.n_rows == 0 and not first.n_malformed):
        raise SurveyFileError(f"{path}: the table has a header and no rows")
    notes += _drop_copies(columns, first, guess.given)
    key, said = _choose_key(table, columns, guess.given)
    notes += said
    rules = CleaningRules(
        columns=columns,
        key=key,
        units={ours: table.column(theirs).unit for ours, theirs in columns.items()},
        magnitudes=options.magnitudes,
        star_types=_dropped_types(options),
    )
    if options.where is not None:
        rules = replace(rules, cut=_parse(options.where, table, rules, derived))
    notes += _magnitude_notes(rules)
    return LoadPlan(
        table, options.survey or _survey_name(path, columns, first), rules, tuple(notes)
    )


def _choose(
    tables: Sequence[SurveyTable], given: Mapping[str, str]
) -> tuple[SurveyTable, ColumnGuess]:
    """Take the first table that has positions."""
    problem: SettingsError | None = None
    for table in tables:
        try:
            guess = guess_columns(table.columns, given)
        except SettingsError as error:
            problem = problem or error
            continue
        if {"ra", "dec"} <= guess.columns.keys() | guess.ambiguous.keys():
            return table, guess
    if problem is not None:
        raise problem
    names = ", ".join(column.name for column in tables[0].columns[:12])
    raise SurveyFileError(
        f"{tables[0].path}: no columns of right ascension and declination are plain among {names}"
        f"{', ...' if len(tables[0].columns) > 12 else ''}; give them as --columns ra=NAME,dec=NAME"
    )


def _question(ambiguous: Mapping[str, tuple[str, ...]]) -> str:
    questions = [f"{ours} may be {' or '.join(theirs)}" for ours, theirs in ambiguous.items()]
    ours, theirs = next(iter(ambiguous.items()))
    return f"{'; '.join(questions)}; say which, such as --columns {ours}={theirs[0]}" + (
        "" if ours in {"ra", "dec"} else f" (or {ours}= for none)"
    )


def _drop_copies(columns: dict[str, str], first: Batch, given: frozenset[str]) -> list[str]:
    """Take back the guess of a redshift that repeats a coordinate in every row."""
    notes = []
    for redshift in ("z_spec", "z_phot"):
        for coordinate in ("ra", "dec"):
            if redshift not in columns or first.n_rows < _COPY_SAMPLE:
                continue
            values = numbers(first.columns[columns[redshift]])
            if not np.array_equal(values, numbers(first.columns[columns[coordinate]])):
                continue
            said = f"column {columns[redshift]} is a copy of {columns[coordinate]}"
            if redshift in given:
                notes.append(f"{said}, and was loaded as {redshift} because --columns says so")
            else:
                notes.append(f"{said} and not a redshift: left out")
                del columns[redshift]
    return notes


def _choose_key(
    table: SurveyTable, columns: dict[str, str], given: frozenset[str]
) -> tuple[Key, list[str]]:
    if "object_id" not in columns:
        return ("legacy" if set(_LEGACY_KEY) <= columns.keys() else "healpix"), []
    name = columns["object_id"]
    problem = id_problem(batch.columns[name] for batch in table.read([name]))
    if problem is None:
        return "column", []
    if "object_id" in given:
        raise SettingsError(
            f"--columns object_id={name}: the column identifies no galaxies: {problem}; "
            "say object_id= and galaxies will be known by their positions"
        )
    del columns["object_id"]
    return "healpix", [f"column {name} is not used as identifier: {problem}; positions are"]


def _dropped_types(options: LoadOptions) -> frozenset[str]:
    stars = frozenset() if options.keep_stars else STAR_TYPES
    return stars | {name.strip().upper() for name in options.drop_types}


def _parse(
    where: str, table: SurveyTable, rules: CleaningRules, derived: Mapping[str, Derived]
) -> Cut:
    """Read a cut over the file's columns, as written or in lower case, and ours that it fills."""
    kinds = {column.name: ColumnKind(column.kind) for column in table.columns}
    kinds |= {column.name.lower(): ColumnKind(column.kind) for column in table.columns}
    ours = {name: GALAXY_KINDS[name] for name in (KEY, *POSITION, *galaxy_columns(rules))}
    # A column of the file goes before a derived one of its name.
    usable = {name: one for name, one in derived.items() if one.columns <= ours.keys()}
    return parse_cut(where, kinds | ours, usable)


def _magnitude_notes(rules: CleaningRules) -> list[str]:
    has_magnitudes = any(re.fullmatch(r"mag_(?!err_).*", ours) for ours in rules.columns)
    if has_magnitudes and rules.magnitudes is None:
        return [
            "magnitudes are taken as dereddened; if they are as observed, say --magnitudes observed"
        ]
    return []


def _survey_name(path: Path, columns: Mapping[str, str], first: Batch) -> str:
    if set(_LEGACY_KEY) <= columns.keys():
        releases, _ = whole_numbers(first.columns[columns["release"]])
        name = release_survey(int(releases.max(initial=0)))
        if name is not None:
            return name
    stem = path.name.lower()
    while "." in stem.strip("."):
        stem = stem.rpartition(".")[0]
    return re.sub(r"[^a-z0-9_-]+", "_", stem).strip("_") or "catalog"
