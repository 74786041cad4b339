"""``skylike encoder``: Train, list, activate, import and export encoders."""

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from skylike.errors import SettingsError
from skylike_cli import exchange, session

if TYPE_CHECKING:
    from collections.abc import Mapping

    from skylike.embeddings.recipe import TrainRecipe
    from skylike.embeddings.training.standalone import FileRun

app = typer.Typer(help="Train, list, activate, import and export encoders.", no_args_is_help=True)


class Kind(StrEnum):
    """Kinds of cutouts."""

    FLUX = "flux"
    RGB = "rgb"


@app.command()
def train(  # noqa: PLR0917 - Typer's options
    recipe: Annotated[
        str, typer.Option(help="Named recipe (paper, small) or a file NAME.toml.")
    ] = "small",
    name: Annotated[
        str | None, typer.Option(help="Name of the encoder; default: the recipe's.")
    ] = None,
    kind: Annotated[Kind | None, typer.Option(help="Train on cutouts of this kind only.")] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the images.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images in a step.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Before the schedule.")] = None,
    galaxies: Annotated[
        int | None, typer.Option(help="Use at most this many images, drawn by the seed.")
    ] = None,
    uniform_in: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Take the images evenly over the range of a column of the catalog, such as mag_z. "
            "Needs --galaxies.",
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of weights, order and augmentations.")] = None,
    precision: Annotated[
        str | None, typer.Option(help="What the networks compute in: float32 or bf16.")
    ] = None,
    compile_: Annotated[
        bool | None,
        typer.Option("--compile/--no-compile", help="Let torch.compile fuse the networks."),
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N.")] = None,
    tensorboard: Annotated[
        bool,
        typer.Option("--tensorboard", help="Write the figures as events of TensorBoard too."),
    ] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Begin anew, not where a killed run was.")
    ] = False,
    images: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PATH",
            help="Train on this file or folder of images, not on those of the database; may be "
            "repeated. Needs --output.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE.pt", help="With --images: where the encoder is written."),
    ] = None,
    half: Annotated[
        bool, typer.Option("--half", help="With --images: store the weights as float16.")
    ] = False,
) -> None:
    """Train an encoder on the cutouts, without labels; a killed run goes on where it was."""
    from skylike.devices import choose_device
    from skylike.embeddings.recipes import load_recipe
    from skylike.embeddings.training.register import CatalogRun, train_on_catalog
    from skylike.embeddings.training.standalone import FileRun

    chosen = load_recipe(
        recipe,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        galaxies=galaxies,
        uniform_in=uniform_in,
        precision=precision,
        compile=compile_,
        seed=seed,
    )
    _check_files(images, output, name=name, half=half)
    if images and output is not None:
        run = FileRun(kind.value if kind else None, half, restart, tensorboard)
        _train_on_files(images, chosen, output, options=run, device=device)
        return
    record = train_on_catalog(
        session.engine(),
        chosen,
        folder=session.settings().home / "encoders",
        name=name,
        options=CatalogRun(kind.value if kind else None, restart=restart, tensorboard=tensorboard),
        device=choose_device(device or session.settings().device),
        progress=session.progress(),
    )
    if not _is_first_process():
        return
    training = record.training
    _print_selection(training)
    typer.echo(
        f"Trained encoder {record.name!r} ({record.architecture}, width {record.width:g}, "
        f"{record.input} input, d = {record.dimension}) on {training['images']:,} images, "
        f"final loss {training['final_loss']:.3f}: {record.checkpoint}"
    )
    typer.echo(f"Next: skylike embed --encoder {record.name}")


def _is_first_process() -> bool:
    """Tell the one process of those started by torchrun that prints."""
    return os.environ.get("RANK", "0") == "0"


def _print_selection(training: "Mapping[str, object]") -> None:
    from skylike.embeddings.training.selection import UniformReport

    if isinstance(selection := training.get("selection"), dict):
        for sentence in UniformReport.from_dict(selection).sentences():
            typer.echo(sentence)


