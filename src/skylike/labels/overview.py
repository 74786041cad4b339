"""``skylike label list``: what there is of each label, for people and as JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import Engine

from skylike.catalog.report import counted
from skylike.catalog.store_labels import fetch_names, no_such_label
from skylike.database.engine import connect
from skylike.errors import NotFoundError
from skylike.labels import store
from skylike.labels.names import check_name
from skylike.labels.store import LabelOverview


def fetch_labels(engine: Engine, name: str | None = None) -> list[LabelOverview]:
    """Fetch what there is of all labels, or of one.

    Raises
    ------
    NotFoundError
        There is no such label.
    """
    if name is not None:
        check_name(name)
    with connect(engine) as connection:
        found = store.fetch_overview(connection, name)
        if name is not None and not found:
            raise NotFoundError(no_such_label(name, fetch_names(connection)))
    return found


def overview_lines(labels: Sequence[LabelOverview]) -> list[str]:
    """Say for people what there is of each label."""
    if not labels:
        return ["There is no label yet; add one with `skylike label add NAME --galaxy ID`."]
    lines = []
    for label in labels:
        counts = (
            f"{counted(label.n_members, 'member')}, {counted(label.n_not_members, 'not-member')}"
        )
        if label.n_disputed:
            counts += f", {label.n_disputed:,} disputed"
        by = f" (by {', '.join(label.authors)})" if label.authors else ""
        lines.append(f"{label.name}: {counts}{by}")
        lines += [f"  {line}" for line in _classifier_lines(label)]
    return lines


def _classifier_lines(label: LabelOverview) -> list[str]:
    if label.trained_at is None:
        return []
    lines = [
        f"score_{label.name}: average precision {label.average_precision:.3f} "
        f"(chance {label.chance:.3f}), ROC AUC {label.roc_auc:.3f}, "
        f"precision of the best {label.top_n} {label.precision_top_n:.3f}, cross-validated",
        f"trained {label.trained_at:%Y-%m-%d %H:%M} on "
        f"{counted(label.trained_members or 0, 'member')}, "
        f"{counted(label.trained_not_members or 0, 'not-member')} and "
        f"{counted(label.n_random or 0, 'random galaxy', 'random galaxies')}, "
        f"encoder {label.encoder}; {counted(label.n_scored or 0, 'galaxy', 'galaxies')} scored",
    ]
    return lines + [f"note: {note}" for note in stale_notes(label)]


def stale_notes(label: LabelOverview) -> list[str]:
    """Say what changed since a classifier was trained; nothing without one."""
    if label.trained_at is None:
        return []
    again = f"run `skylike label train {label.name}` again"
    notes = []
    if label.embeddings_are_newer:
        notes.append(f"scores are older than embeddings; {again}")
    if not label.is_active:
        notes.append(f"encoder {label.encoder} is not the active one; {again} for that one")
    if label.labeled_at is None or label.labeled_at > label.trained_at:
        notes.append(f"labels changed after the training; {again}")
    return notes


def overview_json(labels: Sequence[LabelOverview]) -> str:
    """Write what there is of each label as JSON, with notes on what is out of date."""
    return json.dumps(
        [{**asdict(label), "notes": stale_notes(label)} for label in labels],
        indent=1,
        default=_plain,
    )


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(type(value).__name__)
