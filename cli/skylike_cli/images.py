"""``skylike images``: Add cutouts from files, or cut them from bricks."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from skylike_cli import session

if TYPE_CHECKING:
    from skylike.images.report import InputReport

app = typer.Typer(help="Add cutouts from files, or cut them from bricks.", no_args_is_help=True)


@app.command()
def add(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH...", help="HDF5 files, FITS cutouts, folders or tars of JPEG/PNG."
        ),
    ],
    survey: Annotated[
        str | None,
        typer.Option(
            help="Survey that identifiers belong to and new galaxies join "
            r"\[default: the survey that has an HDF5 file's objects, its release, or images].",
            show_default=False,
        ),
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option(help="List of the pictures: file, ra, dec, id, label. Found beside them."),
    ] = None,
) -> None:
    """Add cutouts and link them to galaxies of the catalog."""
    from skylike.images.add import add_images

    reports = add_images(
        session.engine(),
        paths,
        folder=session.settings().home / "cutouts",
        survey=survey,
        listing=csv,
        progress=session.progress(),
    )
    _tell(reports)


def _tell(reports: "Sequence[InputReport]") -> None:
    from skylike.errors import ImageFileError
    from skylike.images.report import refusals, summary_of_refusals

    for report in reports:
        typer.echo(report.sentence())
        for note in report.notes:
            typer.echo(f"  {note}")
    refused = refusals(reports)
    if len(refused) > 1:
        for sentence in refused:
            typer.echo(f"Refused: {sentence}", err=True)
    summary = summary_of_refusals(reports)
    if summary is not None:
        raise ImageFileError(summary)


@app.command()
def cut(
    bricks: Annotated[
        list[Path],
        typer.Argument(
            metavar="BRICK...",
            help="Coadds legacysurvey-<brick>-image-<band>.fits.fz with their invvar, or folders.",
        ),
    ],
    survey: Annotated[str | None, typer.Option(help="Only galaxies of this survey.")] = None,
    where: Annotated[
        str | None, typer.Option(help="Only galaxies that this cut takes, e.g. 'mag_r < 20'.")
    ] = None,
) -> None:
    """Cut cutouts around the galaxies of the catalog from brick coadds."""
    from skylike.images.cut import cut_images

    reports = cut_images(
        session.engine(),
        bricks,
        folder=session.settings().home / "cutouts",
        survey=survey,
        where=where,
        progress=session.progress(),
    )
    _tell(reports)
