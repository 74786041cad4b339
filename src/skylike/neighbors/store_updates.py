"""Bringing a run up to date: what its lists say, and the one transaction that changes them.

The lists that differ wait in the tables of the update's own run, which no reader may look into.
"""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from psycopg import sql
from sqlalchemy import Connection

from skylike.database.copy import driver_connection
from skylike.database.partitions import qualified, run
from skylike.database.snapshot import Moment
from skylike.database.tables import PgSnapshot, neighbor_run
from skylike.neighbors import store, store_lists
from skylike.neighbors.similarity_codes import ESCAPE, decoding_error
from skylike.neighbors.store import NeighborRun
from skylike.neighbors.store_lists import LISTS, SIMILARITIES, run_table
from skylike.progress import Task

GalaxyIds = npt.NDArray[np.int32]

_ROWS_AT_ONCE: Final = 1000
"""Rows fetched together: 8 MB of identifiers at k = 999."""

_SEARCH_ERROR: Final = 5e-6
"""A similarity may be this far off before it is coded: the search's bound."""

_ARRAY_HEADER: Final = 20
"""Bytes before the elements of a binary integer[]: 12 of the array, 8 of its only dimension."""


def fetch_floors(
    connection: Connection, run_id: int, task: Task, *, k: int
) -> tuple[GalaxyIds, npt.NDArray[np.float64]]:
    """Fetch how similar a galaxy must at least be to enter each list that is full: reads all codes.

    Lists shorter than k are missing from the answer: anything in their windows enters them.

    Returns
    -------
    tuple
        Galaxies (f,) in any order, and similarities (f,).
    """
    query = sql.SQL("SELECT galaxy_id, first, step, codes FROM {}").format(
        qualified(run_table(SIMILARITIES, run_id))
    )
    full, floors = array("i"), array("d")
    for galaxy_id, first, step, codes in _stream(connection, query, task):
        steps = np.frombuffer(codes, np.uint8)
        if first is not None and 1 + np.count_nonzero(steps < ESCAPE) == k:
            last = first - step * int(steps.sum())
            full.append(galaxy_id)
            floors.append(last - decoding_error(step) - _SEARCH_ERROR)
    return np.array(full, np.int32), np.array(floors, np.float64)


def find_lists_naming(
    connection: Connection, run_id: int, task: Task, *, galaxy_ids: GalaxyIds
) -> GalaxyIds:
    """Find the galaxies whose lists name any of some others, ascending: reads all lists once."""
    if not len(galaxy_ids):
        return np.empty(0, np.int32)
    is_asked = np.zeros(int(galaxy_ids.max()) + 1, np.bool_)
    is_asked[galaxy_ids] = True
    query = sql.SQL("SELECT galaxy_id, array_send(neighbor_ids) FROM {}").format(
        qualified(run_table(LISTS, run_id))
    )
    found = []
    for galaxy_id, binary in _stream(connection, query, task):
        ids = _array(binary)
        if is_asked[ids[ids < len(is_asked)]].any():
            found.append(galaxy_id)
    return np.sort(np.array(found, np.int32))


def fetch_neighbor_ids(
    connection: Connection, run_id: int, galaxy_ids: GalaxyIds
) -> list[GalaxyIds]:
    """Fetch the lists of some galaxies, in their order, without similarities."""
    query = sql.SQL(
        "SELECT galaxy_id, array_send(neighbor_ids) FROM {}"
        " WHERE run_id = {} AND galaxy_id = ANY ({}::integer[])"
    ).format(
        qualified(run_table(LISTS, run_id)), sql.Literal(run_id), sql.Literal(galaxy_ids.tolist())
    )
    with driver_connection(connection).cursor(binary=True) as cursor:
        lists = {galaxy_id: _array(binary) for galaxy_id, binary in cursor.execute(query)}
    return [lists[galaxy_id] for galaxy_id in galaxy_ids.tolist()]


def _array(binary: bytes) -> GalaxyIds:
    if len(binary) <= _ARRAY_HEADER:  # an empty array has no dimension
        return np.empty(0, np.int32)
    return np.frombuffer(binary, ">i4", offset=_ARRAY_HEADER)[1::2].astype(np.int32)


