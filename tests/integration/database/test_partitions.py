"""Tables made while skylike runs: hidden, shown and dropped."""

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from skylike.database import partitions
from skylike.database.partitions import hide, impatient, qualified, relation_exists, run, show
from skylike.errors import ConflictError

MAY_READ = sa.text("SELECT has_table_privilege('skylike_reader', 'skylike.made', 'SELECT')")


def make(connection: Connection) -> None:
    run(connection, "CREATE TABLE {table} (galaxy_id integer)", table=qualified("made"))


def test_statement_when_it_writes_rows_then_their_number_is_returned(connection: Connection):
    make(connection)

    n_rows = run(
        connection, "INSERT INTO {table} SELECT generate_series(1, 3)", table=qualified("made")
    )

    assert n_rows == 3


def test_relation_when_it_is_made_then_exists(connection: Connection):
    assert not relation_exists(connection, "made")

    make(connection)

    assert relation_exists(connection, "made")


def test_table_when_it_is_hidden_and_shown_then_readers_are_shut_out_and_let_in(
    connection: Connection,
):
    make(connection)

    hide(connection, "made")
    assert connection.scalar(MAY_READ) is False
    show(connection, "made")
    assert connection.scalar(MAY_READ) is True


def test_lock_when_a_reader_holds_the_table_then_is_given_up(
    engine: Engine, connection: Connection, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(partitions, "LOCK_TIMEOUT", "50ms")
    with engine.begin() as maker:
        make(maker)
    connection.execute(sa.text("SELECT FROM skylike.made"))

    with (
        pytest.raises(ConflictError, match="it cannot be dropped: a query or job holds the tables"),
        engine.begin() as other,
        impatient(other, "it cannot be dropped"),
    ):
        run(other, "DROP TABLE {table}", table=qualified("made"))

    assert relation_exists(connection, "made")
