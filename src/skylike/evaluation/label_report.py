"""The answer of an evaluation by labels, as plain values for JSON."""

import json
import math
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import Final

from skylike.errors import SettingsError
from skylike.evaluation.bootstrap import RESAMPLES
from skylike.evaluation.label_metrics import Score, Scores
from skylike.evaluation.labels import LabelReport, MeasuredMethod
from skylike.evaluation.probes import FOLDS
from skylike.files import replaced_file

SCHEMA: Final = "skylike-evaluate-labels-1"
"""Changes when a key is renamed or means something else; new keys may appear under it."""

_PACKAGES: Final = ("skylike", "numpy", "scipy", "torch")


def report_values(report: LabelReport) -> dict[str, object]:
    """Return the report as plain values; what does not exist (no number) is None."""
    question = report.question
    return {
        "schema": SCHEMA,
        "images": {
            "sources": [str(path) for path in question.images],
            "labels": str(question.labels),
            "n": report.n_images,
            "n_by_class": dict(report.n_by_class),
            "n_queries_by_fraction": dict(report.n_queries),
            "left_out": dict(report.left_out),
        },
        "settings": {
            "label_column": question.columns.label,
            "fraction_columns": list(question.columns.fractions),
            "votes_column": question.columns.votes,
            "query_fraction": question.query_fraction,
            "minimum_votes": question.minimum_votes,
            "ignored": list(question.ignored),
            "seed": question.seed,
            "resamples": RESAMPLES,
            "interval": 0.95,
            "probe_folds": FOLDS,
        },
        "methods": [_method(measured) for measured in report.methods],
        "versions": {
            "python": python_version(),
            **{package: version(package) for package in _PACKAGES},
        },
        "seconds": round(report.seconds, 3),
    }


def report_json(report: LabelReport) -> str:
    """Return the report as JSON."""
    return json.dumps(report_values(report), indent=2, allow_nan=False, ensure_ascii=False)


def write_report(report: LabelReport, path: Path) -> None:
    """Write the report as JSON, whole or not at all.

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


def _method(measured: MeasuredMethod) -> dict[str, object]:
    scores = measured.scores
    return {
        "name": measured.method.name,
        "kind": measured.method.kind,
        "about": dict(measured.method.about),
        "dimension": measured.dimension,
        "n_without_direction": measured.n_without_direction,
        "overall": _scores(scores.overall),
        "classes": {name: _scores(of) for name, of in scores.classes.items()},
        "fractions": {name: _scores(of) for name, of in scores.fractions.items()},
        "seconds": {name: round(spent, 3) for name, spent in measured.seconds.items()},
    }


def _scores(scores: Scores) -> dict[str, Mapping[str, float | int | None] | None]:
    return {name: None if score is None else _score(score) for name, score in scores.items()}


def _score(score: Score) -> dict[str, float | int | None]:
    estimate = score.estimate
    return {
        "value": _number(estimate.value),
        "low": _number(estimate.low),
        "high": _number(estimate.high),
        "n": estimate.n,
        "chance": _number(score.chance),
        "ceiling": _number(score.ceiling),
    }


def _number(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None
