"""``skylike label``: Build training sets: say what galaxies are, find more of them."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from skylike.file_formats import Format
from skylike_cli import answers, session

if TYPE_CHECKING:
    from skylike.labels.choose import Source

app = typer.Typer(
    help="Build training sets: say what galaxies are, find more of them.", no_args_is_help=True
)


class _Output(StrEnum):
    TABLE = "table"
    JSON = "json"


_Name = Annotated[
    str, typer.Argument(metavar="NAME", help=r"Label, such as ring: \[a-z]\[a-z0-9_]*.")
]
_Galaxy = Annotated[list[int] | None, typer.Option(metavar="ID", help="A galaxy; may be repeated.")]
_From = Annotated[
    Path | None,
    typer.Option(
        "--from",
        metavar="FILE",
        help="Galaxies in a CSV, TSV, ECSV, FITS, VOTable, Parquet or HDF5 table, by object_id and "
        "survey, galaxy_id, or ra and dec.",
    ),
]
_Survey = Annotated[str | None, typer.Option(help="Survey of the object_id in --from.")]
_Columns = Annotated[
    str, typer.Option(help="Columns of --from that are not guessed: ra=RA,dec=DEC.")
]
_MatchRadius = Annotated[
    float,
    typer.Option(metavar="ARCSEC", help="Farthest match of a position in --from with a galaxy."),
]
_Author = Annotated[
    str | None, typer.Option(help="Who says so. Default: the user of this computer.")
]
_Encoder = Annotated[
    str | None, typer.Option(metavar="NAME", help="Use this encoder, not the active one.")
]
_Random = Annotated[
    int | None,
    typer.Option(
        "--random",
        metavar="N",
        help="Random unlabeled galaxies to take for not-members. Default: as many as are missing "
        "to 1000 and to 10 for each member, at most a quarter of the unlabeled.",
    ),
]


@app.command()
def add(
    name: _Name,
    *,
    galaxy: _Galaxy = None,
    from_file: _From = None,
    survey: _Survey = None,
    columns: _Columns = "",
    match_radius: _MatchRadius = 1.0,
    negative: Annotated[
        bool, typer.Option("--not", help="They were looked at and are none.")
    ] = False,
    author: _Author = None,
    note: Annotated[str | None, typer.Option(help="What to remember about them.")] = None,
) -> None:
    """Say that galaxies are members of a label, or (--not) are none. Twice is as good as once."""
    from skylike.labels.say import add_labels, add_lines

    source = _source(galaxy, from_file, survey, columns, match_radius)
    report = add_labels(
        session.engine(),
        name,
        source,
        author=_author(author),
        is_member=not negative,
        note=note,
    )
    typer.echo("\n".join(add_lines(report)))


@app.command()
def remove(
    name: _Name,
    *,
    galaxy: _Galaxy = None,
    from_file: _From = None,
    survey: _Survey = None,
    columns: _Columns = "",
    match_radius: _MatchRadius = 1.0,
    all_galaxies: Annotated[bool, typer.Option("--all", help="All galaxies of the label.")] = False,
    author: _Author = None,
    everyone: Annotated[
        bool, typer.Option("--everyone", help="What anybody said, not only --author.")
    ] = False,
) -> None:
    """Take back what was said of galaxies. The classifier goes with the last statement (--all)."""
    from skylike.errors import SettingsError
    from skylike.labels.say import remove_labels, remove_lines

    if all_galaxies and (galaxy or from_file is not None):
        raise SettingsError("--all is given with --galaxy or --from; keep one of them")
    source = None if all_galaxies else _source(galaxy, from_file, survey, columns, match_radius)
    who = None if everyone else _author(author)
    report = remove_labels(session.engine(), name, source, author=who)
    typer.echo("\n".join(remove_lines(report)))


@app.command("list")
def list_labels(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Only this label.")] = None,
    format: Annotated[  # noqa: A002 - the option's name
        _Output, typer.Option(help="Lines for people, or JSON.")
    ] = _Output.TABLE,
) -> None:
    """Show the labels: members, not-members, the classifier and what it is worth."""
    from skylike.labels.overview import fetch_labels, overview_json, overview_lines

    labels = fetch_labels(session.engine(), name)
    as_json = format is _Output.JSON
    typer.echo(overview_json(labels) if as_json else "\n".join(overview_lines(labels)))


@app.command()
def export(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Labels; all without any.")
    ] = None,
    *,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A .csv or .parquet file. Default: CSV on the screen."),
    ] = None,
    splits: Annotated[
        str | None,
        typer.Option(
            metavar="FRACTIONS",
            help="Add a column split: 0.8,0.1,0.1 for train, validation and test.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Another number gives other splits.")] = 0,
    group_within: Annotated[
        float,
        typer.Option(metavar="ARCSEC", help="Galaxies nearer than this share a split; 0 for none."),
    ] = 25.152,
    cutouts: Annotated[
        bool, typer.Option("--cutouts", help="Add the file and row of each galaxy's pixels.")
    ] = False,
) -> None:
    """Write labels as a table for training. More labels later move no galaxy to another split."""
    from skylike.labels.export import ExportOptions, export_labels, export_lines
    from skylike.labels.splits import parse_splits

    options = ExportOptions(
        fractions=parse_splits(splits) if splits is not None else None,
        seed=seed,
        group_within_arcsec=group_within,
        with_cutouts=cutouts,
    )
    table = export_labels(session.engine(), names or [], output=output, options=options)
    typer.echo("\n".join(export_lines(table)), err=True)


@app.command()
def suggest(
    name: _Name,
    *,
    k: Annotated[int, typer.Option("-k", help="How many galaxies, 1 to 1000.")] = 20,
    where: Annotated[
        str | None, typer.Option(metavar="CUT", help="Only galaxies that meet this SQL condition.")
    ] = None,
    cone: Annotated[
        str | None,
        typer.Option(
            metavar="'RA DEC RADIUS'", help="Only galaxies in this cone: '180 0.5 10 deg'."
        ),
    ] = None,
    define: Annotated[
        list[str] | None,
        typer.Option(metavar="'NAME = EXPRESSION'", help="A column for the cut; may be repeated."),
    ] = None,
    encoder: _Encoder = None,
    random: _Random = None,
    seed: Annotated[int, typer.Option(help="Of the random galaxies.")] = 0,
    timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", min=0.001, help="Give up after this long.")
    ] = None,
    format: Annotated[  # noqa: A002 - the option's name
        Format | None,
        typer.Option(help="Format of the answer; that of the extension of --output, else table."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the answer here.")
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Also make a contact sheet (.png or .jpg): members, then suggestions.",
        ),
    ] = None,
) -> None:
    """Suggest what to inspect next: likely members and doubtful galaxies in turn, none alike."""
    from skylike.cuts.coordinates import parse_cone
    from skylike.search.suggest import SuggestQuery, suggest_galaxies

    form = answers.check_files(format, output, sheet)
    region = parse_cone(cone) if cone is not None else None
    query = SuggestQuery(
        name,
        k=k,
        where=where,
        cone=region,
        n_random=random,
        seed=seed,
        definitions=tuple(define or ()),
    )
    found = suggest_galaxies(session.engine(), query, encoder=encoder, timeout_s=timeout)
    answers.write_rows(found.result, form, output)
    if sheet is not None:
        answers.write_sheet(found.result, found.members, sheet, example_word="member")


@app.command()
def train(
    name: _Name,
    *,
    encoder: _Encoder = None,
    random: _Random = None,
    seed: Annotated[int, typer.Option(help="Of random galaxies and folds.")] = 0,
) -> None:
    """Train a linear classifier on a label and score all galaxies: the cut column score_NAME."""
    from skylike.labels.training import train_classifier, train_lines

    report = train_classifier(
        session.engine(),
        name,
        encoder=encoder,
        n_random=random,
        seed=seed,
        progress=session.progress(),
    )
    typer.echo("\n".join(train_lines(report)))


def _source(
    galaxy: list[int] | None,
    from_file: Path | None,
    survey: str | None,
    columns: str,
    match_radius: float,
) -> "Source":
    from skylike.labels.choose import Source
    from skylike.survey.column_names import parse_column_map

    return Source(
        galaxy_ids=tuple(galaxy or ()),
        path=from_file,
        survey=survey,
        columns=parse_column_map(columns),
        match_radius_arcsec=match_radius,
    )


def _author(given: str | None) -> str:
    import getpass

    if given is not None:
        return given
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"  # a container's user may have no name
