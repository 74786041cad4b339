"""Which galaxies have a list in both of two runs, page by page."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy import Connection

from skylike.database.tables import neighbor_list

GalaxyIds = npt.NDArray[np.int32]

_PAGE_GALAXIES: Final = 16_384
"""Identifiers fetched at a time: a page of the join of two primary keys."""


def count_lists(connection: Connection, run_id: int) -> int:
    """Count the lists of a complete run."""
    query = sa.select(sa.func.count()).where(neighbor_list.c.run_id == run_id)
    return int(connection.execute(query).scalar_one())


def iter_common_ids(connection: Connection, first: int, second: int) -> Iterator[GalaxyIds]:
    """Yield the galaxies that have a list in both of two complete runs, ascending.

    In pages, so that other queries can run in between and memory holds one page.
    """
    one, other = neighbor_list.alias("one"), neighbor_list.alias("other")
    query = (
        sa.select(one.c.galaxy_id)
        .join_from(one, other, one.c.galaxy_id == other.c.galaxy_id)
        .where(one.c.run_id == first, other.c.run_id == second)
        .where(one.c.galaxy_id > sa.bindparam("last"))
        .order_by(one.c.galaxy_id)
        .limit(_PAGE_GALAXIES)
    )
    last = -(2**31)
    while True:
        page = np.array(connection.scalars(query, {"last": last}).all(), np.int32)
        if not len(page):
            return
        yield page
        last = int(page[-1])
