"""``skylike neighbors``: Compute and publish neighbor lists."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from skylike_cli import session
from skylike_cli.neighbor_words import build_lines, run_lines, update_lines

app = typer.Typer(help="Compute and publish neighbor lists.", no_args_is_help=True)


class _Output(StrEnum):
    TABLE = "table"
    JSON = "json"


_Format = Annotated[_Output, typer.Option("--format", help="Lines for people, or JSON.")]
RunId = Annotated[
    int,
    typer.Argument(metavar="RUN", help="Number of the run, from `skylike neighbors status`."),
]


@app.command()
def build(
    *,
    encoder: Annotated[
        str | None, typer.Option(help="Encoder; default: the active or only one.")
    ] = None,
    k: Annotated[int, typer.Option("-k", help="Neighbors of each galaxy, at most.")] = 999,
    band: Annotated[str, typer.Option(help="Band of the magnitude window.")] = "r",
    width: Annotated[float, typer.Option(help="Largest difference in magnitudes.")] = 0.5,
    window: Annotated[
        bool, typer.Option("--window/--no-window", help="Compare only galaxies of like magnitude.")
    ] = True,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N.")] = None,
    publish: Annotated[
        bool,
        typer.Option(
            "--publish/--no-publish", help="Let searches see the lists; else `publish RUN` does."
        ),
    ] = True,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N", help="Compute the I-th of N parts only, as a task of an array."
        ),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Dask scheduler (tcp://host:port, or its file)."),
    ] = None,
    work_folder: Annotated[
        Path | None, typer.Option(help="For the staged embeddings; default: SKYLIKE_HOME/jobs.")
    ] = None,
) -> None:
    """Find the exact nearest neighbors of all galaxies; a killed build goes on where it was.

    Several processes may build the same lists at the same time: they share the work.
    """
    from skylike.jobs.shares import choose_share
    from skylike.neighbors.build import NeighborSettings, build_neighbors
    from skylike.neighbors.engine.faiss_library import choose_search_device
    from skylike.neighbors.engine.search import SearchPlan

    settings = NeighborSettings(k=k, band=band if window else None, width=width if window else None)
    share = choose_share(shard, scheduler)
    wanted = device or session.settings().device
    # The workers of a cluster have devices of their own.
    plan = SearchPlan(k=k, device=wanted if scheduler else choose_search_device(wanted))
    report = build_neighbors(
        session.engine(),
        encoder,
        settings=settings,
        plan=plan,
        work_folder=work_folder or session.settings().home / "jobs",
        publish=publish,
        share=share,
        progress=session.progress(),
    )
    for line in build_lines(report):
        typer.echo(line)
    if report.verification is not None and not report.verification.is_perfect:
        raise typer.Exit(1)


@app.command()
def update(
    run: Annotated[
        int | None, typer.Option(help="Run; default: the published one of the active encoder.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N.")] = None,
    work_folder: Annotated[
        Path | None, typer.Option(help="For the staged embeddings; default: SKYLIKE_HOME/jobs.")
    ] = None,
) -> None:
    """Bring a run's lists up to date with today's galaxies; a killed update goes on where it was.

    The lists are those of a rebuild. Only those that change are computed and written; searches see
    the old ones until all are there.
    """
    from skylike.neighbors.engine.faiss_library import choose_search_device
    from skylike.neighbors.update import update_neighbors

    report = update_neighbors(
        session.engine(),
        run,
        work_folder=work_folder or session.settings().home / "jobs",
        device=choose_search_device(device or session.settings().device),
        progress=session.progress(),
    )
    for line in update_lines(report):
        typer.echo(line)
    if report.verification is not None and not report.verification.is_perfect:
        raise typer.Exit(1)


@app.command()
def status() -> None:
    """List the runs: what they hold, how they were checked, whether they are stale."""
    from skylike.neighbors.store import fetch_runs_with_changes

    with session.engine().connect() as connection:
        runs = fetch_runs_with_changes(connection)
    if not runs:
        typer.echo("There are no neighbor lists yet; run `skylike neighbors build`.")
    for run, changes in runs:
        for line in run_lines(run, changes):
            typer.echo(line)


@app.command()
def publish(run: RunId) -> None:
    """Let searches see a complete run instead of the one they see now."""
    from skylike.neighbors.store import fetch_run, publish_run

    with session.engine().begin() as connection:
        chosen = fetch_run(connection, run)
        publish_run(connection, chosen)
    typer.echo(f"Run {run} is published: searches with encoder {chosen.encoder!r} see it now.")


@app.command()
def drop(run: RunId) -> None:
    """Remove a run that is not published, with its lists."""
    from skylike.neighbors.build import drop_neighbors

    drop_neighbors(session.engine(), run)
    typer.echo(f"Run {run} is gone.")


@app.command()
def verify(
    run: Annotated[
        int | None, typer.Option(help="Run; default: the published one of the active encoder.")
    ] = None,
    sample: Annotated[int, typer.Option(help="Lists to recompute.")] = 200,
    seed: Annotated[int, typer.Option(help="Of the random sample.")] = 0,
    output: _Format = _Output.TABLE,
) -> None:
    """Recompute lists of randomly drawn galaxies in float64; exit status 1 if any is wrong.

    A run is held to the galaxies that it has read: what was added or changed since makes it stale,
    which is told, and not wrong.
    """
    from skylike.neighbors.check import check_json, check_lines, check_run

    checked = check_run(
        session.engine(), run, sample=sample, seed=seed, progress=session.progress()
    )
    as_json = output is _Output.JSON
    typer.echo(check_json(checked) if as_json else "\n".join(check_lines(checked)))
    if not checked.is_right:
        raise typer.Exit(1)


@app.command()
def compare(
    run: RunId,
    other: Annotated[
        int | None,
        typer.Argument(metavar="OTHER", help="Run to compare with; default: the published one."),
    ] = None,
    sample: Annotated[int, typer.Option(help="Lists to compare, drawn at random.")] = 1000,
    all_lists: Annotated[bool, typer.Option("--all", help="Compare all lists.")] = False,
    seed: Annotated[int, typer.Option(help="Of the random sample.")] = 0,
    output: _Format = _Output.TABLE,
) -> None:
    """Tell how much the lists of two runs have in common, also of different encoders."""
    from skylike.neighbors.compare import compare_runs
    from skylike.neighbors.compare_report import comparison_json, comparison_lines

    found = compare_runs(
        session.engine(),
        run,
        other,
        sample=None if all_lists else sample,
        seed=seed,
        progress=session.progress(),
    )
    as_json = output is _Output.JSON
    typer.echo(comparison_json(found) if as_json else "\n".join(comparison_lines(found)))