def _check_files(
    images: list[Path] | None, output: Path | None, *, name: str | None, half: bool
) -> None:
    if images:
        if output is None:
            raise SettingsError("--images needs --output FILE.pt: the encoder enters no database")
        if name is not None:
            raise SettingsError("--name is for encoders in the database; --output names the file")
    elif output is not None or half:
        raise SettingsError(
            "--output and --half go with --images; an encoder trained on the images of the "
            "database is kept there, and `skylike encoder export` writes it to a file"
        )


def _train_on_files(
    images: list[Path],
    recipe: "TrainRecipe",
    output: Path,
    *,
    options: "FileRun",
    device: str | None,
) -> None:
    from skylike.devices import choose_device
    from skylike.embeddings.training.standalone import train_on_files

    trained = train_on_files(
        images,
        recipe,
        output,
        folder=session.settings().home / "training",
        options=options,
        device=choose_device(device or session.settings().device),
        progress=session.progress(),
    )
    if not _is_first_process():
        return
    for sentence in trained.refused:
        typer.echo(f"Left out: {sentence}", err=True)
    typer.echo(
        f"Trained an encoder ({trained.recipe.architecture}, width {trained.recipe.width:g}, "
        f"{trained.recipe.input} input, d = {trained.dimension}) on "
        f"{trained.training['images']:,} images, final loss "
        f"{trained.training['final_loss']:.3f}: {trained.path}"
    )
    typer.echo(f"SHA-256 {trained.sha256}; a row for each step in {trained.metrics}")
    typer.echo(f"Next: skylike encoder import {trained.path}")


@app.command("list")
def list_encoders() -> None:
    """List the encoders; a star marks the active one."""
    from rich.console import Console
    from rich.table import Table

    from skylike.database.engine import connect
    from skylike.embeddings import shipped
    from skylike.embeddings.store import fetch_encoders

    with connect(session.engine()) as connection:
        records = fetch_encoders(connection)
    available = shipped.available_name(records)
    if not records and available is None:
        typer.echo("There is no encoder yet; train one with `skylike encoder train`.")
        return
    table = Table("", "name", "source", "network", "layer", "d", "embedded", "embedded at (UTC)")
    for r in records:
        table.add_row(
            "*" if r.is_active else "",
            r.name,
            r.source,
            "-" if r.width is None else f"{r.architecture} x {r.width:g}, {r.input}",
            "-" if r.width is None else r.layer,
            str(r.dimension),
            f"{r.n_embedded:,}",
            f"{r.embedded_at:%Y-%m-%d %H:%M}" if r.embedded_at else "never",
        )
    if available is not None:
        table.add_row("", available, "shipped", *[""] * 4, "available")
    # Where no terminal tells its width, rich would cut names to 80 columns in all.
    Console(soft_wrap=True, width=None if sys.stdout.isatty() else 200).print(table)
    if available is not None:
        typer.echo(
            f"Encoder {available!r} ships with skylike; next: skylike embed --encoder {available}"
        )


@app.command()
def show(name: Annotated[str, typer.Argument(help="Name of an encoder.")]) -> None:
    """Show all that is recorded of an encoder, as JSON."""
    import dataclasses
    import json

    from skylike.database.engine import connect
    from skylike.embeddings.store import fetch_encoder

    with connect(session.engine()) as connection:
        record = fetch_encoder(connection, name)
    typer.echo(json.dumps(dataclasses.asdict(record), indent=2, default=str))


@app.command()
def activate(
    name: Annotated[str, typer.Argument(help="Name of an encoder with embeddings.")],
) -> None:
    """Let searches and the view skylike.neighbor use an encoder."""
    from skylike.embeddings.store import activate_encoder

    with session.engine().begin() as connection:
        record = activate_encoder(connection, name)
    typer.echo(f"Encoder {record.name!r} is active: {record.n_embedded:,} galaxies embedded.")


app.command("import")(exchange.import_encoder)
app.command("export")(exchange.export_encoder)
