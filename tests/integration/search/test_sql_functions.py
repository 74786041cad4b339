"""The functions in SQL against the truth by brute force, as the role that may only read."""

from collections.abc import Iterator

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy import Engine
from sqlalchemy.engine import URL

from reader_session import ReaderSession, reader_session
from search_factory import Sky, fill, random_units, scattered_sky
from skylike.search.separate import keep_separated, unit_vectors

RANKED = (
    "SELECT rank, galaxy_id, similarity, separation"
    " FROM similar_to(%(query)s, %(k)s, %(cut)s, %(apart)s, %(least)s)"
)


@pytest.fixture
def reader(database_url: URL) -> Iterator[ReaderSession]:
    with reader_session(database_url) as session:
        yield session


def cosines(sky: Sky, query: np.ndarray) -> np.ndarray:
    """Float64 cosines; sums of products of unit float16 vectors are exact in any order."""
    wide, target = sky.vectors.astype(np.float64), query.astype(np.float64)
    with np.errstate(invalid="ignore"):
        found = (wide * target).sum(axis=1) / (
            np.sqrt((wide * wide).sum(axis=1)) * np.sqrt((target * target).sum())
        )
    return np.clip(found, -1, 1)


def ranked(similarities: np.ndarray, *, among: np.ndarray, least: bool) -> list[int]:
    ids = np.arange(1, len(similarities) + 1)
    order = np.lexsort((ids, similarities if least else -similarities))
    return [int(ids[n]) for n in order if among[n] and np.isfinite(similarities[n])]


def ask(reader: ReaderSession, query: object, **options: object) -> list:
    parameters = {"k": 10, "cut": None, "apart": 0.0, "least": False, **options}
    return reader.ask(RANKED, {"query": query, **parameters})


def adversarial_vectors(d: int = 32, *, seed: int = 4) -> np.ndarray:
    """Unit vectors that are hard to rank: copies, near copies, collapsed, one-hot, zero."""
    random = np.random.default_rng(seed)
    centers = random_units(6, d, seed=seed)
    spread = random.choice([1e-3, 0.05, 0.6], 1200)[:, None]
    vectors = centers[random.integers(0, 6, 1200)] + spread * random.normal(size=(1200, d))
    common = random_units(1, d, seed=seed + 1)
    collapsed = common + 0.1 * random_units(500, d, seed=seed + 2)  # cosines near 0.99
    one_hot = np.repeat(np.eye(d), 3, axis=0)
    copies = np.repeat(vectors[:3], 60, axis=0)
    near = np.repeat(vectors[:3], 100, axis=0) * (1 + 3e-4 * random.normal(size=(300, d)))
    rows = np.vstack([vectors, collapsed, one_hot, copies, near])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    rows[::211] = 0
    return rows[random.permutation(len(rows))]


@pytest.fixture
def sky(engine: Engine) -> Sky:
    made = scattered_sky(adversarial_vectors())
    fill(engine, made)
    return made


def test_similar_to_when_asked_by_galaxy_then_is_the_brute_force(reader: ReaderSession, sky: Sky):
    random = np.random.default_rng(8)
    usable = np.flatnonzero(sky.vectors.any(axis=1))
    spared, misordered = 0, 0
    for number in range(60):
        galaxy_id = int(random.choice(usable)) + 1
        k = int(random.choice([1, 3, 20, 150, 3000]))
        faintest = float(random.choice([14.3, 15, 17, 21]))
        least = number % 4 == 0

        rows = ask(reader, galaxy_id, k=k, cut=f"mag_r < {faintest}", least=least)

        similarities = cosines(sky, sky.vectors[galaxy_id - 1])
        among = sky.mag_r < faintest
        among[galaxy_id - 1] = False
        truth = ranked(similarities, among=among, least=least)[:k]
        asked = (galaxy_id, k, faintest, least)
        assert [row.galaxy_id for row in rows] == truth, asked
        assert [row.similarity for row in rows] == similarities[np.array(truth) - 1].tolist(), asked
        assert [row.rank for row in rows] == list(range(1, len(truth) + 1))
        _, compared = reader.work()
        spared += compared < among.sum() / 2
        misordered += truth != ordered_by_pgvector(reader, galaxy_id, faintest, least)[:k]
    # The compact vectors did the work, and float32 alone would not have been enough.
    assert spared > 10
    assert misordered > 3


