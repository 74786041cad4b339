"""A comparison of two runs, in words and as JSON."""

import json
from dataclasses import asdict

from skylike.neighbors.compare import Comparison, Setting
from skylike.neighbors.store import NeighborRun


def comparison_lines(found: Comparison) -> list[str]:
    """Say for people what two runs have in common."""
    first, second = found.first, found.second
    lines = [
        f"Run {first.run_id} ({first.state}) beside run {second.run_id} ({second.state}): "
        f"{found.common:,} galaxies in both, {found.only_first:,} only in run {first.run_id}, "
        f"{found.only_second:,} only in run {second.run_id}."
    ]
    if found.identical is not None:
        drawn = "all" if found.compared == found.common else f"{found.compared:,} drawn at random"
        lines.append(f"Mean overlap of the lists ({drawn}):")
        lines += [
            f"  first {overlap.depth:<6,} {overlap.mean:.4f}"
            + (f" +- {overlap.standard_error:.4f}" if overlap.standard_error else "")
            for overlap in found.overlaps
        ]
        lines.append(f"  identical    {found.identical:.4f} of the lists")
    if not found.settings:
        lines.append("Settings, software and input are the same.")
        return lines
    lines.append("Different:")
    return [*lines, *(f"  {_told(setting)}" for setting in found.settings)]


def _told(setting: Setting) -> str:
    if setting.name == "input":  # digests tell people nothing
        return "input: other embeddings, magnitudes or galaxies"
    first, second = ("none" if v is None else v for v in (setting.first, setting.second))
    return f"{setting.name}: {first} / {second}"


def comparison_json(found: Comparison) -> str:
    """Write the same as JSON."""
    return json.dumps(
        {
            "first": _run(found.first),
            "second": _run(found.second),
            "common": found.common,
            "only_first": found.only_first,
            "only_second": found.only_second,
            "compared": found.compared,
            "overlaps": [asdict(overlap) for overlap in found.overlaps],
            "identical": found.identical,
            "settings": [asdict(setting) for setting in found.settings],
        },
        indent=2,
        default=str,
    )


def _run(run: NeighborRun) -> dict[str, object]:
    return {"run": run.run_id, "encoder": run.encoder, "state": run.state, "k": run.k}
