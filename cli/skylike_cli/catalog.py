"""``skylike catalog``: Load galaxies from survey files; look at what is there."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from skylike_cli import session

app = typer.Typer(
    help="Load galaxies from survey files; look at what is there.", no_args_is_help=True
)


class _Format(StrEnum):
    FITS = "fits"
    HDF5 = "hdf5"
    VOTABLE = "votable"
    ECSV = "ecsv"
    PARQUET = "parquet"
    CSV = "csv"
    TSV = "tsv"


class _Magnitudes(StrEnum):
    DEREDDENED = "dereddened"
    OBSERVED = "observed"


class _Stars(StrEnum):
    DROP = "drop"
    KEEP = "keep"


class _Output(StrEnum):
    TABLE = "table"
    JSON = "json"


@app.command()
def load(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="Sweep or tractor FITS, HDF5 of ssl-legacysurvey, or any FITS, VOTable, CSV, TSV, "
            "ECSV or Parquet table.",
        ),
    ],
    survey: Annotated[
        str | None,
        typer.Option(help="Survey to load into. Default: ls-drN by RELEASE, else the file's name."),
    ] = None,
    columns: Annotated[
        str,
        typer.Option(
            help="Ours=theirs, such as ra=RA,mag_r=r; z_spec= for none. Others are guessed."
        ),
    ] = "",
    magnitudes: Annotated[
        _Magnitudes | None,
        typer.Option(
            help="What the file's values are; observed ones are corrected by ebv. Default: fluxes "
            "observed, magnitudes dereddened."
        ),
    ] = None,
    where: Annotated[
        str | None,
        typer.Option(metavar="CUT", help="Rows to load: an SQL cut on columns of file or catalog."),
    ] = None,
    stars: Annotated[_Stars, typer.Option(help="Rows of type PSF or STAR.")] = _Stars.DROP,
    drop_type: Annotated[
        list[str] | None, typer.Option(help="Another type to leave out; may be repeated.")
    ] = None,
    format: Annotated[  # noqa: A002 - the option's name
        _Format | None, typer.Option(help="Format of the files. Default: by content and extension.")
    ] = None,
) -> None:
    """Load galaxies from catalog files. Loading a file again changes only what differs in it."""
    from skylike.catalog.load import load_files
    from skylike.catalog.plan import LoadOptions
    from skylike.catalog.report import report_lines
    from skylike.survey.column_names import parse_column_map

    options = LoadOptions(
        survey=survey,
        format=format.value if format else None,
        columns=parse_column_map(columns),
        magnitudes=magnitudes.value if magnitudes else None,
        where=where,
        keep_stars=stars is _Stars.KEEP,
        drop_types=tuple(drop_type or ()),
    )
    summary = load_files(session.engine(), files, options=options, progress=session.progress())
    for report in summary.reports:
        typer.echo("\n".join(report_lines(report)))
    summary.check()


@app.command()
def info(
    loads: Annotated[int, typer.Option(min=0, help="How many of the last loads to show.")] = 10,
    format: Annotated[  # noqa: A002 - the option's name
        _Output, typer.Option(help="A table for people, or JSON.")
    ] = _Output.TABLE,
) -> None:
    """Show the surveys, their magnitudes, the last loads, and the derived columns."""
    from skylike.catalog.overview import fetch_overview, overview_json, overview_lines

    overview = fetch_overview(session.engine(), loads=loads)
    show = overview_json if format is _Output.JSON else overview_lines
    typer.echo("\n".join(show(overview)))


@app.command()
def export(
    output: Annotated[
        Path, typer.Option(help="File to write: .fits, .csv, .parquet, .vot, .votable or .xml.")
    ],
    where: Annotated[
        str | None, typer.Option(metavar="CUT", help="Galaxies to write: an SQL cut.")
    ] = None,
) -> None:
    """Write the galaxies to a file, with units, UCDs and descriptions of the columns."""
    from skylike.catalog.export import export_catalog
    from skylike.catalog.report import counted

    n = export_catalog(session.engine(), output, where=where, progress=session.progress())
    typer.echo(f"{output}: {counted(n, 'galaxy', 'galaxies')}")


@app.command()
def define(
    definition: Annotated[
        str | None,
        typer.Argument(metavar="'NAME = EXPRESSION'", help="Such as 'g_r = mag_g - mag_r'."),
    ] = None,
    description: Annotated[
        str | None,
        typer.Option(help="What it is, in a phrase. Not given, it stays as it is."),
    ] = None,
    unit: Annotated[
        str | None,
        typer.Option(
            help="Such as mag, as astropy writes it; '' for none. Not given, it stays as it is."
        ),
    ] = None,
    drop: Annotated[
        str | None, typer.Option(metavar="NAME", help="Forget a derived column instead.")
    ] = None,
) -> None:
    """Give an expression a name that every cut may use; `catalog info` lists them."""
    from skylike.catalog.store_derived import define_column, drop_column

    if (definition is None) == (drop is None):
        raise typer.BadParameter("give either 'NAME = EXPRESSION' or --drop NAME")
    if drop is not None:
        drop_column(session.engine(), drop)
        typer.echo(f"{drop}: dropped")
    if definition is not None:
        made = define_column(session.engine(), definition, description=description, unit=unit)
        typer.echo(f"{made.name} = {made.text} ({made.kind})")
