"""Searches on a real server against a brute force in numpy."""

import dataclasses

import numpy as np
import pytest
import sqlalchemy as sa

from search_factory import Sky, fill, insert_embeddings, random_units, scattered_sky
from skylike.cuts.coordinates import Cone, Position
from skylike.errors import (
    CutoutNotFoundError,
    DatabaseError,
    EmptyStageError,
    EncoderNotFoundError,
    GalaxyNotFoundError,
    SettingsError,
)
from skylike.search.query import Query
from skylike.search.search import answer, search


def ids(result) -> list[int]:
    return result.rows["galaxy_id"].to_pylist()


def clustered_vectors(n, d):
    """Directions as encoders give them: positive, in clumps, with duplicates, some collapsed."""
    random = np.random.default_rng(11)
    centers = np.abs(random_units(8, d, seed=12))
    vectors = centers[random.integers(0, 8, n)] + 0.05 * random.normal(size=(n, d))
    vectors[n // 2 : n // 2 + 40] = vectors[7]  # duplicates
    vectors[-60:] = centers[0] + 1e-4 * random.normal(size=(60, d))  # collapsed
    vectors[5] = 0  # no direction at all
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(norms > 0, norms, 1)


@pytest.fixture
def sky(engine) -> Sky:
    made = scattered_sky(clustered_vectors(400, 32))
    fill(engine, made)
    return made


@pytest.mark.parametrize("k", [1, 7, 50, 1000])
@pytest.mark.parametrize("galaxy_id", [1, 8, 201, 399])
def test_search_by_galaxy_is_the_brute_force(engine, sky, galaxy_id, k):
    result = search(engine, Query(galaxies=(galaxy_id,), k=k, min_separation=0.0))

    target = sky.vectors[galaxy_id - 1]
    truth = [n for n in sky.ranked(target) if n != galaxy_id][:k]
    assert ids(result) == truth
    assert np.array_equal(
        result.rows["similarity"].to_numpy(), sky.similarities(target)[np.array(truth) - 1]
    )
    assert result.rows["rank"].to_pylist() == list(range(1, len(truth) + 1))


def test_search_with_any_cut_is_the_brute_force(engine, sky):
    random = np.random.default_rng(21)
    defined = sky.vectors.any(axis=1)
    for _ in range(25):
        faintest, k = random.uniform(13.9, 20), int(random.choice([1, 5, 60, 500]))
        example = int(random.integers(7, 401))
        query = Query(galaxies=(example,), where=f"mag_r < {faintest:.3f}", k=k, min_separation=0.0)

        result = search(engine, query)

        among = (sky.mag_r < round(faintest, 3)) & defined
        among[example - 1] = False
        assert ids(result) == sky.ranked(sky.vectors[example - 1], among=among)[:k], query
        assert result.provenance.matched == among.sum()


def test_search_for_the_least_similar_is_the_brute_force_from_its_end(engine, sky):
    query = Query(galaxies=(1,), k=30, min_separation=0.0, least_similar=True)

    result = search(engine, query)

    similarities = sky.similarities(sky.vectors[0])
    order = np.lexsort((np.arange(400), similarities))
    truth = [int(n) + 1 for n in order if np.isfinite(similarities[n]) and n != 0][:30]
    assert ids(result) == truth
    assert result.provenance.query == "least like galaxy 1"


def test_search_by_vector_of_any_length_is_the_brute_force(engine, sky):
    (vector,) = random_units(1, 32, seed=99)

    result = search(engine, Query(vectors=(1e6 * vector,), k=20, min_separation=0.0))

    assert ids(result) == sky.ranked(vector)[:20]
    assert result.rows["separation"].null_count == 20


def test_search_by_position_takes_the_galaxy_there_and_says_how_far_it_is(engine, sky):
    there = Position(sky.ra[9], sky.dec[9] - np.sign(sky.dec[9]) * 2 / 3600)

    by_position = search(engine, Query(positions=(there,), k=5))

    assert ids(by_position) == ids(search(engine, Query(galaxies=(10,), k=5)))
    assert "galaxy 10, 2.00 arcsec away" in by_position.provenance.query


def test_search_by_position_when_nothing_is_near_says_how_far_the_nearest_is(engine, sky):
    there = Position(sky.ra[9], sky.dec[9] - np.sign(sky.dec[9]) * 30 / 3600)

    with pytest.raises(GalaxyNotFoundError, match=r"the nearest is galaxy 10, 30 arcsec away"):
        search(engine, Query(positions=(there,)))

    wider = search(engine, Query(positions=(there,), position_limit=31.0, k=1))
    assert len(wider.rows) == 1


def test_search_by_cut_and_cone_compares_those_that_meet_both(engine, sky):
    cone = Cone(180.0, 10.0, 60.0)

    result = search(engine, Query(galaxies=(1,), k=15, where="mag_r < 17.5", cone=cone))

    ra, dec = np.radians(sky.ra), np.radians(sky.dec)
    toward = np.cos(dec) * np.cos(np.radians(10)) * np.cos(ra - np.pi) + np.sin(dec) * np.sin(
        np.radians(10)
    )
    among = (sky.mag_r < 17.5) & (toward >= np.cos(np.radians(60)))
    among[0] = False
    assert 15 < among.sum() < 100
    assert ids(result) == sky.ranked(sky.vectors[0], among=among)[:15]
    assert result.provenance.matched == among.sum()
    assert result.provenance.exact
    assert result.provenance.note is None


@pytest.mark.usefixtures("sky")
def test_search_by_the_name_of_the_survey_finds_its_galaxies(engine):
    assert len(search(engine, Query(galaxies=(1,), where="survey = 'test'")).rows) == 10
    assert len(search(engine, Query(galaxies=(1,), where="survey = 'other'")).rows) == 0


@pytest.mark.usefixtures("sky")
def test_search_when_no_row_meets_the_cut_gives_none_and_says_why(engine):
    result = search(engine, Query(galaxies=(1,), where="mag_r < 5"))

    assert len(result.rows) == 0
    assert result.provenance.matched == 0
    assert result.provenance.note == (
        "0 of 10 found: 0 embedded galaxies match the cut. No galaxy of the catalog does either"
    )


@pytest.mark.usefixtures("sky")
def test_search_when_more_are_wanted_than_there_are_says_why(engine):
    result = search(engine, Query(galaxies=(1,), k=1000))

    assert len(result.rows) == 398
    assert result.provenance.note == ("398 of 1000 found: 398 embedded galaxies besides the query")


def test_search_drops_results_that_show_the_same_sky_and_goes_on(engine):
    sky = scattered_sky(random_units(300, 16))
    ranked = [n - 1 for n in sky.ranked(sky.vectors[0])]
    ra, dec = sky.ra.copy(), np.clip(sky.dec, -80, 80)
    for group in (ranked[0:8], ranked[10:200]):
        ra[group], dec[group] = ra[group[0]], dec[group[0]] + np.arange(len(group)) * 10 / 3600
    fill(engine, dataclasses.replace(sky, ra=ra, dec=dec))

    separated = search(engine, Query(galaxies=(1,), k=20))
    everything = search(engine, Query(galaxies=(1,), k=20, min_separation=0.0))

    # 0, 10 and 20 arcsec from the query are dropped; then every third (30 arcsec) is far enough.
    kept = [3, 6, 8, 9, *range(10, 200, 3)]
    assert ids(separated) == [ranked[n] + 1 for n in kept[:20]]
    assert ids(everything) == [n + 1 for n in ranked[1:21]]
    assert np.isclose(separated.rows["separation"][0].as_py() * 3600, 30)


def test_search_when_dropped_results_leave_fewer_says_so(engine):
    sky = scattered_sky(random_units(30, 16))
    fill(engine, dataclasses.replace(sky, ra=np.full(30, 10.0), dec=np.linspace(0, 1e-3, 30)))

    result = search(engine, Query(galaxies=(1,), k=5))

    assert len(result.rows) == 0
    assert "29 within 25.152 arcsec of the query" in result.provenance.note


@pytest.mark.usefixtures("sky")
def test_result_has_the_columns_of_the_surveys_bands_with_their_meaning(engine):
    result = search(engine, Query(galaxies=(1,), k=3))

    assert result.rows.column_names == [
        *("rank", "galaxy_id", "similarity", "separation", "survey", "object_id"),
        *("ra", "dec", "healpix29"),
        *(f"{what}_{b}" for what in ("flux", "mag", "mag_err", "psf_size") for b in "grz"),
        *("ebv", "z_phot", "z_spec", "maskbits", "type", "photsys"),
    ]
    assert set(result.meanings) == set(result.rows.column_names)
    assert result.meanings["mag_r"].unit == "mag"
    assert result.rows["object_id"][0].as_py() > 2**53
    assert [str(result.rows.schema.field(n).type) for n in ("rank", "mag_r")] == ["int32", "float"]


@pytest.mark.usefixtures("sky")
def test_columns_when_nothing_is_found_or_filled_then_are_the_same_as_ever(engine):
    defined = {"definitions": ("xx = mag_g - mag_i",), "galaxies": (1,)}
    full = search(engine, Query(k=3, **defined))
    empty = search(engine, Query(k=3, where="mag_r < 0", **defined))

    assert empty.rows.num_rows == 0
    assert empty.rows.schema == full.rows.schema
    assert full.rows["xx"].null_count == 3
    assert full.rows.column_names[-1] == "xx"


@pytest.mark.usefixtures("sky")
def test_columns_when_the_cut_names_a_band_that_no_survey_has_then_has_it(engine):
    result = search(engine, Query(galaxies=(1,), k=3, where="mag_vis IS NULL"))

    assert result.rows["mag_vis"].null_count == 3
    assert "flux_vis" not in result.rows.column_names


TYPED_QUERIES = {
    "galaxy": {"galaxies": (1,)},
    "several galaxies": {"galaxies": (1, 50)},
    "vector": {"vectors": (random_units(1, 32, seed=5)[0],)},
    "cut and cone": {
        "galaxies": (1,),
        "where": "mag_r BETWEEN 15 AND - -19 AND type IS NULL OR survey LIKE 'te%'",
        "cone": Cone(10.0, -89.0, 100.0),
    },
    "quotes": {"galaxies": (1,), "where": "survey <> 'it''s 100% \\ :this; --'"},
    "least similar": {"galaxies": (1,), "least_similar": True},
    "separation": {"galaxies": (1,), "min_separation": 100_000.0},
    "list": {"galaxies": (1,), "where": "mag_r NOT IN (18.1, 19.3) AND mag_r > 1 / 3"},
    "everything": {"galaxies": (1,), "k": 1000},
}


@pytest.mark.parametrize("name", TYPED_QUERIES)
def test_typed_sql_as_it_stands_gives_the_same_galaxies(engine, name):
    sky = scattered_sky(np.vstack([random_units(299, 32), np.zeros((1, 32))]))
    fill(engine, sky)
    result = search(engine, Query(**({"k": 25} | TYPED_QUERIES[name])))

    with engine.connect() as connection:
        connection.execute(sa.text("SET ROLE skylike_reader"))
        rows = connection.exec_driver_sql(
            result.provenance.sql.replace("%", "%%")
        ).all()  # psycopg reads %% as %

    assert [row.galaxy_id for row in rows] == ids(result)
    assert len(rows) > 10
    assert np.allclose(
        [row.similarity for row in rows], result.rows["similarity"].to_numpy(), rtol=0, atol=1e-6
    )


def test_search_when_an_approximate_index_exists_does_not_use_it(engine, sky):
    with engine.begin() as connection:
        partition = connection.scalar(
            sa.text(
                "SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'embedding'::regclass"
            )
        )
        connection.execute(
            sa.text(
                f"CREATE INDEX tempting ON skylike.{partition} USING hnsw"
                " ((embedding::halfvec(32)) halfvec_cosine_ops)"
            )
        )
        connection.execute(
            sa.text(f"ALTER DATABASE {engine.url.database} SET enable_seqscan = off")
        )
    engine.dispose()

    found = answer(engine, Query(galaxies=(1,), k=10), explain=True)

    assert "tempting" not in found.explanation
    assert ids(found.result) == [n for n in sky.ranked(sky.vectors[0]) if n != 1][:10]


def test_search_in_a_small_cone_uses_the_index_on_positions(engine):
    fill(engine, scattered_sky(random_units(20_000, 8)))

    query = Query(galaxies=(1,), cone=Cone(100.0, 20.0, 1.0), where="mag_r < 19")
    found = answer(engine, query, explain=True)

    assert "healpix29_idx" in found.explanation
    assert "Seq Scan" not in found.explanation
    assert "compare compact vectors" in found.explanation


@pytest.mark.usefixtures("sky")
def test_stale_when_a_cutout_changed_after_it_was_embedded_says_what_to_run(engine):
    query = Query(galaxies=(1,), k=5)
    fresh = search(engine, query)
    with engine.begin() as connection:
        connection.execute(
            sa.text("UPDATE skylike.cutout SET updated_at = now() WHERE galaxy_id = :n"),
            {"n": ids(fresh)[2]},
        )

    stale = search(engine, query)

    assert fresh.provenance.stale is None
    assert "1 of these galaxies had their image changed" in stale.provenance.stale
    assert "skylike embed --encoder small" in stale.provenance.stale


@pytest.mark.usefixtures("sky")
def test_run_when_one_is_published_is_named_and_said_to_be_older_than_its_input(engine):
    query = Query(galaxies=(1,), k=5)
    without = search(engine, query)
    with engine.begin() as connection:
        run_id = connection.scalar(
            sa.text(
                "INSERT INTO skylike.neighbor_run (encoder_id, k, state, software)"
                " SELECT encoder_id, 9, 'published', '{}' FROM skylike.encoder RETURNING run_id"
            )
        )
    fresh = search(engine, query)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE skylike.encoder SET embedded_at = now()"))
        connection.execute(
            sa.text(
                "INSERT INTO skylike.catalog_load (survey_id, file, file_bytes, format, column_map,"
                " magnitudes, rows_read, rows_inserted, rows_updated, rows_unchanged,"
                " rows_rejected) SELECT survey_id, 'a.fits', 1, 'fits', '{}', 'none', 3, 0, 1, 2,"
                " '{}' FROM skylike.survey"
            )
        )

    stale = search(engine, query)

    assert (without.provenance.run_id, fresh.provenance.run_id) == (None, run_id)
    assert fresh.provenance.stale is None
    assert "the catalog and the embeddings changed after neighbor run" in stale.provenance.stale
    assert "skylike neighbors build --encoder small" in stale.provenance.stale


def test_search_while_embeddings_are_replaced_sees_one_moment(engine, sky, monkeypatch):
    from skylike.search import store_compact

    fetch_compared = store_compact.fetch_compared

    def replace_then_compare(*args, **options):
        with engine.begin() as other:
            other.execute(sa.text("DELETE FROM skylike.embedding WHERE galaxy_id > 5"))
            other.execute(sa.text("DELETE FROM skylike.embedding_compact WHERE galaxy_id > 5"))
        return fetch_compared(*args, **options)

    monkeypatch.setattr(store_compact, "fetch_compared", replace_then_compare)

    result = search(engine, Query(galaxies=(1,), k=20, min_separation=0.0))

    assert ids(result) == [n for n in sky.ranked(sky.vectors[0]) if n != 1][:20]


@pytest.mark.usefixtures("sky")
def test_search_writes_nothing(engine):
    from skylike.search.store import reading

    with reading(engine, timeout_s=None) as connection, pytest.raises(sa.exc.InternalError):
        connection.execute(sa.text("DELETE FROM skylike.embedding"))


@pytest.mark.usefixtures("sky")
def test_search_when_too_slow_says_what_to_do(engine):
    from skylike.search.store import reading

    with (
        pytest.raises(DatabaseError, match="--timeout"),
        reading(engine, timeout_s=0.05) as connection,
    ):
        connection.execute(sa.text("SELECT pg_sleep(5)"))


@pytest.mark.usefixtures("sky")
def test_search_after_a_timeout_on_the_same_connection_has_none(engine):
    search(engine, Query(galaxies=(1,)), timeout_s=30.0)

    with engine.connect() as connection:
        assert connection.scalar(sa.text("SHOW statement_timeout")) == "0"
        assert connection.scalar(sa.text("SHOW transaction_read_only")) == "off"


class TestNothingToSearch:
    def test_without_encoder(self, engine):
        with pytest.raises(EncoderNotFoundError, match="then `skylike embed`"):
            search(engine, Query(galaxies=(1,)))

    @pytest.mark.usefixtures("sky")
    def test_with_an_unknown_encoder(self, engine):
        with pytest.raises(EncoderNotFoundError, match="'large'"):
            search(engine, Query(galaxies=(1,)), encoder="large")

    def test_without_galaxies(self, engine):
        from search_factory import insert_encoder

        insert_encoder(engine, dimension=8)

        with pytest.raises(EmptyStageError, match="skylike catalog load"):
            search(engine, Query(galaxies=(1,)))

    def test_without_embeddings(self, engine):
        from search_factory import insert_encoder, insert_galaxies

        insert_galaxies(engine, scattered_sky(random_units(5, 8)))
        insert_encoder(engine, dimension=8)

        with pytest.raises(EmptyStageError, match="skylike embed --encoder small"):
            search(engine, Query(galaxies=(1,)))

    @pytest.mark.usefixtures("sky")
    def test_by_a_galaxy_that_does_not_exist(self, engine):
        with pytest.raises(GalaxyNotFoundError, match="galaxy 99999999999 is not"):
            search(engine, Query(galaxies=(99999999999,)))

    def test_by_a_galaxy_without_embedding(self, engine, sky):
        with engine.begin() as connection:
            connection.execute(sa.text("DELETE FROM skylike.embedding WHERE galaxy_id IN (7, 8)"))
            connection.execute(sa.text("DELETE FROM skylike.cutout WHERE galaxy_id = 8"))

        with pytest.raises(EmptyStageError, match="galaxy 7 has an image but no embedding"):
            search(engine, Query(galaxies=(7,)))
        with pytest.raises(CutoutNotFoundError, match="galaxy 8 has no image"):
            search(engine, Query(galaxies=(8,)))
        with pytest.raises(EmptyStageError, match="galaxy 7 has an image but no embedding"):
            search(engine, Query(positions=(Position(sky.ra[6], sky.dec[6]),)))

    @pytest.mark.usefixtures("sky")
    def test_by_a_galaxy_whose_embedding_is_zero(self, engine):
        with pytest.raises(SettingsError, match="embedding of galaxy 6 is zero"):
            search(engine, Query(galaxies=(6,)))

    @pytest.mark.usefixtures("sky")
    def test_by_a_vector_of_another_dimension(self, engine):
        with pytest.raises(SettingsError, match="has 8 entries, the encoder's embeddings have 32"):
            search(engine, Query(vectors=(np.ones(8),)))


def test_search_with_another_encoder_compares_its_embeddings(engine, sky):
    from search_factory import insert_encoder

    other = random_units(400, 8, seed=3).astype(np.float16)
    encoder_id = insert_encoder(engine, dimension=8, name="other", is_active=False)
    insert_embeddings(engine, encoder_id, other)

    result = search(engine, Query(galaxies=(1,), k=10), encoder="other")

    truth = dataclasses.replace(sky, vectors=other).ranked(other[0])
    assert ids(result) == [n for n in truth if n != 1][:10]
    assert result.provenance.encoder == "other"


@pytest.mark.parametrize("d", [128, 2048])
def test_error_of_the_server_is_within_the_bound(engine, d):
    from search_factory import insert_encoder
    from skylike.search.exact import cosine_error_bound, score

    vectors = np.vstack([random_units(40, d), np.abs(random_units(40, d, seed=2))]).astype(
        np.float16
    )
    insert_embeddings(engine, insert_encoder(engine, dimension=d), vectors)
    unit = vectors[50].astype(np.float64) / np.linalg.norm(vectors[50].astype(np.float64))

    with engine.connect() as connection:
        seen = connection.scalars(
            sa.text(
                "SELECT 1 - (e.embedding <=> q.embedding) FROM skylike.embedding AS e,"
                " (SELECT embedding FROM skylike.embedding WHERE galaxy_id = 51) AS q"
                " ORDER BY e.galaxy_id"
            )
        ).all()

    error = np.abs(np.array(seen) - score(vectors, unit)).max()
    assert 0 < error <= cosine_error_bound(d)
