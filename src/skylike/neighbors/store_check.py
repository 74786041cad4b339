"""What a run has read and which lists it holds: the identifiers that verification starts from."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from psycopg import sql
from sqlalchemy import Connection

from skylike.database.copy import iter_fixed_rows
from skylike.database.partitions import qualified, relation_exists
from skylike.neighbors.staleness import RunInput
from skylike.neighbors.store import NeighborRun
from skylike.neighbors.store_lists import LISTS, run_table

GalaxyIds = npt.NDArray[np.int32]


def fetch_list_ids(connection: Connection, run_id: int, *, of: str = LISTS) -> GalaxyIds:
    """Fetch the galaxies that have a list in a run, ascending.

    Parameters
    ----------
    of
        ``SIMILARITIES`` fetches those with a list of similarities; the same ones, unless somebody
        has tampered with the tables.
    """
    query = sql.SQL("SELECT galaxy_id FROM {} ORDER BY galaxy_id").format(
        qualified(run_table(of, run_id))
    )
    return _columns(connection, query, [("galaxy_id", ">i4")])["galaxy_id"].astype(np.int32)


def fetch_input(connection: Connection, run: NeighborRun, list_ids: GalaxyIds) -> RunInput:
    """Fetch what a run has read, as far as the database still knows.

    Parameters
    ----------
    list_ids
        Galaxies with a list, ascending: the input of a run that has kept no hashes.
    """
    table = f"neighbor_statistic_r{run.run_id}"
    if relation_exists(connection, table):
        query = sql.SQL("SELECT galaxy_id, input_hash FROM {} ORDER BY galaxy_id").format(
            qualified(table)
        )
        rows = _columns(connection, query, [("galaxy_id", ">i4"), ("input_hash", ">i8")])
        if len(rows):
            ids = rows["galaxy_id"].astype(np.int32)
            return RunInput(ids, rows["input_hash"].astype(np.int64), np.empty(0, np.int32))
    return RunInput(list_ids, None, _fetch_newer_ids(connection, run))


def _fetch_newer_ids(connection: Connection, run: NeighborRun) -> GalaxyIds:
    query = sql.SQL(
        "SELECT e.galaxy_id FROM {embedding} AS e JOIN {galaxy} AS g ON g.galaxy_id = e.galaxy_id"
        " WHERE e.encoder_id = {encoder_id}"
        " AND (e.embedded_at > {started_at} OR g.updated_at > {started_at}) ORDER BY e.galaxy_id"
    ).format(
        embedding=qualified("embedding"),
        galaxy=qualified("galaxy"),
        encoder_id=sql.Literal(run.encoder_id),
        started_at=sql.Literal(run.started_at),
    )
    return _columns(connection, query, [("galaxy_id", ">i4")])["galaxy_id"].astype(np.int32)


def _columns(
    connection: Connection, query: sql.Composed, columns: Sequence[tuple[str, npt.DTypeLike]]
) -> npt.NDArray[np.void]:
    parts = [
        rows[[name for name, _ in columns]]
        for rows in iter_fixed_rows(connection, query, columns, batch_rows=65_536)
    ]
    return np.concatenate(parts) if parts else np.empty(0, np.dtype(list(columns)))
