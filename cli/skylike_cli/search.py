"""``skylike search``: Find galaxies that look alike."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from skylike_cli import session

if TYPE_CHECKING:
    from skylike.search.search import Answer


class _Format(StrEnum):
    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    FITS = "fits"
    VOTABLE = "votable"
    PARQUET = "parquet"
    HTML = "html"


def search(
    *,
    galaxy: Annotated[
        list[int] | None, typer.Option(metavar="ID", help="Like this galaxy; may be repeated.")
    ] = None,
    position: Annotated[
        list[str] | None,
        typer.Option(metavar="'RA DEC'", help="Like the galaxy at this position; may be repeated."),
    ] = None,
    image: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE", help="Like this FITS, HDF5, JPEG or PNG image; may be repeated."
        ),
    ] = None,
    vector: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Like the vectors in this .npy file; may be repeated."),
    ] = None,
    where: Annotated[
        str | None,
        typer.Option(
            metavar="CUT", help="Only galaxies that meet this SQL condition: 'mag_r < 18'."
        ),
    ] = None,
    cone: Annotated[
        str | None,
        typer.Option(
            metavar="'RA DEC RADIUS'", help="Only galaxies in this cone: '180 0.5 10 deg'."
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", help="How many galaxies, 1 to 10000.")] = 10,
    least_similar: Annotated[
        bool, typer.Option("--least-similar", help="The least similar instead.")
    ] = False,
    min_separation: Annotated[
        float,
        typer.Option(
            metavar="ARCSEC",
            help="Drop results nearer than this to the query or to a better result; 0 keeps all.",
        ),
    ] = 25.152,
    position_limit: Annotated[
        float,
        typer.Option(metavar="ARCSEC", help="How far from --position its galaxy may lie."),
    ] = 5.0,
    encoder: Annotated[
        str | None, typer.Option(metavar="NAME", help="Use this encoder, not the active one.")
    ] = None,
    invert_pictures: Annotated[
        bool,
        typer.Option(
            "--invert-pictures", help="Let an encoder of fluxes take color pictures, approximately."
        ),
    ] = False,
    device: Annotated[
        str | None, typer.Option(help="Where images are embedded: auto, cpu, cuda or cuda:N.")
    ] = None,
    timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", min=0.001, help="Give up after this long.")
    ] = None,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain", help="Also show the SQL, the server's plan and timings (on stderr)."
        ),
    ] = False,
    format: Annotated[  # noqa: A002 - the option's name
        _Format, typer.Option(help="Format of the answer.")
    ] = _Format.TABLE,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the answer here.")
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(
            metavar="PNG", help="Also make a contact sheet: query first, then the results."
        ),
    ] = None,
) -> None:
    """Find galaxies that look like the examples, among those that meet a cut and lie in a cone.

    The answer is exact. Several examples are combined: galaxies near the mean of their unit vectors
    are found. Examples are never among the results.
    """
    from skylike.cuts.coordinates import parse_cone, parse_position
    from skylike.interfaces.formats import check_output
    from skylike.interfaces.sheet import check_sheet
    from skylike.search.query import Query, read_vectors
    from skylike.search.search import answer

    check_output(format=format.value, output=output)
    if sheet is not None:
        check_sheet(sheet)
    query = Query(
        galaxies=tuple(galaxy or ()),
        positions=tuple(parse_position(text) for text in position or ()),
        images=tuple(image or ()),
        vectors=tuple(row for path in vector or () for row in read_vectors(path)),
        where=where,
        cone=parse_cone(cone) if cone is not None else None,
        k=k,
        least_similar=least_similar,
        min_separation=min_separation,
        position_limit=position_limit,
        invert_pictures=invert_pictures,
    )
    found = answer(
        session.engine(),
        query,
        encoder=encoder,
        device=device or session.settings().device,
        timeout_s=timeout,
        explain=explain,
        progress=session.progress(),
    )
    if found.explanation is not None:
        typer.echo(found.explanation, err=True)
    _write_rows(found, format.value, output)
    if sheet is not None:
        _write_sheet(found, sheet)


def _write_rows(found: "Answer", name: str, path: Path | None) -> None:
    from skylike.interfaces.formats import write_result

    write_result(found.result, format=name, output=path)


def _write_sheet(found: "Answer", path: Path) -> None:
    from skylike.interfaces.sheet import make_sheet, save_sheet
    from skylike.search.pictures import fetch_tiles

    tiles = fetch_tiles(session.engine(), found.examples, found.result)
    sheet = make_sheet(tiles.images, tiles.captions, title=tiles.title, queries=tiles.queries)
    save_sheet(sheet, path)
    typer.echo(f"Contact sheet: {path}", err=True)
