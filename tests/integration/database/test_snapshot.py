"""Everything read in a snapshot is of one moment."""

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import InternalError

from skylike.database.snapshot import begin_snapshot

COUNT = sa.text("SELECT count(*) FROM skylike.survey")
WRITE = sa.text("INSERT INTO skylike.survey (name) VALUES ('later')")


def test_snapshot_when_rows_are_written_later_then_they_are_not_seen(
    engine: Engine, connection: Connection
):
    moment = begin_snapshot(connection)
    with engine.begin() as other:
        other.execute(WRITE)
        now = other.scalar(sa.select(sa.func.clock_timestamp()))

    assert connection.scalar(COUNT) == 0
    assert moment.time < now
    connection.rollback()
    assert connection.scalar(COUNT) == 1


def test_snapshot_when_it_is_written_in_then_refuses(connection: Connection):
    begin_snapshot(connection)

    with pytest.raises(InternalError, match="read-only transaction"):
        connection.execute(WRITE)
