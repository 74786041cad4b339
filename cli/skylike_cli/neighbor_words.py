"""What ``skylike neighbors`` says of runs."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skylike.neighbors.build import BuildReport
    from skylike.neighbors.store import Changes, NeighborRun
    from skylike.neighbors.update import UpdateReport
    from skylike.neighbors.updates.changes import InputChanges
    from skylike.neighbors.verify import Verification


def build_lines(report: "BuildReport") -> list[str]:
    """Say what a build did."""
    run = report.run
    if run.state == "building":
        return [
            f"Run {run.run_id}, encoder {run.encoder!r}: {report.shards_here} of {report.shards} "
            f"shards computed here, in {report.seconds:.0f} s.",
            f"{run.shards_done} of {report.shards} are done: {run.galaxies_done:,} of "
            f"{run.n_galaxies:,} lists. Who does the last one completes the run; "
            "`skylike neighbors build` without --shard does what is left.",
        ]
    lines = [
        f"Run {run.run_id}, encoder {run.encoder!r}: {run.n_galaxies:,} lists of at most {run.k}, "
        f"{_told_window(run)}, in {report.seconds:.0f} s."
    ]
    if report.verification is not None:
        lines.append(f"Sample: {_told_verification(report.verification)}")
    if report.shards_before:
        lines.append(
            f"{report.shards_before} of {report.shards} shards were done already, by a build that "
            "was interrupted or by others."
        )
    if run.n_without_magnitude:
        lines.append(
            f"{run.n_without_magnitude:,} galaxies without mag_{run.band} were compared "
            "with each other."
        )
    if run.n_excluded:
        lines.append(f"{run.n_excluded:,} galaxies have no list: their embedding is zero.")
    return [*lines, _told_state(report)]


def _told_state(report: "BuildReport") -> str:
    run = report.run
    by_whom = "" if report.verification is not None else " Another process has completed it."
    if run.state == "published":
        return f"Published.{by_whom}"
    if report.verification is None or report.verification.is_perfect:
        return f"Not published; `skylike neighbors publish {run.run_id}` does it.{by_whom}"
    return "Not published: the sample differs from the truth. Please report this."


def update_lines(report: "UpdateReport") -> list[str]:
    """Say what an update did."""
    run = report.run
    begin = f"Run {run.run_id}, encoder {run.encoder!r}: "
    if report.verification is None:
        return [
            f"{begin}nothing has changed, its {run.n_galaxies:,} lists are up to date. "
            f"Seen in {report.seconds:.0f} s."
        ]
    if not report.verification.is_perfect:
        return [
            f"{begin}{_told_input(report.changes)}.",
            f"Sample: {_told_verification(report.verification)}",
            "Nothing was changed: the sample differs from the truth. Please report this.",
        ]
    lines = [
        f"{begin}{_told_input(report.changes)}; {report.n_changed:,} lists replaced, "
        f"{run.n_galaxies:,} lists up to date, in {report.seconds:.0f} s.",
        f"Sample: {_told_verification(report.verification)}",
    ]
    if report.shards_before:
        lines.append(
            f"{report.shards_before} of {report.shards} shards were done already, by an update "
            "that was interrupted."
        )
    if report.costs_a_rebuild:
        lines.append("With so many changes `skylike neighbors build` costs no more.")
    return [*lines, f"Revision {run.revision}."]


def _told_input(changes: "InputChanges") -> str:
    counts = [
        (len(changes.new), "new"),
        (len(changes.changed), "changed"),
        (len(changes.gone), "gone"),
    ]
    return f"galaxies {', '.join(f'{number:,} {what}' for number, what in counts)}"


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
    return (
        f"  stale: {', '.join(told)}; `skylike neighbors update` brings it up to date"
        if told
        else ""
    )


def run_lines(run: "NeighborRun", changes: "Changes | None") -> list[str]:
    """Say what a run holds, and what has changed since."""
    from skylike.neighbors.check import recall_line

    lines = [
        f"Run {run.run_id}  {run.state}  encoder {run.encoder!r}"
        f"{' (active)' if run.is_active else ''}  k {run.k}  {_told_window(run)}  "
        f"{'as of' if run.updated_at else 'begun'} {run.started_at:%Y-%m-%d %H:%M} UTC"
        f"{f'  revision {run.revision}' if run.revision else ''}"
    ]
    if run.base_run_id is not None:
        lines.append(
            f"  an update of run {run.base_run_id}, {run.shards_done} shards done; "
            f"`skylike neighbors update --run {run.base_run_id}` goes on"
        )
        return lines
    if run.state == "building":
        lines.append(
            f"  {run.galaxies_done:,} of {run.n_galaxies:,} lists done; "
            "the same build command goes on"
        )
        return lines
    took = (
        f", {(run.finished_at - run.started_at).total_seconds():.0f} s"
        if run.finished_at and not run.updated_at
        else ""
    )
    lines.append(
        f"  {run.n_galaxies:,} lists ({run.n_without_magnitude:,} without magnitude, "
        f"{run.n_excluded:,} galaxies excluded){took}; {recall_line(run)}"
    )
    stale = _told_changes(run, changes) if changes else ""
    return [*lines, stale] if stale else lines
