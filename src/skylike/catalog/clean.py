"""Rows of a survey file into galaxies: choose, convert, and count what is left out and why."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from skylike.bands import BANDS
from skylike.catalog.columns import GALAXY_TYPES, KEY, POSITION
from skylike.catalog.object_ids import healpix29, legacy_object_ids, whole_numbers
from skylike.catalog.photometry import (
    Floats,
    Magnitudes,
    band_columns,
    nanomaggies_in_unit,
    numbers,
    without_sentinels,
)
from skylike.catalog.positions import Positions, read_positions
from skylike.cuts import Cut, to_mask
from skylike.survey.batches import Batch, ColumnArray
from skylike.survey.legacy import PHOTSYS_OF_RELEASE

Key = Literal["legacy", "column", "healpix"]
"""Where object_id comes from: (release, brickid, objid), a column of its own, or the position."""

STAR_TYPES: Final = frozenset({"PSF", "STAR"})
"""Types that mean a point source: of Tractor, and of the classes of spectroscopic surveys."""

DUPLICATE_TYPE: Final = "DUP"
"""Tractor's type of a Gaia source that an extended galaxy already accounts for."""

_PER_BAND: Final = ("flux", "flux_ivar", "mw_transmission", "mag", "mag_err")


@dataclass(frozen=True)
class CleaningRules:
    """How the rows of one file become galaxies."""

    columns: Mapping[str, str]
    """Ours: the file's."""
    key: Key = "healpix"
    units: Mapping[str, str | None] = field(default_factory=dict)
    """Units of the file's columns, by our names."""
    magnitudes: Magnitudes | None = None
    """What the user says that fluxes or magnitudes are; None for the default of each."""
    star_types: frozenset[str] = STAR_TYPES
    """Types dropped as stars, upper case; empty keeps them."""
    cut: Cut | None = None
    """Rows to take, over columns of the catalog and (in lower case) of the file."""


@dataclass(frozen=True)
class CleanedBatch:
    """What became of the rows of a batch."""

    galaxies: pa.Table
    """Rows to store, typed as :data:`skylike.catalog.columns.GALAXY_TYPES`."""
    n_not_selected: int
    rejected: Counter[str]
    """Rows left out that the cut would have taken, by reason."""


@dataclass(frozen=True)
class _Rows:
    """The rows of a batch, as far as both values and reasons need them."""

    given: Mapping[str, ColumnArray]
    """The file's columns, by our names."""
    positions: Positions
    cells: npt.NDArray[np.int64]
    keys: npt.NDArray[np.int64]
    has_key: npt.NDArray[np.bool_]


def galaxy_columns(rules: CleaningRules) -> tuple[str, ...]:
    """Return the columns of ``galaxy``, beside key and position, that a file's rows will fill."""
    empty = {name: np.ma.asarray(np.empty(0)) for name in rules.columns.values()}
    values = _values(_rows(Batch(empty, 0), rules), rules)
    return tuple(name for name in values if name not in {KEY, *POSITION})


def clean_batch(batch: Batch, rules: CleaningRules) -> CleanedBatch:
    """Turn rows of a file into galaxies.

    A row is judged once, in this order: not selected by the cut; then rejected for an impossible
    position, as a duplicate of another brick or of a galaxy, as a star, or for an impossible key.
    """
    rows = _rows(batch, rules)
    values = _values(rows, rules)
    selected = _selected(batch, values, rules.cut)
    keep, rejected = selected.copy(), Counter[str]()
    for reason, bad in _reasons(rows, rules).items():
        if (keep & bad).any():
            rejected[reason] += int((keep & bad).sum())
        keep &= ~bad
    if batch.n_malformed:
        rejected["wrong number of fields"] += batch.n_malformed
    return CleanedBatch(
        pa.table({name: _arrow(name, column[keep]) for name, column in values.items()}),
        int((~selected).sum()),
        rejected,
    )


def _rows(batch: Batch, rules: CleaningRules) -> _Rows:
    given = {ours: batch.columns[theirs] for ours, theirs in rules.columns.items()}
    positions = read_positions(
        given["ra"], given["dec"], ra_unit=rules.units.get("ra"), dec_unit=rules.units.get("dec")
    )
    cells = healpix29(positions.ra, positions.dec)
    return _Rows(given, positions, cells, *_keys(given, rules.key, cells))


def _values(rows: _Rows, rules: CleaningRules) -> dict[str, ColumnArray]:
    given = rows.given
    values: dict[str, ColumnArray] = {
        "object_id": np.ma.asarray(rows.keys),
        "ra": np.ma.asarray(rows.positions.ra),
        "dec": np.ma.asarray(rows.positions.dec),
        "healpix29": np.ma.asarray(rows.cells),
    }
    for name, measured in _measured(given, rules).items():
        values[name] = np.ma.masked_invalid(_float32(measured))
    if "maskbits" in given:
        values["maskbits"] = _maskbits(given["maskbits"])
    if "type" in given:
        values["type"] = _text(given["type"])
    if "photsys" in given:
        values["photsys"] = _text(given["photsys"])
    elif "release" in given:
        values["photsys"] = _photsys(given["release"])
    return values


