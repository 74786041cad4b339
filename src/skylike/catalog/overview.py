"""What the catalog holds, for people and as JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import Engine

from skylike.catalog.report import counted
from skylike.catalog.store_derived import DerivedColumn, fetch_definitions
from skylike.catalog.store_reading import LoadOverview, SurveyOverview, fetch_loads, fetch_surveys
from skylike.database.engine import connect


@dataclass(frozen=True)
class CatalogOverview:
    """What the catalog holds and where it came from."""

    surveys: tuple[SurveyOverview, ...]
    loads: tuple[LoadOverview, ...]
    """The last ones, newest first."""

    derived: tuple[DerivedColumn, ...]
    """Columns that users have derived from others."""


def fetch_overview(engine: Engine, *, loads: int) -> CatalogOverview:
    """Read what the catalog holds, with the last ``loads`` loads."""
    with connect(engine) as connection:
        return CatalogOverview(
            tuple(fetch_surveys(connection)),
            tuple(fetch_loads(connection, limit=loads)),
            tuple(fetch_definitions(connection)),
        )


def overview_lines(overview: CatalogOverview) -> Sequence[str]:
    """Say in lines for people what the catalog holds."""
    lines: list[str] = []
    if not overview.surveys:
        lines.append("The catalog is empty; load galaxies with `skylike catalog load FILE...`.")
    for survey in overview.surveys:
        bands = " ".join(survey.bands) or "none"
        galaxies = counted(survey.n_galaxies, "galaxy", "galaxies")
        lines.append(f"{survey.name}: {galaxies}, bands {bands}")
        lines += [
            f"  mag_{band}: {brightest:.2f} to {faintest:.2f} ({n:,} galaxies)"
            for band, (brightest, faintest, n) in survey.magnitudes.items()
        ]
    if overview.loads:
        lines += ["", "Last loads:"]
    for load in overview.loads:
        lines.append(
            f"  {load.loaded_at:%Y-%m-%d %H:%M} UTC  {load.file} into {load.survey}: "
            f"{load.rows_read:,} rows, {load.rows_inserted:,} new, {load.rows_updated:,} changed, "
            f"{load.rows_unchanged:,} unchanged, magnitudes {load.magnitudes}"
        )
        if load.selection is not None:
            lines.append(f"    selection {load.selection}: {load.not_selected:,} not selected")
        lines += [f"    left out, {why}: {n:,}" for why, n in sorted(load.rows_rejected.items())]
    if overview.derived:
        lines += ["", "Derived columns:"]
    for column in overview.derived:
        unit = f" [{column.unit}]" if column.unit else ""
        about = f": {column.description}" if column.description else ""
        lines.append(f"  {column.name} = {column.expression}{unit}{about}")
    return lines


def overview_json(overview: CatalogOverview) -> Sequence[str]:
    """Return the overview as one JSON document."""
    document = asdict(overview)
    for load, row in zip(overview.loads, document["loads"], strict=True):
        row["not_selected"] = load.not_selected
        row["loaded_at"] = load.loaded_at.isoformat()
    for column, row in zip(overview.derived, document["derived"], strict=True):
        row["created_at"] = column.created_at.isoformat()
    return [json.dumps(document, indent=2)]
