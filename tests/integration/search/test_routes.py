"""Every route against a brute force, with vectors and limits that may go wrong; which is taken."""

import numpy as np
import pytest
import sqlalchemy as sa

from search_factory import Sky, fill, random_units, scattered_sky
from skylike.cuts.coordinates import Cone
from skylike.embeddings.store_indexes import has_fast_index
from skylike.neighbors.build import build_neighbors
from skylike.neighbors.job import NeighborSettings
from skylike.search.calibrate import calibrate
from skylike.search.query import Query
from skylike.search.routes import by_filter, choice
from skylike.search.search import answer, search


def ids(result) -> list[int]:
    return result.rows["galaxy_id"].to_pylist()


def structured(n, d, *, seed=1):
    """A steep spectrum around a common mean, as embeddings have."""
    random = np.random.default_rng(seed)
    scales = np.arange(1, d + 1) ** -1.0
    return np.abs(random_units(1, d, seed=seed)) + 0.4 * scales * random.normal(size=(n, d))


def adversarial(kind, n, d):
    random = np.random.default_rng(9)
    if kind == "isotropic":
        return random_units(n, d, seed=3)
    if kind == "collapsed":
        return np.abs(random_units(1, d, seed=4)) + 1e-3 * random.normal(size=(n, d))
    if kind == "duplicates":
        return random_units(n // 20 + 1, d, seed=5)[random.integers(0, n // 20 + 1, n)]
    if kind == "any length":
        return structured(n, d) * 10.0 ** random.uniform(-3, 2, size=(n, 1))
    return structured(n, d)


KINDS = ["structured", "isotropic", "collapsed", "duplicates", "any length"]


@pytest.fixture
def small_limits(monkeypatch):
    """Limits at which a few hundred galaxies are many."""
    monkeypatch.setattr(by_filter, "COUNT_LIMIT", 50)
    monkeypatch.setattr(choice, "COUNT_LIMIT", 50)
    monkeypatch.setattr(by_filter, "FIRST_KEPT", 60)
    monkeypatch.setattr(by_filter, "FIRST_REFINED", 16)
    monkeypatch.setattr(by_filter, "MOST_REFINED", 250)


@pytest.mark.usefixtures("small_limits")
@pytest.mark.parametrize("kind", KINDS)
def test_filter_route_when_many_match_is_the_brute_force(engine, kind):
    sky = scattered_sky(adversarial(kind, 600, 48))
    fill(engine, sky)

    for galaxy_id, k, where in ((1, 5, None), (2, 40, "mag_r < 19"), (3, 150, "mag_r > 15")):
        for least_similar in (False, True):
            query = Query(
                galaxies=(galaxy_id,),
                k=k,
                where=where,
                least_similar=least_similar,
                min_separation=0.0,
            )
            result = search(engine, query)

            among = {"mag_r < 19": sky.mag_r < 19, "mag_r > 15": sky.mag_r > 15}.get(
                where, np.ones(600, bool)
            )
            assert ids(result) == truth(sky, galaxy_id, among, least=least_similar)[:k], query
            assert result.provenance.exact
            assert result.provenance.route == "filter"
            told = (result.provenance.matched, result.provenance.matched_is_bound)
            assert told in {(50, True), (among.sum() - among[galaxy_id - 1], False)}


def truth(sky: Sky, galaxy_id: int, among, *, least: bool) -> list[int]:
    similarities = sky.similarities(sky.vectors[galaxy_id - 1])
    every = np.arange(1, len(among) + 1)
    order = np.lexsort((every, similarities if least else -similarities))
    return [int(every[n]) for n in order if among[n] and every[n] != galaxy_id]


@pytest.mark.parametrize("kind", ["structured", "any length"])
def test_filter_route_compares_few_embeddings_in_full(engine, kind):
    fill(engine, scattered_sky(adversarial(kind, 4000, 64)))

    found = answer(engine, Query(galaxies=(7,), k=10, min_separation=0.0), explain=True)

    refined = int(found.explanation.split(" embeddings compared in full")[0].split(", ")[-1])
    assert 10 <= refined < 600


@pytest.mark.usefixtures("small_limits")
@pytest.mark.parametrize(
    ("kind", "is_direct"), [("structured", False), ("isotropic", True), ("collapsed", True)]
)
@pytest.mark.parametrize("where", [None, "mag_r < 19.5"])
def test_filter_route_compares_all_embeddings_only_where_bounds_rule_out_too_few(
    engine, kind, is_direct, where
):
    fill(engine, scattered_sky(adversarial(kind, 900, 64)))

    found = answer(engine, Query(galaxies=(3,), k=10, where=where), explain=True)

    assert ("all embeddings that match" in found.explanation) == is_direct


@pytest.mark.usefixtures("small_limits")
def test_paging_goes_on_where_the_page_before_ended(engine):
    sky = scattered_sky(structured(300, 24))
    fill(engine, sky)
    whole = search(engine, Query(galaxies=(1,), k=90))

    pages = [search(engine, Query(galaxies=(1,), k=30, offset=n)) for n in (0, 30, 60)]

    assert [n for page in pages for n in ids(page)] == ids(whole)
    assert [n for page in pages for n in page.rows["rank"].to_pylist()] == list(range(1, 91))


@pytest.mark.parametrize("radius", [3.0, 40.0, 100.0])
@pytest.mark.parametrize("center", [(0.1, 0.0), (120.0, 89.0), (200.0, -60.0)])
def test_cone_holds_all_that_lie_in_it(engine, center, radius):
    sky = scattered_sky(structured(3000, 16))
    fill(engine, sky)

    result = search(
        engine, Query(galaxies=(1,), k=3000, cone=Cone(*center, radius), min_separation=0.0)
    )

    ra, dec = np.radians(sky.ra), np.radians(sky.dec)
    ra0, dec0 = np.radians(center)
    cosine = np.sin(dec) * np.sin(dec0) + np.cos(dec) * np.cos(dec0) * np.cos(ra - ra0)
    inside = {int(n) + 1 for n in np.flatnonzero(np.degrees(np.arccos(cosine)) <= radius)} - {1}
    assert set(ids(result)) == inside


def make_scans_look_slow(engine):
    """Write costs by which a walk along a list is cheaper than any scan, on tables so small."""
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                "INSERT INTO skylike.search_calibration (encoder_id, n_embeddings, seconds_fixed,"
                " seconds_per_row, seconds_per_match, seconds_per_vector, seconds_list,"
                " refined_share, software)"
                " SELECT encoder_id, 1, 0.001, 1, 1, 1, 0.002, 1, '{}' FROM skylike.encoder"
            )
        )


