"""The table of ``skylike evaluate labels``."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType

    from skylike.evaluation.label_metrics import Score, Scores
    from skylike.evaluation.labels import LabelReport

_HEADINGS = {
    "precision@1": "p@1",
    "precision@10": "p@10",
    "precision@100": "p@100",
    "ndcg@10": "nDCG",
    "1_neighbor_accuracy": "1-NN",
    "10_neighbor_accuracy": "10-NN",
    "linear_probe_accuracy": "probe",
}
_WITH_INTERVAL = {"precision@10"}


def report_parts(report: "LabelReport") -> "Iterator[RenderableType]":
    """Yield a report for people, part by part."""
    yield _images_line(report)
    for name, n in report.n_by_class.items():
        rows = [(m.method.name, m.scores.classes[name]) for m in report.methods]
        yield _table(f"{name} ({n:,} images)", rows)
    if report.n_by_class:
        rows = [(m.method.name, _mean_scores(m.scores.overall)) for m in report.methods]
        yield _table("Mean over classes", rows)
        yield _accuracy_table(report)
    for name, n in report.n_queries.items():
        rows = [(m.method.name, m.scores.fractions[name]) for m in report.methods]
        yield _table(f"{name} ({n:,} queries, graded relevance)", rows, interval={"ndcg@10"})
    yield (
        "p@k: share of the class among the first k; nDCG: of the first 10; 1-NN, 10-NN and probe: "
        "right classes by the nearest, by a vote of 10, by a linear classifier. +-: half the 95 % "
        "interval from resampling the queries; the images searched among stay the same. "
        f"{report.seconds:,.0f} s in all."
    )


def _images_line(report: "LabelReport") -> str:
    left_out = [f"{n:,} {reason}" for reason, n in report.left_out.items()]
    told = f" Left out: {'; '.join(left_out)}." if left_out else ""
    failed = [
        f"{m.method.name} gives no vector of {m.n_without_direction:,} images (counted as misses)."
        for m in report.methods
        if m.n_without_direction
    ]
    return " ".join([f"{report.n_images:,} labeled images.{told}", *failed])


def _mean_scores(overall: "Scores") -> "Scores":
    """Return the means over classes under the names that a class has them by."""
    found: Scores = {}
    for name in _HEADINGS:
        ranked, told = overall.get(f"mean_{name}"), overall.get(f"balanced_{name}")
        found[name] = ranked if ranked is not None else told
    return found


def _table(
    title: str,
    rows: "list[tuple[str, Scores]]",
    *,
    interval: set[str] = _WITH_INTERVAL,
) -> "RenderableType":
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    names = [name for name in _HEADINGS if any(scores.get(name) for _, scores in rows)]
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),  # 80 columns hold it
    )
    table.add_column("method", min_width=10, overflow="fold")
    for name in names:
        table.add_column(_HEADINGS[name], justify="right", no_wrap=True)
    for method, scores in rows:
        table.add_row(method, *(_cell(scores.get(name), name in interval) for name in names))
    table.add_section()
    first = [rows[0][1].get(name) for name in names]
    table.add_row("chance", *("-" if s is None else f"{s.chance:.3f}" for s in first))
    if any(s is not None and s.ceiling < 1 for s in first):
        table.add_row("best possible", *("-" if s is None else f"{s.ceiling:.3f}" for s in first))
    return table


def _accuracy_table(report: "LabelReport") -> "RenderableType":
    rows = [(m.method.name, m.scores.overall) for m in report.methods]
    return _table(
        "All images: share of right classes",
        rows,
        interval={name for name in _HEADINGS if name.endswith("accuracy")},
    )


def _cell(score: "Score | None", with_interval: bool) -> str:
    if score is None:
        return "-"
    found = score.estimate
    half = f" +-{(found.high - found.low) / 2:.3f}" if with_interval else ""
    return f"{found.value:.3f}{half}"
