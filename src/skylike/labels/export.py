"""``skylike label export``: labels as a table for training, with splits and the place of pixels."""

import io
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from sqlalchemy import Connection, Engine

from skylike.catalog.match import ARCSEC_PER_DEG
from skylike.catalog.report import counted
from skylike.catalog.store_labels import fetch_names
from skylike.database.comments import ColumnMeaning, read_meanings
from skylike.database.engine import connect
from skylike.errors import NotFoundError, SettingsError
from skylike.file_formats import (
    Format,
    check_folder,
    choose_format,
    compress_file,
    is_gzipped,
)
from skylike.files import replaced_file
from skylike.labels import store
from skylike.labels.names import check_name
from skylike.labels.sky_groups import (
    SAME_SKY_ARCSEC,
    group_positions,
    hash_fractions,
    smallest_of_group,
)
from skylike.labels.splits import assign_splits

FORMATS: Final = (Format.CSV, Format.PARQUET)

_MOST_NEARBY: Final = 2_000_000
"""Galaxies that chains of close pairs may lead to: where they are more, the catalog is so dense
that such chains connect everything."""

_OWN_MEANINGS: Final = {
    "split": ColumnMeaning("Set that the galaxy belongs to", None, "meta.code"),
    "cutout_file": ColumnMeaning("HDF5 file that holds its pixels", None, "meta.ref"),
    "cutout_row": ColumnMeaning("Row of its cutout in that file, from 0", None, "meta.record"),
    "cutout_kind": ColumnMeaning(
        "What the pixels are: flux (nanomaggies) or rgb (8 bit)", None, "meta.code"
    ),
}


@dataclass(frozen=True)
class ExportOptions:
    """What to write beside the labels.

    Attributes
    ----------
    fractions
        Sizes of the splits, None for none (:func:`skylike.labels.splits.parse_splits`).
    seed
        Of the splits.
    group_within_arcsec
        Galaxies nearer than this to each other, or connected by others of the catalog that are,
        share a split; 0 splits every galaxy by itself.
    with_cutouts
        Also where the pixels are.
    """

    fractions: tuple[float, ...] | None = None
    seed: int = 0
    group_within_arcsec: float = SAME_SKY_ARCSEC
    with_cutouts: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.group_within_arcsec <= 3600:
            raise SettingsError(
                f"--group-within {self.group_within_arcsec:g} is out of range; "
                "take 0 to 3600 arcsec"
            )
        if not 0 <= self.seed < 2**63:
            raise SettingsError(f"--seed {self.seed} is out of range; take 0 to {2**63 - 1}")


def export_labels(
    engine: Engine, names: Sequence[str], *, output: Path | None, options: ExportOptions
) -> pa.Table:
    """Write what was said under some labels: one row for each label, galaxy and author.

    Parameters
    ----------
    names
        Labels; none stands for all.
    output
        A .csv, .csv.gz or .parquet file, complete or not at all; None is CSV on standard output.

    Returns
    -------
    pyarrow.Table
        What was written: galaxy_id, survey, object_id, ra, dec, label, is_member, author, note,
        labeled_at, and, where asked for, split, cutout_file, cutout_row and cutout_kind.

    Raises
    ------
    NotFoundError
        Nothing was said under one of the labels.
    SettingsError
        The file cannot be written, or its extension is none of :data:`FORMATS`; or the catalog is
        too dense to keep neighbors together.
    """
    check_output(output)
    for name in names:
        check_name(name)
    with connect(engine) as connection:
        known = fetch_names(connection)
        _check_known(names, known)
        table = store.fetch_statements(connection, names or known)
        meanings = _meanings(connection)
        galaxy_ids = table["galaxy_id"].to_numpy()
        if options.fractions is not None:
            splits = _splits(connection, galaxy_ids, options, options.fractions)
            table = table.append_column("split", pa.array(splits))
        if options.with_cutouts:
            table = _with_cutouts(connection, table)
    _write(table, output, meanings)
    return table


def check_output(output: Path | None) -> None:
    """Find out early that a file cannot be written.

    Raises
    ------
    SettingsError
        Its extension tells no format, or its folder is not there.
    """
    if output is None:
        return
    choose_format(output, among=FORMATS, option="--output ")
    check_folder(output, option="--output ")


def _check_known(names: Sequence[str], known: Sequence[str]) -> None:
    missing = [name for name in names if name not in known]
    if missing or not known:
        there = f"there are {', '.join(known)}" if known else "there is no label yet"
        what = f"nothing is labeled {', '.join(missing)}" if missing else "nothing is labeled"
        raise NotFoundError(f"{what}; {there}; add some with `skylike label add`")


def _splits(
    connection: Connection,
    galaxy_ids: npt.NDArray[np.int32],
    options: ExportOptions,
    fractions: tuple[float, ...],
) -> npt.NDArray[np.str_]:
    """Return the split of each row by a hash of what its patch of sky is called.

    The name is the smallest key of all galaxies of the catalog, labeled or not, that close pairs
    connect: labeling another one changes nothing.
    """
    radius = options.group_within_arcsec
    labeled = np.unique(galaxy_ids)
    places = _connected(connection, labeled, radius_arcsec=radius)
    groups = group_positions(places.ra, places.dec, within_arcsec=radius)
    names = smallest_of_group(places.keys, groups)
    own = np.searchsorted(places.galaxy_ids, labeled)
    hashed = hash_fractions((names[place] for place in own), seed=options.seed)
    of_galaxy = assign_splits(hashed, fractions)
    return of_galaxy[np.searchsorted(labeled, galaxy_ids)]


