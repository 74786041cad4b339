"""``skylike neighbors``: Compute and publish neighbor lists."""

from typing import TYPE_CHECKING, Annotated

import typer

from skylike_cli import session

if TYPE_CHECKING:
    from skylike.neighbors.build import BuildReport
    from skylike.neighbors.store import Changes, NeighborRun
    from skylike.neighbors.verify import Verification

app = typer.Typer(help="Compute and publish neighbor lists.", no_args_is_help=True)

RunId = Annotated[int, typer.Argument(help="Number of the run, from `skylike neighbors status`.")]


@app.command()
def build(
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
) -> None:
    """Find the exact nearest neighbors of all galaxies; a killed build goes on where it was."""
    from skylike.neighbors.build import NeighborSettings, build_neighbors
    from skylike.neighbors.faiss_library import choose_search_device
    from skylike.neighbors.search import SearchPlan

    settings = NeighborSettings(k=k, band=band if window else None, width=width if window else None)
    plan = SearchPlan(k=k, device=choose_search_device(device or session.settings().device))
    report = build_neighbors(
        session.engine(),
        encoder,
        settings=settings,
        plan=plan,
        work_folder=session.settings().home / "jobs",
        publish=publish,
        progress=session.progress(),
    )
    for line in _told_build(report):
        typer.echo(line)
    if not report.verification.is_perfect:
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
        for line in _told_run(run, changes):
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
) -> None:
    """Recompute lists of randomly drawn galaxies in float64; exit status 1 if any differs."""
    from skylike.neighbors.check import check_run

    checked = check_run(
        session.engine(), run, sample=sample, seed=seed, progress=session.progress()
    )
    typer.echo(f"Run {checked.run.run_id}: {_told_verification(checked.verification)}")
    stale = _told_changes(checked.run, checked.changes)
    if stale:
        typer.echo(stale)
    if not checked.verification.is_perfect:
        raise typer.Exit(1)


def _told_build(report: "BuildReport") -> list[str]:
    run = report.run
    lines = [
        f"Run {run.run_id}, encoder {run.encoder!r}: {run.n_galaxies:,} lists of at most {run.k}, "
        f"{_told_window(run)}, in {report.seconds:.0f} s.",
        f"Sample: {_told_verification(report.verification)}",
    ]
    if report.shards_before:
        lines.append(
            f"{report.shards_before} of {report.shards} shards were left by an interrupted build."
        )
    if run.n_without_magnitude:
        lines.append(
            f"{run.n_without_magnitude:,} galaxies without mag_{run.band} were compared "
            "with each other."
        )
    if run.n_excluded:
        lines.append(f"{run.n_excluded:,} galaxies have no list: their embedding is zero.")
    if run.state == "published":
        lines.append("Published.")
    elif report.verification.is_perfect:
        lines.append(f"Not published; `skylike neighbors publish {run.run_id}` does it.")
    else:
        lines.append("Not published: the sample differs from the truth. Please report this.")
    return lines


def _told_window(run: "NeighborRun") -> str:
    return f"+-{run.width:g} mag in {run.band}" if run.band else "no magnitude window"


def _told_verification(result: "Verification") -> str:
    return (
        f"{result.galaxies} lists against float64: recall {result.recall:.6f}, "
        f"{result.order_errors} order errors, {result.window_violations} window violations, "
        f"similarities within {result.similarity_error:.1e}."
    )


def _told_changes(run: "NeighborRun", changes: "Changes") -> str:
    gone = (run.n_galaxies or 0) + (run.n_excluded or 0) - changes.embeddings
    parts = [
        (changes.new_embeddings, "embeddings are newer"),
        (changes.changed_galaxies, "catalog rows have changed"),
        (max(gone + changes.new_embeddings, 0), "embeddings are gone or replaced"),
    ]
    told = [f"{number:,} {what}" for number, what in parts if number]
    return f"  stale: {', '.join(told)}; build again to bring it up to date" if told else ""


def _told_run(run: "NeighborRun", changes: "Changes | None") -> list[str]:
    lines = [
        f"Run {run.run_id}  {run.state}  encoder {run.encoder!r}"
        f"{' (active)' if run.is_active else ''}  k {run.k}  {_told_window(run)}  "
        f"begun {run.started_at:%Y-%m-%d %H:%M} UTC"
    ]
    if run.state == "building":
        lines.append(
            f"  {run.galaxies_done:,} of {run.n_galaxies:,} lists done; "
            "the same build command goes on"
        )
        return lines
    took = (
        f", {(run.finished_at - run.started_at).total_seconds():.0f} s" if run.finished_at else ""
    )
    lines.append(
        f"  {run.n_galaxies:,} lists ({run.n_without_magnitude:,} without magnitude, "
        f"{run.n_excluded:,} galaxies excluded){took}; "
        f"recall {run.recall:.6f} in a sample of {run.recall_sample}"
    )
    stale = _told_changes(run, changes) if changes else ""
    return [*lines, stale] if stale else lines
