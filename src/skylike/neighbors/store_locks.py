"""Who may do what to a run: advisory locks, which end with the process that holds them.

==========  ==============  =====================================  ===========================
lock        of              held                                   by
==========  ==============  =====================================  ===========================
turn        an encoder      while a run is found, entered,         one process
                            dropped or published
run         a run           while a process computes lists for it  all who do (shared), or one
                                                                   who drops it (exclusive)
finish      a run           from the index to publication          one process
shard       a run's shard   until its lists are committed          one process
==========  ==============  =====================================  ===========================

A process that is killed loses its connection, and with it every lock: nobody has to clear up.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import sqlalchemy as sa
from sqlalchemy import Connection, Function

from skylike.database.tables import neighbor_run, neighbor_shard
from skylike.errors import ConflictError, NeighborRunNotFoundError
from skylike.jobs.store_sessions import ask, hold
from skylike.jobs.waiting import wait_until

_RUN: Final = -1
_FINISH: Final = -2

_Key = tuple[Function[int], Function[int]]


def _turn_key(encoder: str) -> _Key:
    return sa.func.hashtext("skylike neighbors build"), sa.func.hashtext(encoder)


def _run_key(run_id: int, what: int) -> tuple[Function[int], int]:
    return sa.func.hashtext(f"skylike neighbor run {run_id}"), what


@contextmanager
def hold_turn(session: Connection, encoder: str) -> Iterator[None]:
    """Find, enter, drop or publish runs of an encoder, one process at a time; others wait.

    The session must not be in a transaction. Nothing long belongs into the block.
    """
    with hold(session, _turn_key(encoder), f"another process to begin or end, {encoder!r}"):
        yield


@contextmanager
def hold_finish(session: Connection, run_id: int) -> Iterator[None]:
    """Finish a run, one process at a time; others wait, and find it finished."""
    key = _run_key(run_id, _FINISH)
    with hold(session, key, f"another process that finishes run {run_id}"):
        yield


def take_turn(connection: Connection, encoder: str) -> None:
    """Take the turn until the end of the connection's transaction."""
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(*_turn_key(encoder))))


def join_run(session: Connection, run_id: int) -> None:
    """Count the session among those who work on a run: nobody drops it while it lives.

    Raises
    ------
    NeighborRunNotFoundError
        It has been dropped.
    """
    key = _run_key(run_id, _RUN)
    wait_until(
        lambda: ask(session, sa.func.pg_try_advisory_lock_shared(*key)),
        f"another process that drops run {run_id}",
    )
    with session.begin():
        known = sa.select(sa.exists().where(neighbor_run.c.run_id == run_id))
        if not session.scalar(known):
            raise NeighborRunNotFoundError(
                f"neighbor run {run_id} has been dropped; run `skylike neighbors build` again"
            )


def refuse_if_worked_on(connection: Connection, run_id: int, what: str) -> None:
    """Let nobody join a run until the end of the transaction.

    Parameters
    ----------
    what
        Begins the message.

    Raises
    ------
    ConflictError
        Other processes work on it.
    """
    key = _run_key(run_id, _RUN)
    if not connection.scalar(sa.select(sa.func.pg_try_advisory_xact_lock(*key))):
        raise ConflictError(
            f"{what}: other processes are working on it; wait for their end, or stop them"
        )


def claim_shard(session: Connection, run_id: int, shard: int) -> bool:
    """Take a shard, unless another process has it or its lists are stored already."""
    key = _run_key(run_id, shard)
    if not ask(session, sa.func.pg_try_advisory_lock(*key)):
        return False
    # Asked after the lock was had: who held it before may have stored the lists meanwhile.
    with session.begin():
        stored = session.scalar(
            sa.select(
                sa.exists().where(
                    neighbor_shard.c.run_id == run_id, neighbor_shard.c.shard == shard
                )
            )
        )
    if stored:
        release_shard(session, run_id, shard)
    return not stored


def release_shard(session: Connection, run_id: int, shard: int) -> None:
    """Give a shard back, once its lists are committed."""
    ask(session, sa.func.pg_advisory_unlock(*_run_key(run_id, shard)))
