"""The table ``neighbor_run``: what runs there are, and which one readers see.

A run's lists go into a table of their own (:mod:`skylike.neighbors.store_lists`) that becomes a
partition of ``neighbor_list`` when the run is complete; readers' view follows when it is published.
"""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from skylike.database.sql_files import statement
from skylike.database.tables import PgSnapshot, neighbor_run
from skylike.errors import NeighborRunNotFoundError, SettingsError
from skylike.neighbors import store_lists, store_statistics
from skylike.neighbors.store_locks import take_turn


@dataclass(frozen=True)
class NeighborRun:
    """A row of ``neighbor_run``, with the name of its encoder and what is done of it."""

    run_id: int
    encoder_id: int
    encoder: str
    is_active: bool
    k: int
    band: str | None
    width: float | None
    state: str
    n_galaxies: int | None
    n_without_magnitude: int | None
    n_excluded: int | None
    recall: float | None
    recall_sample: int | None
    wrong_in_sample: int | None
    """Lists of the sample with anything wrong; None for runs of releases that did not keep it."""

    software: dict[str, object]
    started_at: datetime
    finished_at: datetime | None
    published_at: datetime | None
    base_run_id: int | None
    """Of an update under way: the run that it brings up to date."""

    revision: int
    """How many times updates have changed its lists."""

    updated_at: datetime | None
    shards_done: int
    galaxies_done: int


@dataclass(frozen=True)
class Changes:
    """What has changed since a run read its input."""

    embeddings: int
    """There now."""

    new_embeddings: int
    """Newer than the run."""

    changed_galaxies: int
    """Galaxies whose catalog row is newer than the run, the embedding older."""


def fetch_runs(connection: Connection, *, encoder_id: int | None = None) -> list[NeighborRun]:
    """Fetch all runs, or those of an encoder, oldest first."""
    rows = connection.execute(
        statement("neighbors_runs"), {"run_id": None, "encoder_id": encoder_id}
    )
    return [NeighborRun(**row._asdict()) for row in rows]


def fetch_run(connection: Connection, run_id: int) -> NeighborRun:
    """Fetch a run.

    Raises
    ------
    NeighborRunNotFoundError
        It does not exist.
    """
    parameters = {"run_id": run_id, "encoder_id": None}
    row = connection.execute(statement("neighbors_runs"), parameters).one_or_none()
    if row is None:
        raise NeighborRunNotFoundError(
            f"there is no neighbor run {run_id}; see `skylike neighbors status`"
        )
    return NeighborRun(**row._asdict())


def fetch_published_run(connection: Connection, encoder_id: int | None = None) -> NeighborRun:
    """Fetch the run that readers see, of an encoder or (None) of the active one.

    Raises
    ------
    NeighborRunNotFoundError
        None is published.
    """
    for run in fetch_runs(connection, encoder_id=encoder_id):
        if run.state == "published" and (encoder_id is not None or run.is_active):
            return run
    raise NeighborRunNotFoundError(
        "no neighbor run of this encoder is published; run `skylike neighbors build` first"
    )


def fetch_changes(connection: Connection, run: NeighborRun) -> Changes:
    """Count what has changed since a run read its input."""
    parameters = {"run_id": run.run_id, "encoder_id": run.encoder_id}
    return Changes(**connection.execute(statement("neighbors_stale"), parameters).one()._asdict())


def fetch_runs_with_changes(connection: Connection) -> list[tuple[NeighborRun, Changes | None]]:
    """Fetch all runs, those whose lists readers see or could see with what has changed since."""
    return [
        (run, fetch_changes(connection, run) if run.state in {"complete", "published"} else None)
        for run in fetch_runs(connection)
    ]


def create_run(connection: Connection, values: dict[str, object]) -> NeighborRun:
    """Enter a run in state ``building`` and make the table of its lists, closed to readers."""
    seen = sa.cast(sa.literal(values.get("input_snapshot"), sa.Text), PgSnapshot)
    entered = {**values, "state": "building", "input_snapshot": seen}
    run_id = connection.execute(
        sa.insert(neighbor_run).values(entered).returning(neighbor_run.c.run_id)
    ).scalar_one()
    store_lists.create_table(connection, run_id)
    return fetch_run(connection, run_id)


def complete_run(
    connection: Connection, run_id: int, *, recall: float, recall_sample: int, wrong: int
) -> None:
    """Make lists and statistics partitions that are read, and set the run's state to ``complete``.

    Raises
    ------
    ConflictError
        Readers hold the tables for longer than the lock timeout.
    """
    store_lists.attach_lists(connection, run_id)
    store_statistics.attach_statistics(connection, run_id)
    connection.execute(
        sa.update(neighbor_run)
        .where(neighbor_run.c.run_id == run_id)
        .values(
            state="complete",
            finished_at=sa.func.clock_timestamp(),
            recall=recall,
            recall_sample=recall_sample,
            wrong_in_sample=wrong,
        )
    )


def publish_run(connection: Connection, run: NeighborRun) -> None:
    """Let readers see a run; the one before is superseded, and stays until it is dropped.

    Both in the caller's transaction: no reader sees none or two.

    Raises
    ------
    SettingsError
        The run is not complete, or lists of its sample are wrong.
    """
    if run.base_run_id is not None:
        raise SettingsError(
            f"neighbor run {run.run_id} is an unfinished update of run {run.base_run_id}; "
            f"go on with `skylike neighbors update --run {run.base_run_id}`"
        )
    if run.state == "building":
        raise SettingsError(
            f"neighbor run {run.run_id} is not complete; go on with the `skylike neighbors build` "
            "that began it"
        )
    if (run.recall is not None and run.recall < 1) or run.wrong_in_sample:
        raise SettingsError(
            f"neighbor run {run.run_id} has wrong lists in its sample; drop it with "
            f"`skylike neighbors drop {run.run_id}`, build again, and please report this"
        )
    take_turn(connection, run.encoder)
    # In this order: a unique index lets an encoder have one published run at any moment.
    connection.execute(
        sa.update(neighbor_run)
        .where(neighbor_run.c.encoder_id == run.encoder_id, neighbor_run.c.state == "published")
        .values(state="superseded")
    )
    connection.execute(
        sa.update(neighbor_run)
        .where(neighbor_run.c.run_id == run.run_id)
        .values(state="published", published_at=sa.func.now())
    )


def drop_run(connection: Connection, run: NeighborRun) -> None:
    """Remove a run, its lists and their statistics.

    Raises
    ------
    SettingsError
        Readers see it.
    ConflictError
        Readers hold the tables for longer than the lock timeout.
    """
    if run.state == "published":
        raise SettingsError(
            f"neighbor run {run.run_id} is published; publish another before dropping it"
        )
    for update_id in connection.scalars(
        sa.select(neighbor_run.c.run_id).where(neighbor_run.c.base_run_id == run.run_id)
    ).all():
        drop_run(connection, fetch_run(connection, update_id))
    store_lists.drop_lists(connection, run.run_id)
    store_statistics.drop_statistics(connection, run.run_id)
    connection.execute(sa.delete(neighbor_run).where(neighbor_run.c.run_id == run.run_id))
