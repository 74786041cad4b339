"""Write the catalog to a file, with unit, UCD and description of every column."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io import fits, votable
from astropy.table import Table
from astropy.utils.exceptions import AstropyWarning
from pyarrow import csv as arrow_csv
from sqlalchemy import Engine

from skylike.catalog.fits_units import fits_words
from skylike.catalog.store_derived import fetch_derived
from skylike.catalog.store_labels import check_labels
from skylike.catalog.store_reading import exported_columns, iter_galaxies
from skylike.cuts import GALAXY_KINDS, parse_cut
from skylike.database.comments import ColumnMeaning, read_meanings
from skylike.database.engine import connect
from skylike.errors import SettingsError
from skylike.file_formats import Format, choose_format, compress_file, is_gzipped
from skylike.files import replaced_file
from skylike.progress import SILENT, Progress
from skylike.survey.parquet_catalog import arrow_column

Meanings = Mapping[str, ColumnMeaning]

FORMATS: Final = (Format.FITS, Format.CSV, Format.PARQUET, Format.VOTABLE)


def export_catalog(
    engine: Engine, output: Path, *, where: str | None = None, progress: Progress = SILENT
) -> int:
    """Write the galaxies that a cut takes to a file; return how many.

    Columns of bands that no survey has are left out, no others. CSV and Parquet are streamed; FITS
    and VOTable need the galaxies in memory (about 400 bytes each). The file appears only when it is
    complete.

    Parameters
    ----------
    output
        The extension tells the format, one of :data:`FORMATS`; with .gz behind it, compressed.
    where
        An SQL cut over the columns of ``galaxy`` and derived ones, or None for all.

    Raises
    ------
    SettingsError
        The extension is not one of these, or the file cannot be written.
    CutError
        The cut is not understood.
    NotFoundError
        Nothing was said under a label that it names.
    """
    write = _writer(output)
    with (
        connect(engine) as connection,
        progress.task(f"export {output.name}", unit="galaxies") as task,
    ):
        derived = fetch_derived(connection)
        cut = parse_cut(where, GALAXY_KINDS, derived) if where is not None else None
        if cut is not None:
            check_labels(connection, cut)
        columns = exported_columns(connection)
        meanings = _meanings(
            read_meanings(connection, "galaxy"), read_meanings(connection, "survey")
        )
        n_galaxies = 0

        def batches() -> Iterator[pa.Table]:
            nonlocal n_galaxies
            for batch in iter_galaxies(connection, columns, cut=cut):
                n_galaxies += batch.num_rows
                yield batch
                task.advance(batch.num_rows)

        try:
            with replaced_file(output) as part:
                write(batches(), part, meanings)
                if is_gzipped(output):
                    compress_file(part)
        except OSError as error:
            raise SettingsError(f"--output {output}: cannot be written ({error})") from error
    return n_galaxies


def _writer(output: Path) -> Callable[[Iterator[pa.Table], Path, Meanings], None]:
    form = choose_format(output, among=FORMATS, option="--output ")
    return {
        Format.CSV: _write_csv,
        Format.PARQUET: _write_parquet,
        Format.FITS: _write_fits,
        Format.VOTABLE: _write_votable,
    }[form]


def _meanings(galaxy: Meanings, survey: Meanings) -> Meanings:
    return {**galaxy, "survey": survey["name"]}


def _write_csv(batches: Iterator[pa.Table], path: Path, _meanings: Meanings) -> None:
    first = next(batches)
    with arrow_csv.CSVWriter(path, first.schema) as writer:
        writer.write_table(first)
        for batch in batches:
            writer.write_table(batch)


def _write_parquet(batches: Iterator[pa.Table], path: Path, meanings: Meanings) -> None:
    first = next(batches)
    schema = pa.schema([_described(field, meanings[field.name]) for field in first.schema])
    with pq.ParquetWriter(path, schema) as writer:
        writer.write_table(first.cast(schema))
        for batch in batches:
            writer.write_table(batch.cast(schema))


def _described(field: pa.Field, meaning: ColumnMeaning) -> pa.Field:
    said = {"description": meaning.description, "unit": meaning.unit or "", "ucd": meaning.ucd}
    return field.with_metadata({key: value for key, value in said.items() if value})


def _astropy_table(batches: Iterator[pa.Table], meanings: Meanings) -> Table:
    rows = pa.concat_tables(batches)
    table = Table(masked=True)
    for name in rows.column_names:
        values = rows.column(name).combine_chunks()
        if pa.types.is_timestamp(values.type):
            values = values.cast(pa.string())
        column = arrow_column(values)
        if column.dtype.kind == "f":
            # FITS and VOTable have a word for missing floats, and it is NaN.
            column = np.ma.MaskedArray(column.filled(np.nan))
        table[name] = column
        meaning = meanings[name]
        table[name].description = meaning.description
        table[name].unit = meaning.unit
        table[name].info.meta = {"ucd": meaning.ucd}
    return table


def _write_fits(batches: Iterator[pa.Table], path: Path, meanings: Meanings) -> None:
    table = _astropy_table(batches, meanings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)
        hdu = fits.table_to_hdu(table)
    for place, name in enumerate(table.colnames, start=1):
        unit, description = fits_words(meanings[name])
        if unit:
            hdu.header[f"TUNIT{place}"] = unit
        else:
            hdu.header.remove(f"TUNIT{place}", ignore_missing=True)
        hdu.header[f"TUCD{place}"] = meanings[name].ucd
        hdu.header[f"TCOMM{place}"] = description
    hdu.name = "GALAXY"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)
        fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path, overwrite=True)


def _write_votable(batches: Iterator[pa.Table], path: Path, meanings: Meanings) -> None:
    table = _astropy_table(batches, meanings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)
        document = votable.from_table(table, table_id="galaxy")
        for field in document.get_first_table().fields:
            field.ucd = meanings[field.name].ucd
            field.description = meanings[field.name].description
        document.to_xml(str(path), tabledata_format="binary2")
