"""``skylike search``: Find galaxies that look alike."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from skylike.errors import SettingsError
from skylike.file_formats import Format
from skylike_cli import answers, session

if TYPE_CHECKING:
    from skylike.search.query import Query
    from skylike.search.rarest import RarestQuery
    from skylike.search.result import SearchResult
    from skylike.search.search import Answer

_LIKE = "What they look like"
_AMONG = "Among which galaxies"
_HOW = "How many and how"
_ANSWER = "The answer"


def search(
    *,
    galaxy: Annotated[
        list[int] | None,
        typer.Option(
            metavar="ID", help="Like this galaxy; may be repeated.", rich_help_panel=_LIKE
        ),
    ] = None,
    position: Annotated[
        list[str] | None,
        typer.Option(
            metavar="'RA DEC'",
            help="Like the galaxy at this position; may be repeated.",
            rich_help_panel=_LIKE,
        ),
    ] = None,
    positions: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Like the galaxies at the positions of this CSV, TSV, ECSV, FITS, VOTable or "
            "Parquet table.",
            rich_help_panel=_LIKE,
        ),
    ] = None,
    position_limit: Annotated[
        str,
        typer.Option(
            metavar="ARCSEC",
            help="How far from a position its galaxy may lie; also '0.2 arcmin'.",
            rich_help_panel=_LIKE,
        ),
    ] = "5",
    image: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Like this FITS, HDF5, JPEG or PNG image; may be repeated.",
            rich_help_panel=_LIKE,
        ),
    ] = None,
    invert_pictures: Annotated[
        bool,
        typer.Option(
            "--invert-pictures",
            help="Let an encoder of fluxes take color pictures, approximately.",
            rich_help_panel=_LIKE,
        ),
    ] = False,
    vector: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Like the vectors in this .npy file; may be repeated.",
            rich_help_panel=_LIKE,
        ),
    ] = None,
    reject: Annotated[
        list[int] | None,
        typer.Option(metavar="ID", help="Unlike this galaxy; repeatable.", rich_help_panel=_LIKE),
    ] = None,
    each: Annotated[
        bool,
        typer.Option(
            "--each",
            help="An answer for each example instead of one for all together.",
            rich_help_panel=_LIKE,
        ),
    ] = False,
    where: Annotated[
        str | None,
        typer.Option(
            metavar="CUT",
            help="Only galaxies that meet this SQL condition: 'mag_r < 18'.",
            rich_help_panel=_AMONG,
        ),
    ] = None,
    define: Annotated[
        list[str] | None,
        typer.Option(
            metavar="'NAME = EXPRESSION'",
            help="A column for the cut of this search: 'g_r = mag_g - mag_r'; may be repeated.",
            rich_help_panel=_AMONG,
        ),
    ] = None,
    cone: Annotated[
        str | None,
        typer.Option(
            metavar="'RA DEC RADIUS'",
            help="Only galaxies in this cone: '180 0.5 10 deg'.",
            rich_help_panel=_AMONG,
        ),
    ] = None,
    k: Annotated[
        int, typer.Option("-k", help="How many galaxies, 1 to 10000.", rich_help_panel=_HOW)
    ] = 10,
    offset: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Leave out the first N: the next page of the same answer.",
            rich_help_panel=_HOW,
        ),
    ] = 0,
    rarest: Annotated[
        bool,
        typer.Option(
            "--rarest",
            help="Like no others: those with the farthest neighbors for their magnitude, instead "
            "of examples.",
            rich_help_panel=_LIKE,
        ),
    ] = False,
    least_similar: Annotated[
        bool,
        typer.Option("--least-similar", help="The least similar instead.", rich_help_panel=_HOW),
    ] = False,
    min_separation: Annotated[
        str,
        typer.Option(
            metavar="ARCSEC",
            help="Drop results nearer than this to the query or to a better result; 0 keeps all.",
            rich_help_panel=_HOW,
        ),
    ] = "25.152",
    fast: Annotated[
        bool,
        typer.Option(
            "--fast",
            help="Accept an approximate answer; it says how much of the exact one to expect.",
            rich_help_panel=_HOW,
        ),
    ] = False,
    encoder: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Use this encoder, not the active one.", rich_help_panel=_HOW
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            help="Where images are embedded: auto, cpu, cuda or cuda:N.", rich_help_panel=_HOW
        ),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS", min=0.001, help="Give up after this long.", rich_help_panel=_HOW
        ),
    ] = None,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain",
            help="Also show the SQL, the server's plan and timings (on stderr).",
            rich_help_panel=_ANSWER,
        ),
    ] = False,
    format: Annotated[  # noqa: A002 - the option's name
        Format | None,
        typer.Option(
            help="Format of the answer; that of the extension of --output, else table.",
            rich_help_panel=_ANSWER,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the answer here.", rich_help_panel=_ANSWER),
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Also make a contact sheet (.png or .jpg): query first, then the results.",
            rich_help_panel=_ANSWER,
        ),
    ] = None,
) -> None:
    """Find galaxies that look like the examples, among those that meet a cut and lie in a cone.

    The answer is exact unless --fast is given. Several examples are combined to one direction, and
    rejects turn it away from what is unwanted. Neither are ever among the results. With --rarest
    there are no examples: galaxies that are like no others come first.
    """
    from skylike.cuts.coordinates import parse_cone, parse_position
    from skylike.interfaces.sky_arguments import arcsec_of
    from skylike.search.position_table import read_position_table
    from skylike.search.query import Query, read_vectors
    from skylike.search.rarest import RarestQuery

    form = answers.check_files(format, output, sheet)
    if rarest:
        named = (galaxy, position, image, vector, reject, positions is not None, each)
        if any(named) or least_similar:
            raise SettingsError(
                "--rarest ranks by no example; leave out --galaxy, --position, --positions, "
                "--image, --vector, --reject, --each and --least-similar"
            )
        among = RarestQuery(
            where=where,
            cone=parse_cone(cone) if cone is not None else None,
            k=k,
            offset=offset,
            min_separation=arcsec_of(min_separation),
            definitions=tuple(define or ()),
        )
        found = _find_rarest(among, encoder, timeout, explain=explain)
        answers.write_rows(found.result, form, output)
        if sheet is not None:
            answers.write_sheet(found.result, (), sheet)
        return
    if each and (explain or sheet is not None):
        raise SettingsError("--explain and --sheet are for one answer; leave out --each")
    query = Query(
        galaxies=tuple(galaxy or ()),
        positions=tuple(parse_position(text) for text in position or ()),
        position_table=read_position_table(positions) if positions is not None else None,
        position_limit=arcsec_of(position_limit),
        images=tuple(image or ()),
        invert_pictures=invert_pictures,
        vectors=tuple(row for path in vector or () for row in read_vectors(path)),
        rejects=tuple(reject or ()),
        where=where,
        definitions=tuple(define or ()),
        cone=parse_cone(cone) if cone is not None else None,
        k=k,
        offset=offset,
        least_similar=least_similar,
        min_separation=arcsec_of(min_separation),
        fast=fast,
    )
    device = device or session.settings().device
    if each:
        result = _answer_each(query, encoder, device, timeout)
    else:
        found = _answer(query, encoder, device, timeout, explain=explain)
        result = found.result
    answers.write_rows(result, form, output)
    told = form is Format.CSV or (form is Format.TABLE and output is None)
    if (positions is not None or image) and not told:
        # What is told of an answer ends with the note; files have it where nobody looks at first.
        _tell_note(result)
    if sheet is not None:
        answers.write_sheet(result, found.examples, sheet)


def _answer(
    query: "Query", encoder: str | None, device: str, timeout: float | None, *, explain: bool
) -> "Answer":
    from skylike.search.search import answer

    found = answer(
        session.engine(),
        query,
        encoder=encoder,
        device=device,
        timeout_s=timeout,
        explain=explain,
        progress=session.progress(),
    )
    if found.explanation is not None:
        typer.echo(found.explanation, err=True)
    return found


def _find_rarest(
    query: "RarestQuery", encoder: str | None, timeout: float | None, *, explain: bool
) -> "Answer":
    from skylike.search.rarest import find_rarest

    found = find_rarest(
        session.engine(), query, encoder=encoder, timeout_s=timeout, explain=explain
    )
    if found.explanation is not None:
        typer.echo(found.explanation, err=True)
    return found


def _answer_each(
    query: "Query", encoder: str | None, device: str, timeout: float | None
) -> "SearchResult":
    from skylike.search.batch import answer_each

    return answer_each(
        session.engine(),
        query,
        encoder=encoder,
        device=device,
        timeout_s=timeout,
        progress=session.progress(),
    ).result


def _tell_note(result: "SearchResult") -> None:
    if result.provenance.note is not None:
        typer.echo(f"Note: {result.provenance.note}", err=True)
