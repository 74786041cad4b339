"""Reports of augmentations, window and lenses: lines for people, and JSON."""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final

from skylike.errors import SettingsError
from skylike.evaluation.augmentations import AugmentationReport, CopyTest
from skylike.evaluation.bootstrap import RESAMPLES, Estimate
from skylike.evaluation.leave_one_out import Retrieval
from skylike.evaluation.lenses import LensReport
from skylike.evaluation.subject import subject_line
from skylike.evaluation.window import WindowReport
from skylike.evaluation.window_overlaps import WindowOverlap
from skylike.files import replaced_file

Report = AugmentationReport | WindowReport | LensReport

SCHEMAS: Final[Mapping[type[Report], str]] = {
    AugmentationReport: "skylike-evaluate-augmentations-1",
    WindowReport: "skylike-evaluate-window-1",
    LensReport: "skylike-evaluate-lenses-1",
}
"""Names of the JSON: one changes when a key is renamed or means something else."""


def report_json(report: Report) -> str:
    """Write all of a report as JSON; null stands for what is not there."""
    told = {
        "schema": SCHEMAS[type(report)],
        "skylike": version("skylike"),
        "resamples": RESAMPLES,
        **dataclasses.asdict(report),
    }
    return json.dumps(_plain(told), indent=2, allow_nan=False)


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def check_report_file(path: Path) -> None:
    """Find out before long work that a report could not be written.

    Raises
    ------
    SettingsError
        Its folder is not there, or it is a folder itself.
    """
    if path.is_dir() or not path.parent.is_dir():
        raise SettingsError(f"{path}: cannot be written; give a file in a folder that is there")


def write_report(report: Report, path: Path) -> None:
    """Write a report as JSON, whole or not at all.

    Raises
    ------
    SettingsError
        It cannot be written.
    """
    try:
        with replaced_file(path) as part:
            part.write_text(report_json(report) + "\n", encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{path}: cannot be written ({error.strerror})") from error


def report_lines(report: Report) -> list[str]:
    """Say a report for people."""
    lines = [subject_line(report.encoder)]
    if isinstance(report, AugmentationReport):
        return lines + _augmentation_lines(report)
    if isinstance(report, WindowReport):
        return lines + _window_lines(report)
    return lines + _lens_lines(report)


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lay rows out in columns: the first to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  " + "  ".join(cells).rstrip())
    return lines


def _share(found: Estimate) -> str:
    return f"{found.value:.3f} ({found.low:.3f}-{found.high:.3f})"


def _rank(found: Estimate) -> str:
    return f"{found.value:,.0f} ({found.low:,.0f}-{found.high:,.0f})"


def _augmentation_lines(report: AugmentationReport) -> list[str]:
    results = report.results
    copies = "A copy" if report.copies == 1 else f"{report.copies} copies"
    lines = [
        f"{copies} of each of {results.sample:,} images among {results.among:,} originals "
        f"({report.source}; {results.images:,} there, seed {report.seed}); "
        "95 % intervals in parentheses.",
        *report.notes,
    ]
    if results.without_embedding:
        lines.append(f"{results.without_embedding:,} images show nothing and are left out.")
    kinds = [(t.recipe, t.layer) for t in results.tests]
    for recipe, layer in dict.fromkeys(kinds):
        tests = [t for t in results.tests if (t.recipe, t.layer) == (recipe, layer)]
        for place in range(len(tests[0].directions)):
            lines += _direction_lines(tests, place)
    return lines


def _direction_lines(tests: Sequence[CopyTest], place: int) -> list[str]:
    first = tests[0]
    one = first.directions[place]
    rows = [("augmentation", "recall@1", "recall@10", "median rank")]
    for test in tests:
        found = test.directions[place]
        rows.append(
            (
                test.augmentation,
                _share(found.recall_1),
                _share(found.recall_10),
                _rank(found.median_rank),
            )
        )
    rows.append(
        ("chance", f"{one.chance_1:.4f}", f"{one.chance_10:.4f}", f"{one.chance_median_rank:,.1f}")
    )
    head = f"Recipe {first.recipe}, {first.layer} (d = {first.dimension}), {one.direction}:"
    return [head, *_table(rows)]


def _window_lines(report: WindowReport) -> list[str]:
    among = f"{report.galaxies:,} galaxies"
    if report.galaxies < report.embedded:
        among += f" drawn from {report.embedded:,}"
    lines = [
        f"Window of +-{report.width:g} mag in {report.band}: lists of {report.sample:,} galaxies "
        f"among {among} ({report.without_magnitude:,} without a magnitude, seed {report.seed}); "
        "95 % intervals in parentheses."
    ]
    if report.run is not None:
        state = "published" if report.is_run_published else "not published"
        lines.append(
            f"Stored lists of run {report.run} ({state}); {report.without_list:,} of the sample "
            "have none."
        )
    lines.append("Share of the first k of the full search that the window keeps:")
    lines += _overlap_table(report.overlaps)
    for each in report.bins:
        name = "without a magnitude" if each.low is None else f"{each.low:g} to {each.high:g} mag"
        lines.append(f"{name} ({each.n:,}):")
        lines += _overlap_table(each.overlaps)
    return lines


def _overlap_table(overlaps: Sequence[WindowOverlap]) -> list[str]:
    with_run = overlaps[0].run_overlap is not None
    rows = [("k", "overlap", *(("of the run",) if with_run else ()), "chance")]
    for found in overlaps:
        of_run = (_share(found.run_overlap),) if found.run_overlap is not None else ()
        rows.append((f"{found.k:,}", _share(found.overlap), *of_run, f"{found.chance:.3f}"))
    return _table(rows)


def _lens_lines(report: LensReport) -> list[str]:
    what = f", those with {report.label_column} {report.value}" if report.label_column else ""
    lines = [
        f"{report.labels}: {report.rows:,} rows{what} name {report.matched:,} galaxies; "
        f"{report.known:,} of them are looked for among {report.others:,} others "
        f"(seed {report.seed}); 95 % intervals in parentheses."
    ]
    lines += [f"  left out, {n:,} rows {reason}" for reason, n in report.left_out.items()]
    if report.without_embedding:
        lines.append(f"  left out, {report.without_embedding:,} galaxies without an embedding")
    if report.set_aside:
        lines.append(f"  left out, {report.set_aside:,} galaxies beyond the most that are taken")
    for retrieval in report.retrievals:
        lines += _retrieval_lines(retrieval, report.thin)
    return lines


def _retrieval_lines(found: Retrieval, thin: float | None) -> list[str]:
    drawn = f", thinned to {thin:g}: mean of {found.draws:,} draws" if thin is not None else ""
    rows = [
        ("recall at", "mean", "median", "best", "chance"),
        *(
            (
                f"{recall.k:,}",
                _share(recall.mean),
                f"{recall.median:.3f}",
                f"{recall.best:.3f}",
                f"{recall.chance:.4f}",
            )
            for recall in found.recalls
        ),
    ]
    return [
        f"{found.way} ({found.known:,} known among {found.others:,}{drawn}):",
        *_table(rows),
        f"  first one found at rank {_rank(found.first_rank)} in the median, "
        f"{found.first_rank_best:,} at best, {found.first_rank_chance:,.1f} by chance",
    ]