def _float32(values: Floats) -> Floats:
    # As real in PostgreSQL, so that a cut at load and the same cut in SQL agree on every row.
    with np.errstate(over="ignore"):
        return values.astype(np.float32).astype(np.float64)


def _measured(given: Mapping[str, ColumnArray], rules: CleaningRules) -> dict[str, Floats]:
    ebv = without_sentinels(numbers(given["ebv"])) if "ebv" in given else None
    measured: dict[str, Floats] = {} if ebv is None else {"ebv": ebv}
    for band in BANDS:
        of_band = {
            name: numbers(given[f"{name}_{band}"])
            for name in _PER_BAND
            if f"{name}_{band}" in given
        }
        if "flux" in of_band:
            scale = nanomaggies_in_unit(rules.units.get(f"flux_{band}"))
            # What is infinite as a real is no flux, and so has no magnitude either.
            flux = _float32(of_band["flux"] * scale)
            of_band["flux"] = np.where(np.isfinite(flux), flux, np.nan)
        measured |= band_columns(band, of_band, ebv, rules.magnitudes)
        if f"psf_size_{band}" in given:
            size = without_sentinels(numbers(given[f"psf_size_{band}"]))
            measured[f"psf_size_{band}"] = np.where(size > 0, size, np.nan)
    for name in ("z_phot", "z_spec"):
        if name in given:
            redshift = without_sentinels(numbers(given[name]))
            # A redshift of -1 is an infinite blueshift: catalogs write it for 'none'.
            measured[name] = np.where(redshift > -1, redshift, np.nan)
    return measured


def _maskbits(column: ColumnArray) -> ColumnArray:
    bits, is_whole = whole_numbers(column)
    fits = is_whole & (bits >= 0) & (bits <= np.iinfo(np.int32).max)
    return np.ma.MaskedArray(np.where(fits, bits, 0).astype(np.int32), mask=~fits)


def _text(column: ColumnArray) -> ColumnArray:
    # PostgreSQL's text cannot hold the character NUL, which padding of some writers leaves inside.
    texts = column.data.astype(str).tolist()
    text = np.array([value.replace("\0", "").strip() for value in texts], dtype=str)
    return np.ma.MaskedArray(text, mask=np.ma.getmaskarray(column) | (text == ""))


def _photsys(release: ColumnArray) -> ColumnArray:
    numbers_, _ = whole_numbers(release)
    distinct, place = np.unique(numbers_, return_inverse=True)
    systems = np.array([PHOTSYS_OF_RELEASE.get(int(number), "") for number in distinct], dtype="U1")
    return np.ma.MaskedArray(systems[place], mask=systems[place] == "")


def _keys(
    given: Mapping[str, ColumnArray], key: Key, cells: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    if key == "healpix":
        return cells, np.ones(len(cells), dtype=bool)
    if key == "column":
        return whole_numbers(given["object_id"])
    parts = [whole_numbers(given[name]) for name in ("release", "brickid", "objid")]
    packed, valid = legacy_object_ids(*(values for values, _ in parts))
    return packed, valid & np.logical_and.reduce([is_whole for _, is_whole in parts])


def _reasons(rows: _Rows, rules: CleaningRules) -> dict[str, npt.NDArray[np.bool_]]:
    reasons = {
        "position missing or not finite": rows.positions.is_missing,
        "position off the sky": rows.positions.is_off_sky,
    }
    if "brick_primary" in rows.given:
        reasons["not primary in its brick"] = ~_truth(rows.given["brick_primary"])
    if "type" in rows.given:
        kinds = np.char.upper(_text(rows.given["type"]).filled("").astype(str))
        reasons[f"duplicate source (type {DUPLICATE_TYPE})"] = kinds == DUPLICATE_TYPE
        for star in sorted(rules.star_types):
            reasons[f"star (type {star})"] = kinds == star
    reasons["impossible identifier"] = ~rows.has_key
    return reasons


def _truth(column: ColumnArray) -> npt.NDArray[np.bool_]:
    if column.dtype.kind in "UO":
        true = np.isin(np.char.lower(column.data.astype(str)), ["t", "true", "1", "y", "yes"])
    else:
        true = column.data.astype(bool)
    return np.asarray(true & ~np.ma.getmaskarray(column))


def _selected(
    batch: Batch, values: Mapping[str, ColumnArray], cut: Cut | None
) -> npt.NDArray[np.bool_]:
    if cut is None:
        return np.ones(batch.n_rows, dtype=bool)
    # Of the catalog's column and the file's of the same name the catalog's counts: it is what the
    # cut will mean after the load.
    lower = {name.lower(): column for name, column in batch.columns.items()}
    columns = lower | dict(batch.columns) | dict(values)
    return to_mask(cut, {name: columns[name] for name in cut.columns})


def _arrow(name: str, column: ColumnArray) -> pa.Array:
    type_ = GALAXY_TYPES[name]
    missing = np.ma.getmaskarray(column)
    values = column.data
    if pa.types.is_floating(type_):
        values = np.where(missing, 0, values).astype(type_.to_pandas_dtype())
    elif pa.types.is_string(type_):
        values = values.astype(object)
    return pa.array(values, type=type_, mask=missing if missing.any() else None)
