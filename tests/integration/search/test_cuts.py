"""Cuts on derived columns, labels and scores: the right rows, told with what they mean."""

import numpy as np
import pytest
import sqlalchemy as sa

from search_factory import Sky, fill, random_units, scattered_sky
from skylike.catalog.store_derived import define_column
from skylike.errors import CutError
from skylike.search.query import Query
from skylike.search.search import search

N = 400
GALAXY = 7
IDS = np.arange(1, N + 1)
SCORES = np.where(IDS % 5 == 0, np.nan, (IDS % 100).astype(np.float32) / 128)
IS_RING = IDS % 4 == 0

_FILLED = (
    "UPDATE skylike.galaxy SET mag_g = mag_r + (galaxy_id % 16) / 16.0",
    "UPDATE skylike.embedding_compact AS c SET mag_g = g.mag_g FROM skylike.galaxy AS g"
    " WHERE g.galaxy_id = c.galaxy_id",
    "INSERT INTO skylike.label (name, galaxy_id, is_member, author) SELECT 'ring', galaxy_id,"
    " galaxy_id % 4 = 0, 'somebody' FROM skylike.galaxy WHERE galaxy_id % 2 = 0",
    "INSERT INTO skylike.classifier (name, encoder_id, weights, intercept, regularization,"
    " n_members, n_not_members, n_random, n_disputed, n_scored, n_folds, average_precision, chance,"
    " roc_auc, top_n, precision_top_n, seed, version, trained_at) SELECT 'ring', encoder_id, '{1}',"
    " 0, 1, 1, 1, 1, 0, 1, 5, 0.5, 0.5, 0.5, 10, 0.5, 1, 'x', now() FROM skylike.encoder",
    "INSERT INTO skylike.classifier_score (name, galaxy_id, score) SELECT 'ring', galaxy_id,"
    " (galaxy_id % 100) / 128.0 FROM skylike.galaxy WHERE galaxy_id % 5 <> 0",
)


@pytest.fixture
def sky(engine) -> Sky:
    # Magnitudes and scores in steps that floating point holds exactly.
    magnitudes = 14 + np.random.default_rng(2).integers(0, 96, N) / 16
    made = scattered_sky(random_units(N, 24), mag_r=magnitudes)
    fill(engine, made)
    with engine.begin() as connection:
        for statement in _FILLED:
            connection.execute(sa.text(statement))
    define_column(engine, "g_r = mag_g - mag_r", description="Color g - r", unit="mag")
    define_column(engine, "red_ring = g_r > 0.5 AND has_label('ring')")
    return made


G_R = (IDS % 16) / 16


@pytest.mark.parametrize(
    ("where", "definitions", "taken"),
    [
        ("g_r < 0.25", (), G_R < 0.25),
        ("red_ring", (), (G_R > 0.5) & IS_RING),
        ("NOT has_label('ring')", (), ~IS_RING),
        ("score_ring > 0.5", (), SCORES > 0.5),
        ("score_ring IS NULL", (), np.isnan(SCORES)),
        ("NOT score_ring > 0.25 AND has_label('ring')", (), (SCORES <= 0.25) & IS_RING),
        ("likely", ("twice = 2 * score_ring", "likely = twice > 1 OR red_ring"), None),
        ("blue", ("g_r = mag_g - mag_r", "blue = g_r < 0.125"), G_R < 0.125),
    ],
)
def test_a_search_when_cut_then_is_the_brute_force_and_so_is_its_sql(
    engine, connection, sky, where, definitions, taken
):
    if taken is None:
        taken = (SCORES > 0.5) | ((G_R > 0.5) & IS_RING)
    query = Query(
        galaxies=(GALAXY,), where=where, definitions=definitions, k=30, min_separation=0.0
    )

    found = search(engine, query)

    among = taken & (IDS != GALAXY)
    expected = sky.ranked(sky.vectors[GALAXY - 1], among=among)[:30]
    assert found.rows["galaxy_id"].to_pylist() == expected
    assert found.provenance.matched == among.sum()
    assert connection.scalars(sa.text(found.provenance.sql)).all() == expected


def test_a_result_when_there_are_derived_columns_and_scores_then_shows_them(engine, sky):
    result = search(engine, Query(galaxies=(GALAXY,), definitions=("dim = mag_r > 17",), k=50))

    rows = result.rows
    place = rows["galaxy_id"].to_numpy() - 1
    assert np.array_equal(rows["g_r"].to_numpy(), G_R[place])
    assert rows["red_ring"].to_pylist() == list((G_R > 0.5)[place] & IS_RING[place])
    assert rows["dim"].to_pylist() == list(sky.mag_r[place] > 17)
    scores = rows["score_ring"].to_numpy(zero_copy_only=False)
    assert np.array_equal(scores, SCORES[place], equal_nan=True)
    said = {name: result.meanings[name] for name in ("g_r", "red_ring", "dim", "score_ring")}
    assert (said["g_r"].description, said["g_r"].unit) == ("Color g - r", "mag")
    assert said["red_ring"].description == "g_r > 0.5 AND has_label('ring')"
    assert said["dim"].description == "mag_r > 17"
    assert said["score_ring"].description == "Score of the classifier ring"


@pytest.mark.parametrize(
    ("definition", "reason"),
    [
        ("g_r = mag_g", "g_r is defined already, as mag_g - mag_r"),
        ("score_lens = mag_g", "kept for the scores"),
        (f"deep = {'exp(' * 12}flux_g{')' * 12}", "nests too many functions"),
    ],
)
def test_a_definition_of_a_query_when_refused_then_nothing_is_searched(
    engine, sky, definition, reason
):
    with pytest.raises(CutError, match=reason):
        search(engine, Query(galaxies=(GALAXY,), definitions=(definition,)))


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("object_id IS NOT NULL AND mag_r < 99 AND mag_g IS NULL", "No galaxy of the catalog does"),
        ("survey = 'tset'", "does either: there is no survey tset; did you mean test?"),
        ("survey IN ('nothing_like_it')", "there is no survey nothing_like_it; there are test"),
    ],
)
def test_search_when_nothing_matches_then_says_why(engine, sky, where, said):
    found = search(engine, Query(galaxies=(GALAXY,), where=where))

    assert len(found.rows) == 0
    assert said in found.provenance.note


def test_search_when_what_matches_has_no_embedding_then_says_how_many(engine, sky):
    with engine.begin() as connection:
        for table in ("embedding", "embedding_compact"):
            connection.execute(
                sa.text(f"DELETE FROM skylike.{table} WHERE galaxy_id IN (20, 21, 22)")
            )

    found = search(engine, Query(galaxies=(GALAXY,), where="galaxy_id BETWEEN 20 AND 22"))

    assert "3 galaxies of the catalog do, but none has an embedding by" in found.provenance.note
    assert "`skylike images add`" in found.provenance.note
