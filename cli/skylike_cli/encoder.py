"""``skylike encoder``: Train, list, activate encoders."""

from enum import StrEnum
from typing import Annotated

import typer

from skylike_cli import session

app = typer.Typer(help="Train, list, activate encoders.", no_args_is_help=True)


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
    seed: Annotated[int | None, typer.Option(help="Of weights, order and augmentations.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N.")] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Begin anew, not where a killed run was.")
    ] = False,
) -> None:
    """Train an encoder on the cutouts, without labels; a killed run goes on where it was."""
    from skylike.devices import choose_device
    from skylike.embeddings.recipes import load_recipe
    from skylike.embeddings.training.register import train_on_catalog

    chosen = load_recipe(
        recipe,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        galaxies=galaxies,
        seed=seed,
    )
    record = train_on_catalog(
        session.engine(),
        chosen,
        folder=session.settings().home / "encoders",
        name=name,
        kind=kind.value if kind else None,
        device=choose_device(device or session.settings().device),
        restart=restart,
        progress=session.progress(),
    )
    training = record.training
    typer.echo(
        f"Trained encoder {record.name!r} ({record.architecture}, width {record.width:g}, "
        f"{record.input} input, d = {record.dimension}) on {training['images']:,} images, "
        f"final loss {training['final_loss']:.3f}: {record.checkpoint}"
    )
    typer.echo(f"Next: skylike embed --encoder {record.name}")


@app.command("list")
def list_encoders() -> None:
    """List the encoders; a star marks the active one."""
    from rich.console import Console
    from rich.table import Table

    from skylike.database.engine import connect
    from skylike.embeddings.store import fetch_encoders

    with connect(session.engine()) as connection:
        records = fetch_encoders(connection)
    if not records:
        typer.echo("There is no encoder yet; train one with `skylike encoder train`.")
        return
    table = Table(
        "", "name", "architecture", "width", "input", "d", "embedded", "embedded at (UTC)"
    )
    for r in records:
        table.add_row(
            "*" if r.is_active else "",
            r.name,
            r.architecture,
            f"{r.width:g}",
            r.input,
            str(r.dimension),
            f"{r.n_embedded:,}",
            f"{r.embedded_at:%Y-%m-%d %H:%M}" if r.embedded_at else "never",
        )
    Console(soft_wrap=True).print(table)


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