@pytest.fixture
def listed(engine, tmp_path, small_limits):
    """A sky with a neighbor run of 100 each, without a window."""
    sky = scattered_sky(structured(400, 24))
    fill(engine, sky)
    build_neighbors(
        engine, settings=NeighborSettings(k=100, band=None, width=None), work_folder=tmp_path
    )
    make_scans_look_slow(engine)
    return sky


def test_list_route_when_the_run_has_no_window_is_the_brute_force(engine, listed):
    for where, k in ((None, 60), ("mag_r < 19", 40), ("type IS NULL", 20)):
        result = search(engine, Query(galaxies=(5,), k=k, where=where, min_separation=0.0))

        among = listed.mag_r < 19 if where == "mag_r < 19" else np.ones(400, bool)
        assert result.provenance.route == "list", where
        assert result.provenance.exact
        assert ids(result) == truth(listed, 5, among, least=False)[:k]


@pytest.mark.parametrize(
    "changes",
    [
        {"k": 150},
        {"least_similar": True},
        {"galaxies": (5, 6)},
        {"galaxies": (), "vectors": (np.ones(24),)},
    ],
    ids=["more than the list holds", "least similar", "two galaxies", "a vector"],
)
@pytest.mark.usefixtures("listed")
def test_list_route_when_it_would_not_do_is_not_taken(engine, changes):
    query = Query(**({"galaxies": (5,), "k": 20, "min_separation": 0.0} | changes))

    assert search(engine, query).provenance.route == "filter"


def test_list_route_when_too_few_of_the_list_match_gives_way(engine, listed):
    query = Query(galaxies=(5,), k=40, where="mag_r < 16", min_separation=0.0)

    result = search(engine, query)

    assert result.provenance.route == "filter"
    assert ids(result) == truth(listed, 5, listed.mag_r < 16, least=False)[:40]


def test_list_route_when_a_galaxy_was_embedded_anew_is_not_taken(engine, listed):
    fresh = search(engine, Query(galaxies=(5,), k=20)).provenance
    with engine.begin() as connection:
        # As a publication that began before the run read its input, and ended after.
        connection.execute(
            sa.text("UPDATE skylike.encoder SET embedded_xact = pg_current_xact_id()")
        )

    stale = search(engine, Query(galaxies=(5,), k=20)).provenance

    assert (fresh.route, stale.route) == ("list", "filter")


def test_list_route_when_a_catalog_load_ended_after_the_run_began_is_not_taken(engine, listed):
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                "INSERT INTO skylike.catalog_load (survey_id, file, file_bytes, format, column_map,"
                " magnitudes, rows_read, rows_inserted, rows_updated, rows_unchanged,"
                " rows_rejected, loaded_at) SELECT survey_id, 'a.fits', 1, 'fits', '{}', 'none', 3,"
                " 0, 1, 2, '{}', '2020-01-01' FROM skylike.survey"
            )
        )

    assert search(engine, Query(galaxies=(5,), k=20)).provenance.route == "filter"