def _connected(
    connection: Connection, galaxy_ids: npt.NDArray[np.int32], *, radius_arcsec: float
) -> store.Places:
    """Fetch some galaxies and all that chains of close pairs connect with them."""
    # With radius 0 too, a galaxy is near itself.
    radius = radius_arcsec / ARCSEC_PER_DEG
    parts = []
    seen = np.empty(0, np.int32)
    frontier = galaxy_ids
    while len(frontier):
        found = store.fetch_nearby(connection, frontier, radius=radius, limit=_MOST_NEARBY)
        parts.append(found)
        seen = np.union1d(seen, frontier)
        frontier = np.setdiff1d(found.galaxy_ids, seen)
        if len(seen) + len(frontier) >= _MOST_NEARBY:
            raise SettingsError(
                f"galaxies within {radius_arcsec:g} arcsec of each other form chains of millions "
                "in this catalog; take a smaller --group-within, or 0 to split galaxies one by one"
            )
    return _merged(parts)


def _merged(parts: Sequence[store.Places]) -> store.Places:
    ids = np.concatenate([part.galaxy_ids for part in parts])
    distinct, first = np.unique(ids, return_index=True)
    keys = [key for part in parts for key in part.keys]
    return store.Places(
        distinct,
        np.concatenate([part.ra for part in parts])[first],
        np.concatenate([part.dec for part in parts])[first],
        tuple(keys[place] for place in first),
    )


def _with_cutouts(connection: Connection, table: pa.Table) -> pa.Table:
    galaxy_ids = table["galaxy_id"].to_numpy()
    places = store.fetch_cutout_places(connection, np.unique(galaxy_ids))
    rows = [places.get(galaxy_id, (None, None, None)) for galaxy_id in galaxy_ids.tolist()]
    types = {"cutout_file": pa.string(), "cutout_row": pa.int32(), "cutout_kind": pa.string()}
    for place, (name, kind) in enumerate(types.items()):
        table = table.append_column(name, pa.array([row[place] for row in rows], kind))
    return table


def _meanings(connection: Connection) -> Mapping[str, ColumnMeaning]:
    label = read_meanings(connection, "label")
    survey = read_meanings(connection, "survey")["name"]
    own = {"label": label["name"], "survey": survey, **_OWN_MEANINGS}
    return {**label, **read_meanings(connection, "galaxy"), **own}


def _write(table: pa.Table, output: Path | None, meanings: Mapping[str, ColumnMeaning]) -> None:
    if output is None:
        sink = io.BytesIO()
        pa.csv.write_csv(table, sink)
        sys.stdout.write(sink.getvalue().decode())
        return
    try:
        with replaced_file(output) as part:
            if choose_format(output, among=FORMATS) is Format.CSV:
                pa.csv.write_csv(table, part)
                if is_gzipped(output):
                    compress_file(part)
            else:
                pq.write_table(_described(table, meanings), part, compression="zstd")
    except OSError as error:
        raise SettingsError(f"--output {output}: cannot be written ({error})") from error


def _described(table: pa.Table, meanings: Mapping[str, ColumnMeaning]) -> pa.Table:
    fields = []
    for field in table.schema:
        meaning = meanings[field.name]
        said = {"description": meaning.description, "unit": meaning.unit, "ucd": meaning.ucd}
        fields.append(field.with_metadata({key: value for key, value in said.items() if value}))
    return table.cast(pa.schema(fields))


def export_lines(table: pa.Table) -> list[str]:
    """Say for people how many galaxies of each kind each split has, and which are disputed."""
    columns = ["label", "is_member", "galaxy_id"]
    has_splits = "split" in table.column_names
    splits = table["split"].to_pylist() if has_splits else [""] * table.num_rows
    said = set(zip(*(table[name].to_pylist() for name in columns), splits, strict=True))
    counts = Counter((label, is_member, split) for label, is_member, _, split in said)
    both = Counter((label, galaxy) for label, _, galaxy, _ in said)
    lines = []
    for label in sorted({row[0] for row in said}):
        for is_member, word in ((True, "members"), (False, "not-members")):
            of_kind = {
                s: n for (name, m, s), n in counts.items() if (name, m) == (label, is_member)
            }
            total = sum(of_kind.values())
            shares = [
                f"{split} {n:,} ({100 * n / total:.1f} %)" for split, n in sorted(of_kind.items())
            ]
            said_splits = f": {', '.join(shares)}" if has_splits and total else ""
            lines.append(f"{label}, {word}: {counted(total, 'galaxy', 'galaxies')}{said_splits}")
        disputed = sum(n > 1 for (name, _), n in both.items() if name == label)
        if disputed:
            lines.append(
                f"{label}: authors differ on {counted(disputed, 'galaxy', 'galaxies')}, "
                f"which {'is' if disputed == 1 else 'are'} in both"
            )
    return lines