def _stream(connection: Connection, query: sql.Composed, task: Task) -> Iterator[tuple[Any, ...]]:
    driver = driver_connection(connection)
    with driver.cursor("neighbor_update", binary=True) as cursor:
        cursor.execute(query)
        while rows := cursor.fetchmany(_ROWS_AT_ONCE):
            yield from rows
            task.advance(len(rows))


def fetch_update(connection: Connection, base: NeighborRun) -> NeighborRun | None:
    """Fetch the unfinished update of a run."""
    for found in store.fetch_runs(connection, encoder_id=base.encoder_id):
        if found.base_run_id == base.run_id:
            return found
    return None


@dataclass(frozen=True)
class AppliedLists:
    """What an update does to the lists of its base."""

    gone: GalaxyIds
    """Galaxies whose lists go."""

    n_new: int
    """Lists of galaxies that had none."""

    n_changed: int
    """Lists that take the place of others."""


def replace_lists(
    connection: Connection, base: NeighborRun, update_id: int, applied: AppliedLists
) -> None:
    """Put the lists of an update in the place of those of its base; other rows are not touched.

    Readers see the lists of before until the connection's transaction ends.

    Raises
    ------
    RuntimeError
        Not as many lists are there as were computed: a defect.
    """
    for parent, columns in (
        (LISTS, "galaxy_id, neighbor_ids"),
        (SIMILARITIES, "galaxy_id, first, step, codes"),
    ):
        tables = {
            "base": qualified(run_table(parent, base.run_id)),
            "update": qualified(run_table(parent, update_id)),
        }
        removed = run(
            connection,
            "DELETE FROM {base} WHERE run_id = {run_id} AND galaxy_id IN"
            " (SELECT galaxy_id FROM {update} UNION ALL SELECT unnest({gone}::integer[]))",
            run_id=sql.Literal(base.run_id),
            gone=sql.Literal(applied.gone.tolist()),
            **tables,
        )
        written = run(
            connection,
            "INSERT INTO {base} (run_id, {columns}) SELECT {run_id}, {columns} FROM {update}",
            run_id=sql.Literal(base.run_id),
            columns=sql.SQL(columns),
            **tables,
        )
        expected = (
            applied.n_changed + len(applied.gone),
            applied.n_changed + applied.n_new,
        )
        if (removed, written) != expected:
            raise RuntimeError(
                f"{removed} rows of {run_table(parent, base.run_id)} would go and {written} come, "
                f"where {expected[0]} and {expected[1]} were computed"
            )


def prepare_lists(connection: Connection, update_id: int) -> None:
    """Index and analyze the lists of an update: its galaxies are looked up in the base."""
    store_lists.index_lists(connection, update_id)
    for parent in (LISTS, SIMILARITIES):
        run(
            connection, "ANALYZE {table} (galaxy_id)", table=qualified(run_table(parent, update_id))
        )


def finish_update(
    connection: Connection, base: NeighborRun, update: NeighborRun, *, recall_sample: int
) -> None:
    """Let the base run say what the update has read, and remove the update.

    The lists that were compared are all right: its recall is 1.
    """
    connection.execute(
        sa.update(neighbor_run)
        .where(neighbor_run.c.run_id == base.run_id)
        .values(
            n_galaxies=update.n_galaxies,
            n_without_magnitude=update.n_without_magnitude,
            n_excluded=update.n_excluded,
            recall=1.0,
            recall_sample=recall_sample,
            wrong_in_sample=0,
            software=update.software,
            started_at=update.started_at,
            input_snapshot=sa.select(neighbor_run.c.input_snapshot)
            .where(neighbor_run.c.run_id == update.run_id)
            .scalar_subquery(),
            revision=neighbor_run.c.revision + 1,
            updated_at=sa.func.clock_timestamp(),
        )
    )
    store.drop_run(connection, update)


def confirm_run(connection: Connection, run_id: int, moment: Moment, *, n_excluded: int) -> None:
    """Note that at a moment a run's lists were those of its input."""
    connection.execute(
        sa.update(neighbor_run)
        .where(neighbor_run.c.run_id == run_id)
        .values(
            n_excluded=n_excluded,
            started_at=moment.time,
            input_snapshot=sa.cast(moment.snapshot, PgSnapshot),
            updated_at=sa.func.clock_timestamp(),
        )
    )