def ordered_by_pgvector(
    reader: ReaderSession, galaxy_id: int, faintest: float, least: bool
) -> list[int]:
    rows = reader.connection.execute(
        "SELECT galaxy_id FROM embedding JOIN galaxy USING (galaxy_id)"
        " WHERE galaxy_id <> %s AND mag_r < %s AND embedding <=> embedding_of(%s) <> 'NaN'"
        f" ORDER BY embedding <=> embedding_of(%s) {'DESC' if least else ''}, galaxy_id",
        (galaxy_id, faintest, galaxy_id, galaxy_id),
    ).fetchall()
    return [row.galaxy_id for row in rows]


def test_similar_to_when_asked_by_vector_then_is_the_brute_force(reader: ReaderSession, sky: Sky):
    random = np.random.default_rng(9)
    for number, scale in enumerate([1.0, 1e-30, 1e30, 7.3] * 10):
        query = (scale * random_units(1, 32, seed=number)[0]).astype(np.float32)
        if number % 2:  # near some of the stored ones
            query = (scale * (sky.vectors[number] + 1e-3 * random.normal(size=32))).astype(
                np.float32
            )
        if number % 8 == 7:  # most of it next to nothing
            query *= 10 ** random.uniform(-37, 0, 32).astype(np.float32)
        k, least = int(random.choice([1, 30, 400])), number % 5 == 0

        rows = reader.ask(
            RANKED.replace("%(query)s", "%(query)s::real[]::vector"),
            {"query": query.tolist(), "k": k, "cut": None, "apart": 0.0, "least": least},
        )

        similarities = cosines(sky, query)
        truth = ranked(similarities, among=np.ones(len(similarities), bool), least=least)[:k]
        found = np.array([row.similarity for row in rows])
        # Sums of products of 35 bits are rounded: in another order, differently.
        assert np.allclose(found, similarities[np.array(truth) - 1], rtol=0, atol=1e-14)
        assert np.array_equal(found, np.sort(found) if least else np.sort(found)[::-1])
        mine = np.array([row.galaxy_id for row in rows])
        assert np.allclose(found, similarities[mine - 1], rtol=0, atol=1e-14)
        assert len(set(mine.tolist())) == k
        assert {row.separation for row in rows} == {None}
        assert reader.work()[1] < len(similarities)


def test_similar_to_when_given_an_embedding_then_is_exact(reader: ReaderSession, sky: Sky):
    galaxy_id = int(np.flatnonzero(sky.vectors.any(axis=1))[5]) + 1

    rows = reader.ask(
        "SELECT * FROM similar_to(embedding_of(%s), 100, min_separation => 0)", (galaxy_id,)
    )

    similarities = cosines(sky, sky.vectors[galaxy_id - 1])
    truth = ranked(similarities, among=np.ones(len(similarities), bool), least=False)[:100]
    assert [row.galaxy_id for row in rows] == truth
    assert galaxy_id in truth


def test_similar_to_when_norms_are_tiny_or_huge_then_is_the_brute_force(
    reader: ReaderSession, engine: Engine
):
    random = np.random.default_rng(12)
    lengths = random.choice([3e-5, 1e-2, 1, 300, 6e4], 1500)[:, None]
    vectors = adversarial_vectors(16)[:1500] * lengths
    sky = scattered_sky(vectors)
    fill(engine, sky)
    for galaxy_id in np.flatnonzero(sky.vectors.any(axis=1))[::150] + 1:
        rows = ask(reader, int(galaxy_id), k=200)

        similarities = cosines(sky, sky.vectors[galaxy_id - 1])
        among = np.arange(1, 1501) != galaxy_id
        truth = ranked(similarities, among=among, least=False)[:200]
        found = [row.similarity for row in rows]
        assert np.allclose(found, similarities[np.array(truth) - 1], rtol=0, atol=1e-15)
        mine = np.array([row.galaxy_id for row in rows])
        assert np.allclose(found, similarities[mine - 1], rtol=0, atol=1e-15)


