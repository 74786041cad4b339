"""A session as analysts have it: the role that may only read, and what the server told it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg
from psycopg.rows import namedtuple_row
from sqlalchemy.engine import URL


@dataclass
class ReaderSession:
    """A connection, and the messages that came with the last question by severity."""

    connection: psycopg.Connection
    messages: list[tuple[str, str]] = field(default_factory=list)

    def ask(self, statement: str, parameters: object = None) -> list:
        """Return the rows of a statement, as named tuples."""
        self.messages.clear()
        return self.connection.execute(statement, parameters).fetchall()

    def told(self, severity: str) -> list[str]:
        """Messages of the last question: DEBUG, LOG, NOTICE, ..."""
        return [message for given, message in self.messages if given == severity]

    def work(self) -> tuple[int, int]:
        """Rows ranked by compact vectors, and embeddings compared, by the last question."""
        (found,) = [
            re.match(r"similar_to: (\d+) compact vectors ranked, (\d+) embeddings", message)
            for message in self.told("DEBUG")
            if message.startswith("similar_to:")
        ]
        assert found is not None
        return int(found[1]), int(found[2])


@contextmanager
def reader_session(url: URL, *, search_path: str = "skylike, public") -> Iterator[ReaderSession]:
    """Log in and become the reader, with the settings of that role."""
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True, row_factory=namedtuple_row) as connection:
        session = ReaderSession(connection)
        connection.execute(f"SET search_path = {search_path}")
        connection.execute("SET SESSION AUTHORIZATION skylike_reader")
        connection.execute("SET default_transaction_read_only = on")
        connection.execute("SET client_min_messages = debug1")
        connection.add_notice_handler(
            lambda told: session.messages.append((told.severity_nonlocalized, told.message_primary))
        )
        yield session
