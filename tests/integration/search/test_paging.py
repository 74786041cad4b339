"""Pages of one answer."""

import dataclasses

import numpy as np
import pytest
import sqlalchemy as sa

from search_factory import fill, random_units, scattered_sky
from skylike.search.query import Query
from skylike.search.search import search


def ids(result) -> list[int]:
    return result.rows["galaxy_id"].to_pylist()


@pytest.fixture
def crowded(engine):
    """Every third galaxy lies 10 arcsec from the one before, and many are equally similar."""
    vectors = np.abs(random_units(120, 16, seed=8))
    vectors[40:60] = vectors[40]
    sky = scattered_sky(vectors)
    sky.ra[2::3], sky.dec[2::3] = sky.ra[1::3], np.clip(sky.dec[1::3] + 10 / 3600, -90, 90)
    fill(engine, sky)
    return engine


@pytest.mark.parametrize("options", [{}, {"least_similar": True}, {"min_separation": 0.0}])
def test_pages_put_together_are_the_whole_answer(crowded, options):
    whole = search(crowded, Query(galaxies=(1,), k=60, **options))
    assert whole.rows.num_rows == 60

    pages = [
        search(crowded, Query(galaxies=(1,), k=20, offset=offset, **options))
        for offset in (0, 20, 40)
    ]

    assert [n for page in pages for n in ids(page)] == ids(whole)
    ranks = [n for page in pages for n in page.rows["rank"].to_pylist()]
    assert ranks == list(range(1, 61))


def test_page_when_the_answer_ends_within_it_says_so(crowded):
    query = Query(galaxies=(1,), k=100, min_separation=0.0)
    page = search(crowded, dataclasses.replace(query, offset=100))

    assert page.rows.num_rows == 19
    assert page.provenance.note == (
        "19 of 100 found after the first 100: 119 embedded galaxies besides the query"
    )


def test_page_when_it_begins_after_the_last_result_is_empty(crowded):
    page = search(crowded, Query(galaxies=(1,), k=10, offset=500, min_separation=0.0))

    assert page.rows.num_rows == 0
    assert "0 of 10 found after the first 500" in page.provenance.note


def test_typed_sql_of_a_page_gives_its_galaxies(crowded):
    page = search(crowded, Query(galaxies=(1,), k=10, offset=20))

    with crowded.connect() as connection:
        rows = connection.execute(sa.text(page.provenance.sql.replace(":", r"\:"))).all()
    assert [row.galaxy_id for row in rows] == ids(page)
