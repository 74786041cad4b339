"""Connections that hold advisory locks: a process that is killed loses its locks with them."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import sqlalchemy as sa
from sqlalchemy import Connection, Engine, Function

from skylike.database.engine import connect
from skylike.jobs.waiting import wait_until


@contextmanager
def open_session(engine: Engine) -> Iterator[Connection]:
    """Open the connection that holds a process's locks; they end with the block or the process.

    Raises
    ------
    DatabaseUnavailableError
        No server answers.
    """
    with connect(engine) as session:
        # A machine that loses its power says no goodbye; the server asks after it. Without this the
        # locks would outlive it by Linux's two hours.
        for setting, value in (("idle", 60), ("interval", 10), ("count", 6)):
            session.execute(sa.text(f"SET tcp_keepalives_{setting} = {value}"))
        session.commit()
        try:
            yield session
        finally:
            # The pool keeps the connection: free the locks by name.
            if not session.invalidated:
                session.rollback()
                session.execute(sa.select(sa.func.pg_advisory_unlock_all()))
                session.commit()


def ask(session: Connection, call: Function[bool]) -> bool:
    """Run a function on locks; a lock of a session outlives the transaction it was taken in."""
    with session.begin():
        return bool(session.scalar(sa.select(call)))


@contextmanager
def hold(session: Connection, key: tuple[object, object], waiting_for: str) -> Iterator[None]:
    """Hold a lock alone until the block ends; wait for others who hold it.

    Parameters
    ----------
    key
        Two integers, or functions that give them.
    waiting_for
        What is logged where it is not free at once.
    """
    wait_until(lambda: ask(session, sa.func.pg_try_advisory_lock(*key)), waiting_for)
    try:
        yield
    finally:
        # An error on the way may have left a transaction open, or have broken the connection.
        if not session.invalidated:
            session.rollback()
            ask(session, sa.func.pg_advisory_unlock(*key))


class SharedSession:
    """A session that threads use in turn: one connection that holds the locks, and writes."""

    def __init__(self, session: Connection) -> None:
        self._session = session
        self._turn = Lock()

    @contextmanager
    def use(self) -> Iterator[Connection]:
        """Use the session alone until the block ends; leave it in no transaction."""
        with self._turn:
            yield self._session
