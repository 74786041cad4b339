"""Reads and writes what searches cost on this server: the table ``search_calibration``."""

from importlib.metadata import version

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import insert

from skylike.database.tables import search_calibration
from skylike.search.routes.costs import Costs
from skylike.search.store_statements import compact_table

_COLUMNS = {
    "fixed": "seconds_fixed",
    "per_row": "seconds_per_row",
    "per_match": "seconds_per_match",
    "per_vector": "seconds_per_vector",
    "by_list": "seconds_list",
    "refined_share": "refined_share",
    "fast_candidates": "fast_candidates",
    "fast_recall": "fast_recall",
    "fast_seconds": "fast_seconds",
}


def fetch_costs(connection: Connection, encoder_id: int) -> Costs | None:
    """Fetch the costs that were measured with an encoder's embeddings, None before that."""
    row = connection.execute(
        sa.select(search_calibration).where(search_calibration.c.encoder_id == encoder_id)
    ).one_or_none()
    if row is None:
        return None
    return Costs(**{field: getattr(row, column) for field, column in _COLUMNS.items()})


def count_embeddings(connection: Connection, encoder_id: int) -> int:
    """Count the compact vectors of an encoder."""
    found = connection.scalar(sa.select(sa.func.count()).select_from(compact_table(encoder_id)))
    return int(found or 0)


def fetch_some_galaxies(connection: Connection, encoder_id: int, count: int) -> list[int]:
    """Fetch embedded galaxies from all over the sky, always the same ones."""
    c = compact_table(encoder_id)
    shuffled = sa.func.hashint4(c.c.galaxy_id)
    return list(
        connection.scalars(sa.select(c.c.galaxy_id).order_by(shuffled, c.c.galaxy_id).limit(count))
    )


def fetch_software(connection: Connection) -> dict[str, str]:
    """Fetch versions, and the settings of the server that searches depend on."""
    found = {
        "skylike": version("skylike"),
        "postgresql": str(connection.scalar(sa.text("SHOW server_version"))),
        "pgvector": str(
            connection.scalar(
                sa.text("SELECT extversion FROM pg_catalog.pg_extension WHERE extname = 'vector'")
            )
        ),
    }
    for name in ("shared_buffers", "max_parallel_workers_per_gather", "work_mem"):
        found[name] = str(connection.scalar(sa.text(f"SHOW {name}")))
    return found


def write_costs(
    connection: Connection,
    costs: Costs,
    *,
    encoder_id: int,
    n_embeddings: int,
    software: dict[str, str],
) -> None:
    """Record costs in place of those measured before."""
    values = {column: getattr(costs, field) for field, column in _COLUMNS.items()}
    values |= {
        "encoder_id": encoder_id,
        "n_embeddings": n_embeddings,
        "software": software,
        "calibrated_at": sa.func.now(),
    }
    entered = insert(search_calibration).values(values)
    connection.execute(entered.on_conflict_do_update(index_elements=["encoder_id"], set_=values))