def test_similar_to_when_more_rows_tie_than_are_fetched_then_goes_on(
    reader: ReaderSession, engine: Engine
):
    vectors = np.vstack(
        [np.repeat(random_units(1, 8), 3700, axis=0), random_units(1500, 8, seed=3)]
    )
    sky = scattered_sky(vectors)
    fill(engine, sky)

    rows = ask(reader, 7, k=5, cut="galaxy_id > 300")

    # 3400 copies tie, 3080 rows are fetched at first: they cannot show that no better one is left.
    assert [row.galaxy_id for row in rows] == [301, 302, 303, 304, 305]
    assert reader.work()[0] == 4900


@pytest.mark.parametrize("apart", [25.152, 3600.0, 36000.0, 648000.0])
def test_similar_to_when_galaxies_crowd_then_keeps_separated_ones(
    reader: ReaderSession, engine: Engine, apart: float
):
    random = np.random.default_rng(15)
    crowded = scattered_sky(adversarial_vectors())
    n = len(crowded.ra)
    # Groups across RA 0 and at a pole, a few to many of them closer than 25 arcsec.
    ra = (np.where(np.arange(n) % 2, 359.99, 80) + random.normal(scale=0.01, size=n)) % 360
    dec = np.where(np.arange(n) % 2, 0.0, 89.99) + random.normal(scale=0.01, size=n)
    dec = np.where(dec > 90, 180 - dec, dec)
    spread = np.arange(n) % 5 > 2
    sky = Sky(
        ra=np.where(spread, crowded.ra, ra),
        dec=np.where(spread, crowded.dec, dec),
        mag_r=crowded.mag_r,
        vectors=crowded.vectors,
    )
    fill(engine, sky)
    points = unit_vectors(sky.ra, sky.dec)
    for galaxy_id in (np.flatnonzero(sky.vectors.any(axis=1))[[3, 40, 777]] + 1).tolist():
        rows = ask(reader, galaxy_id, k=60, apart=apart)

        similarities = cosines(sky, sky.vectors[galaxy_id - 1])
        among = np.arange(1, n + 1) != galaxy_id
        order = np.array(ranked(similarities, among=among, least=False))
        places = keep_separated(
            points[order - 1],
            points[galaxy_id - 1 : galaxy_id],
            min_separation=apart / 3600,
            k=60,
        )
        assert [row.galaxy_id for row in rows] == order[places].tolist()
        assert all(row.separation >= apart / 3600 for row in rows)


def test_similar_to_when_an_approximate_index_is_there_then_stays_exact(
    reader: ReaderSession, engine: Engine, sky: Sky
):
    columns = [("embedding_e1", "embedding", 32), ("embedding_compact_e1", "compact", 17)]
    with engine.begin() as connection:
        for table, column, dimension in columns:
            connection.execute(
                sa.text(
                    f"CREATE INDEX ON {table} USING hnsw (({column}::halfvec({dimension}))"
                    " halfvec_l2_ops) WITH (m = 2, ef_construction = 4)"
                )
            )
    for dearer in ("enable_seqscan", "enable_sort"):
        reader.connection.execute(f"SET {dearer} = off")
    galaxy_id = int(np.flatnonzero(sky.vectors.any(axis=1))[0]) + 1

    rows = ask(reader, galaxy_id, k=300)

    among = np.arange(1, len(sky.ra) + 1) != galaxy_id
    truth = ranked(cosines(sky, sky.vectors[galaxy_id - 1]), among=among, least=False)
    assert [row.galaxy_id for row in rows] == truth[:300]


def test_similar_to_when_the_table_is_large_then_its_scan_is_parallel(
    reader: ReaderSession, sky: Sky
):
    alone = ask(reader, 2, k=50, cut="mag_r < 19")
    reader.connection.execute("RESET SESSION AUTHORIZATION")
    reader.connection.execute("LOAD 'auto_explain'")
    for name, value in [
        ("auto_explain.log_min_duration", "0"),
        ("auto_explain.log_nested_statements", "on"),
        ("client_min_messages", "log"),
        # As if it were large.
        ("min_parallel_table_scan_size", "0"),
        ("parallel_setup_cost", "0"),
        ("parallel_tuple_cost", "0"),
    ]:
        reader.connection.execute(f"SET {name} = {value}")
    reader.connection.execute("SET SESSION AUTHORIZATION skylike_reader")

    rows = ask(reader, 2, k=50, cut="mag_r < 19")

    assert rows == alone
    (plan,) = [told for told in reader.told("LOG") if "compact <-> $1" in told]
    assert "Parallel Seq Scan on embedding_compact_e1" in plan
