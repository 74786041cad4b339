"""``skylike demo``: the whole job on a simulated survey."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from skylike_cli import db, session

if TYPE_CHECKING:
    from skylike.demo.run import Answered, DemoReport


def demo(
    galaxies: Annotated[
        int, typer.Option(min=100, max=1_000_000, help="How many galaxies to simulate.")
    ] = 3000,
    output: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for the survey and the contact sheets.")
    ] = Path("demo-output"),
    seed: Annotated[int, typer.Option(min=0, help="Seed of the simulation.")] = 1,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N.")] = None,
    train: Annotated[
        bool,
        typer.Option(
            "--train",
            help="Train an encoder on the simulated galaxies (recipe small) instead of using the "
            "one that ships with skylike.",
        ),
    ] = False,
) -> None:
    """Simulate a survey, load it, embed, find neighbors, and ask three questions.

    The database keeps running afterwards. Run again to go on after an interruption.
    """
    from skylike.demo.run import DemoOptions, run_demo

    db.start(port=None)
    report = run_demo(
        session.engine(),
        DemoOptions(
            galaxies=galaxies,
            output=output,
            home=session.settings().home,
            device=device or session.settings().device,
            seed=seed,
            train=train,
        ),
        tell=lambda words: typer.secho(words, bold=True, err=True),
        progress=session.progress(),
    )
    for answered in report.answers:
        _show(answered)
    _show_precision(report)
    _show_times(report)
    typer.echo("\nThe database goes on running:")
    for hint in db.reach_hints():
        typer.echo(hint)


def _show(answered: "Answered") -> None:
    from skylike.interfaces.formats import write_result

    typer.secho(f"\n{answered.question.words} (galaxy {answered.galaxy_id})", bold=True)
    write_result(answered.result, format="table", output=None)
    n = answered.result.rows.num_rows
    typer.echo(
        f"{answered.n_of_kind} of {n} are of class {answered.question.kind} in truth. "
        f"Contact sheet: {answered.sheet}"
    )
    typer.echo(f"The same in SQL:\n{answered.result.provenance.sql}")


def _show_precision(report: "DemoReport") -> None:
    typer.secho(
        f"\nPrecision@10 by class, {report.n_galaxies:,} galaxies, each asked for its 10",
        bold=True,
    )
    typer.echo(f"By the {report.encoder}.")
    typer.echo(f"{'class':<16}{'galaxies':>10}{'precision':>12}{'chance':>10}{'times':>8}")
    for row in report.precision:
        times = row.precision / row.chance if row.chance else float("nan")
        typer.echo(
            f"{row.name:<16}{row.n:>10,}{row.precision:>12.3f}{row.chance:>10.3f}{times:>8.1f}"
        )


def _show_times(report: "DemoReport") -> None:
    times = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in report.seconds.items())
    typer.echo(f"\n{times}; {sum(report.seconds.values()):.0f} s in all.")
