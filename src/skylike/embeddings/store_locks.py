"""Who may do what to an encoder's embeddings: advisory locks, which end with their process.

==========  ================  ===================================  =================================
lock        of                held                                 by
==========  ================  ===================================  =================================
work        an encoder        while a process stages embeddings    all who do (shared), or one who
                                                                   publishes (exclusive)
shard       an encoder's      until its embeddings are committed   one process
            shard
==========  ================  ===================================  =================================

A process that is killed loses its connection, and with it every lock: nobody has to clear up.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import sqlalchemy as sa
from sqlalchemy import Connection, Function

from skylike.embeddings.store import EncoderRecord
from skylike.jobs.store_sessions import ask, hold
from skylike.jobs.waiting import wait_until

_WORK: Final = -1

_Key = tuple[Function[int], int]


def _key(record: EncoderRecord, what: int) -> _Key:
    return sa.func.hashtext(f"skylike embed {record.encoder_id}"), what


@contextmanager
def join_work(session: Connection, records: Sequence[EncoderRecord]) -> Iterator[None]:
    """Count the session among those who stage embeddings of some encoders, until the block ends.

    One who publishes is waited for.

    Parameters
    ----------
    session
        From :func:`skylike.jobs.store_sessions.open_session`, in no transaction.
    """
    for record in records:
        key = _key(record, _WORK)
        wait_until(
            lambda key=key: ask(session, sa.func.pg_try_advisory_lock_shared(*key)),  # type: ignore[misc]
            f"another process that publishes embeddings of {record.name!r}",
        )
    try:
        yield
    finally:
        # An error on the way may have left a transaction open, or have broken the connection.
        if not session.invalidated:
            session.rollback()
            for record in records:
                ask(session, sa.func.pg_advisory_unlock_shared(*_key(record, _WORK)))


@contextmanager
def hold_publication(session: Connection, record: EncoderRecord) -> Iterator[None]:
    """Publish embeddings of an encoder, one process at a time; who stages them is waited for.

    The session must be in no transaction, and have left :func:`join_work`.
    """
    waiting_for = f"other processes that embed with {record.name!r}"
    with hold(session, _key(record, _WORK), waiting_for):
        yield


def claim_shard(session: Connection, records: Sequence[EncoderRecord], shard: int) -> bool:
    """Take a shard of some encoders, unless another process has it of any of them."""
    for taken, record in enumerate(records):
        if not ask(session, sa.func.pg_try_advisory_lock(*_key(record, shard))):
            release_shard(session, records[:taken], shard)
            return False
    return True


def release_shard(session: Connection, records: Sequence[EncoderRecord], shard: int) -> None:
    """Give a shard back, once its embeddings are committed."""
    for record in records:
        ask(session, sa.func.pg_advisory_unlock(*_key(record, shard)))
