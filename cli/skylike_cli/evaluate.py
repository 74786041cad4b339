"""``skylike evaluate``: Measure whether it finds what people call similar."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from skylike_cli import session
from skylike_cli.evaluation_answers import check_output, parse_ranks, tell

app = typer.Typer(help="Measure how good the similarity is.", no_args_is_help=True)


class Output(StrEnum):
    """How a measurement is printed."""

    TABLE = "table"
    JSON = "json"


FormatOption = Annotated[Output, typer.Option("--format", help="A table for people, or JSON.")]
OutputOption = Annotated[
    Path | None, typer.Option("--output", help="Write the JSON to this file as well.")
]
SeedOption = Annotated[int, typer.Option(help="Of everything that is drawn.")]
DeviceOption = Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N.")]
EncoderOption = Annotated[str | None, typer.Option(help="Encoder; default: the active one.")]


class Layers(StrEnum):
    """Layers of a network that are compared."""

    FEATURES = "features"
    PROJECTION = "projection"
    BOTH = "both"


@app.command()
def labels(
    *,
    images: Annotated[
        list[Path],
        typer.Option(
            metavar="FILE", help="HDF5, FITS cutouts, folder or tar of pictures; may be repeated."
        ),
    ],
    labels: Annotated[
        Path,
        typer.Option(
            metavar="CSV",
            help="Classes, with a column file (pictures), object_id or row (HDF5) that names the "
            "image.",
        ),
    ],
    encoder: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE|NAME",
            help="An encoder's file, `default`, or a name in the database; may be repeated. "
            "Default: the one that ships.",
        ),
    ] = None,
    layer: Annotated[Layers, typer.Option(help="Compare by this layer.")] = Layers.FEATURES,
    label_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of the classes; default: label or class.")
    ] = None,
    fraction_column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Vote fraction: graded relevance for nDCG@10; may be repeated."
        ),
    ] = None,
    votes_column: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Number of votes; default: smooth-or-featured_total-votes if there.",
        ),
    ] = None,
    query_fraction: Annotated[
        float, typer.Option(help="Ask with galaxies whose vote fraction is above this.")
    ] = 0.9,
    min_votes: Annotated[float, typer.Option(help="Ask with galaxies of so many votes.")] = 3,
    ignore: Annotated[
        list[str] | None,
        typer.Option(metavar="CLASS", help="Leave out images of this class; may be repeated."),
    ] = None,
    baselines: Annotated[
        bool,
        typer.Option(
            "--baselines/--no-baselines",
            help="Pixel PCA, a log-polar descriptor and the untrained network beside it.",
        ),
    ] = True,
    invert_pictures: Annotated[
        bool,
        typer.Option("--invert-pictures", help="Let a flux encoder take pictures, approximately."),
    ] = False,
    seed: SeedOption = 0,
    device: DeviceOption = None,
    form: FormatOption = Output.TABLE,
    output: OutputOption = None,
) -> None:
    """Measure how well labeled images of one class find each other, beside simple baselines.

    Needs no database unless an encoder is only there.
    """
    from skylike.devices import choose_device
    from skylike.evaluation.label_report import report_json, write_report
    from skylike.evaluation.label_table import LabelColumns
    from skylike.evaluation.labels import LabelQuestion, evaluate_labels
    from skylike.evaluation.lineup import Lineup, choose_extractors, chosen_layers

    check_output(output)
    columns = LabelColumns(label_column, tuple(fraction_column or ()), votes_column)
    question = LabelQuestion(
        images=tuple(images),
        labels=labels,
        columns=columns,
        ignored=tuple(ignore or ()),
        query_fraction=query_fraction,
        minimum_votes=min_votes,
        seed=seed,
    )
    device = choose_device(device or session.settings().device)
    lineup = Lineup(
        encoders=tuple(encoder or ()),
        layers=chosen_layers(layer.value),
        baselines=baselines,
        invert_pictures=invert_pictures,
        seed=seed,
    )
    extractors = choose_extractors(lineup, open_database=session.engine, device=device)
    report = evaluate_labels(question, extractors, device=device, progress=session.progress())
    if output is not None:
        write_report(report, output)
    if form is Output.JSON:
        typer.echo(report_json(report))
        return
    from rich.console import Console

    from skylike_cli.label_scores import report_parts

    console = Console()
    for part in report_parts(report):
        console.print(part, markup=False, highlight=False)


@app.command()
def augmentations(
    *,
    images: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="HDF5, FITS cutouts, folder or tar of pictures; may be repeated. Default: the "
            "cutouts of the catalog.",
        ),
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="Encoder, or its file. Default: the active one; with --images the one that ships.",
        ),
    ] = None,
    recipe: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME|FILE.toml",
            help="Augmentations of this recipe; may be repeated. `own` is the encoder's. "
            "Default: paper and own.",
        ),
    ] = None,
    sample: Annotated[int, typer.Option(help="Images of which copies are made.")] = 1000,
    among: Annotated[
        int, typer.Option(help="Originals to tell apart, drawn at random; 0 takes all.")
    ] = 10_000,
    copies: Annotated[int, typer.Option(help="Of each image.")] = 1,
    seed: SeedOption = 0,
    device: DeviceOption = None,
    form: FormatOption = Output.TABLE,
    output: OutputOption = None,
) -> None:
    """Look for augmented copies by their originals, and the reverse, in both layers.

    Section 3 of the paper. Each recipe is tested whole and each of its augmentations alone.
    """
    from skylike.devices import choose_device
    from skylike.evaluation.augmentations import (
        DEFAULT_RECIPES,
        CopyOptions,
        evaluate_augmentations,
    )
    from skylike.evaluation.subject import choose_encoder

    check_output(output)
    options = CopyOptions(sample=sample, among=among or None, copies=copies, seed=seed)
    chosen = choose_encoder(
        session.engine,
        encoder,
        without_database=bool(images),
        device=choose_device(device or session.settings().device),
    )
    report = evaluate_augmentations(
        session.engine,
        chosen,
        images=images or (),
        recipes=recipe or DEFAULT_RECIPES,
        options=options,
        progress=session.progress(),
    )
    tell(report, as_json=form is Output.JSON, output=output)


@app.command()
def window(
    *,
    encoder: EncoderOption = None,
    k: Annotated[
        str, typer.Option("-k", metavar="K,K,...", help="Ranks down to which lists are compared.")
    ] = "10,100,999",
    band: Annotated[str, typer.Option(help="Band of the magnitude window.")] = "r",
    width: Annotated[float, typer.Option(help="Largest difference in magnitudes.")] = 0.5,
    sample: Annotated[int, typer.Option(help="Galaxies whose lists are compared.")] = 1000,
    among: Annotated[
        int | None, typer.Option(help="Search among so many, drawn at random; default: all.")
    ] = None,
    run: Annotated[
        int | None,
        typer.Option(help="Compare this run's stored lists too; its band and width are taken."),
    ] = None,
    seed: SeedOption = 0,
    form: FormatOption = Output.TABLE,
    output: OutputOption = None,
) -> None:
    """Measure how much of the full search the magnitude window of neighbor lists keeps."""
    from skylike.evaluation.window import WindowOptions, evaluate_window

    check_output(output)
    options = WindowOptions(
        depths=parse_ranks(k), band=band, width=width, sample=sample, among=among, seed=seed
    )
    report = evaluate_window(
        session.engine(), encoder, options=options, run_id=run, progress=session.progress()
    )
    tell(report, as_json=form is Output.JSON, output=output)


@app.command()
def lenses(
    *,
    labels: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="Known objects: a CSV, TSV, ECSV, FITS, VOTable, Parquet or HDF5 table with "
            "galaxy_id, object_id and survey, or ra and dec.",
        ),
    ],
    label_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="Take only rows with --value in this column.")
    ] = None,
    value: Annotated[str | None, typer.Option(help="What that column must hold.")] = None,
    survey: Annotated[str | None, typer.Option(help="Survey of every object_id.")] = None,
    radius: Annotated[
        float, typer.Option(metavar="ARCSEC", help="Farthest match of a position with a galaxy.")
    ] = 1.0,
    encoder: EncoderOption = None,
    k: Annotated[
        str, typer.Option("-k", metavar="K,K,...", help="Ranks down to which recall is counted.")
    ] = "10,100,1000",
    among: Annotated[
        int | None, typer.Option(help="Look among so many others, drawn at random; default: all.")
    ] = None,
    thin: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE", help="Draw known objects until they are this rare, such as 0.001."
        ),
    ] = None,
    draws: Annotated[int, typer.Option(help="With --thin, how many times.")] = 100,
    seed: SeedOption = 0,
    form: FormatOption = Output.TABLE,
    output: OutputOption = None,
) -> None:
    """Measure how well known rare objects find each other: leave-one-out recall."""
    from skylike.evaluation.known_objects import KnownList
    from skylike.evaluation.lenses import LensOptions, evaluate_lenses

    check_output(output)
    listed = KnownList(labels, label_column, value, survey, radius)
    options = LensOptions(depths=parse_ranks(k), among=among, thin=thin, draws=draws, seed=seed)
    report = evaluate_lenses(
        session.engine(), listed, encoder=encoder, options=options, progress=session.progress()
    )
    tell(report, as_json=form is Output.JSON, output=output)
