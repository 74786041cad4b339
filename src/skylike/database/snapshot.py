"""Reading everything as of one moment."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection


@dataclass(frozen=True)
class Moment:
    """When something was read."""

    time: datetime
    """By the database's clock."""

    snapshot: str
    """Which transactions' work was seen, as PostgreSQL writes a ``pg_snapshot``."""


def begin_snapshot(connection: Connection) -> Moment:
    """Let everything read until the transaction's end be of one moment; return that moment.

    Nothing may have been read in the transaction before.
    """
    connection.execute(sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
    # The first query takes the snapshot; a row written later has a later time.
    now = sa.func.clock_timestamp()
    seen = sa.cast(sa.func.pg_current_snapshot(), sa.Text)
    return Moment(*connection.execute(sa.select(now, seen)).one())