@pytest.mark.parametrize(
    ("where", "route"),
    [
        (None, "filter"),
        ("mag_r < 17.4", "filter"),
        ("mag_r BETWEEN 16.6 AND 17.4", "list"),
        ("mag_r BETWEEN 16.6 AND 17.4 OR mag_r < 15", "filter"),
        ("mag_r > 16.6 AND mag_r < 17.6", "filter"),
        ("mag_r IN (17, 17.2) OR (mag_r >= 16.51 AND 17 > mag_r)", "list"),
    ],
)
@pytest.mark.usefixtures("small_limits")
def test_list_route_of_a_windowed_run_is_taken_only_where_the_cut_stays_in_the_window(
    engine, tmp_path, where, route
):
    magnitudes = np.random.default_rng(2).uniform(16, 18, 600)
    magnitudes[4] = 17.0
    sky = scattered_sky(structured(600, 16), mag_r=magnitudes)
    fill(engine, sky)
    build_neighbors(
        engine, settings=NeighborSettings(k=200, band="r", width=0.5), work_folder=tmp_path
    )
    make_scans_look_slow(engine)

    result = search(engine, Query(galaxies=(5,), k=5, where=where, min_separation=0.0))

    assert result.provenance.route == route
    if where == "mag_r BETWEEN 16.6 AND 17.4":
        among = (sky.mag_r >= 16.6) & (sky.mag_r <= 17.4)
        assert ids(result) == truth(sky, 5, among, least=False)[:5]


@pytest.fixture
def fast_sky(engine):
    sky = scattered_sky(structured(30_000, 32))
    encoder_id = fill(engine, sky)
    measured = calibrate(engine, fast_index=True)
    with engine.connect() as connection:
        assert has_fast_index(connection, encoder_id)
    assert measured.costs.fast_recall is not None
    assert measured.costs.fast_recall >= 0.99
    with engine.begin() as connection:
        # On so small a table every route is fast; this one shall look fastest.
        connection.execute(
            sa.text("UPDATE skylike.search_calibration SET fast_seconds = 0, seconds_per_match = 1")
        )
    return sky


def test_fast_route_is_taken_only_where_allowed_and_finds_nearly_all(engine, fast_sky):
    recalls = []
    for galaxy_id in range(1, 11):
        for where, among in (
            (None, np.ones(30_000, bool)),
            ("mag_r < 18", fast_sky.mag_r < 18),
        ):
            query = {"galaxies": (galaxy_id,), "k": 100, "where": where, "min_separation": 0.0}
            fast = search(engine, Query(**query, fast=True))
            exact = search(engine, Query(**query))

            expected = truth(fast_sky, galaxy_id, among, least=False)[:100]
            assert ids(exact) == expected
            assert (exact.provenance.route, fast.provenance.route) == ("filter", "fast")
            assert not fast.provenance.exact
            assert fast.provenance.expected_recall >= 0.99
            assert len(fast.rows) == 100
            recalls.append(len(set(ids(fast)) & set(expected)) / 100)
    assert np.mean(recalls) >= 0.98


def test_fast_route_when_the_index_would_give_mostly_rows_that_do_not_match_is_not_taken(
    engine, fast_sky
):
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                "UPDATE skylike.search_calibration SET seconds_fixed = 0.01, fast_seconds = 0.02,"
                " seconds_per_match = 1e-6, seconds_per_row = 1e-7"
            )
        )

    # 30 ms for all rows exactly, 20 by the index; of a cut that 40 % meet 24 and 35 ms.
    wide = search(engine, Query(galaxies=(1,), k=100, fast=True))
    narrow = answer(
        engine, Query(galaxies=(1,), k=100, where="mag_r < 16.4", fast=True), explain=True
    )

    assert wide.provenance.route == "fast"
    assert narrow.result.provenance.route == "filter"
    assert "% by a sample" in narrow.explanation


def test_fast_route_when_the_cut_is_narrow_compares_all_that_match(engine, fast_sky):
    result = search(engine, Query(galaxies=(1,), k=100, where="mag_r < 14.2", fast=True))

    assert result.provenance.route == "filter"
    assert result.provenance.exact


def test_fast_without_a_calibrated_index_is_exact_and_the_explanation_says_why(engine):
    fill(engine, scattered_sky(structured(20_500, 16)))

    found = answer(engine, Query(galaxies=(1,), k=10, fast=True), explain=True)

    assert found.result.provenance.exact
    assert "skylike db calibrate --fast-index" in found.explanation


def test_explanation_when_few_match_then_has_measured_costs_and_says_of_each_route_why_not(engine):
    fill(engine, scattered_sky(structured(400, 16)))
    before = answer(engine, Query(galaxies=(1,), k=5), explain=True)
    calibrate(engine, fast_index=True)

    plain = answer(engine, Query(galaxies=(1,), k=5), explain=True)
    fast = answer(engine, Query(galaxies=(1,), k=5, fast=True), explain=True)

    assert "guessed: run `skylike db calibrate`" in before.explanation
    for found in (plain, fast):
        assert "costs measured here" in found.explanation
        assert [line.split()[0] for line in found.explanation.splitlines()[1:4]] == [
            "filter",
            "list",
            "fast",
        ]
    assert "approximate answers were not allowed (--fast)" in plain.explanation
    assert "approximate answers were not allowed" not in fast.explanation
