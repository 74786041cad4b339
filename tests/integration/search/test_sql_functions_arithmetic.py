"""Float64 truth and proven bounds, from a database that counts in float32."""

import math
from collections.abc import Iterator

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy import Engine
from sqlalchemy.engine import URL

from reader_session import ReaderSession, reader_session
from search_factory import fill, random_units, scattered_sky

D = 64
SMALLEST = 2.0**-24
"""Of float16, above 0."""


@pytest.fixture
def reader(database_url: URL) -> Iterator[ReaderSession]:
    with reader_session(database_url) as session:
        yield session


def with_first(value: float, rest: np.ndarray) -> np.ndarray:
    made = rest.copy()
    made[0] = value
    return made


def pairs_hard_to_multiply() -> list[tuple[np.ndarray, np.ndarray]]:
    """Pairs of float16 vectors: of any angle, nearly orthogonal, with sums that float32 rounds."""
    units = random_units(40, D, seed=3)
    zero = np.zeros(D)
    pairs = [(units[n], c * units[n] + s * units[n + 1]) for n, (c, s) in enumerate(ANGLES)]
    pairs += [(scale * a, b) for scale in (1e-3, 1.0, 300.0) for a, b in pairs[:4]]
    # Unit vectors whose first entries add up to 1 + 3 * 2^-24: a tie in float32.
    units[:, 0] = 0
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    tiny, one = with_first(3 * SMALLEST, units[30]), with_first(1.0, zero)
    pairs += [(one, tiny), (tiny, -one), (with_first(1.0, 0.04 * units[30]), tiny)]
    pairs += [(with_first(-1.0, 0.04 * units[31]), tiny), (one, one)]
    return [(a.astype(np.float16), b.astype(np.float16)) for a, b in pairs]


ANGLES = [(math.cos(t), math.sin(t)) for t in np.linspace(0, math.pi, 25)]


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Sums without any rounding until the end."""
    wide_a, wide_b = a.astype(float), b.astype(float)
    lengths = math.sqrt(math.fsum(wide_a**2)) * math.sqrt(math.fsum(wide_b**2))
    return min(1.0, max(-1.0, math.fsum(wide_a * wide_b) / lengths))


def test_similarity_when_vectors_are_hard_to_multiply_then_is_float64(reader: ReaderSession):
    in_float32 = 0
    for a, b in pairs_hard_to_multiply():
        (row,) = reader.ask(
            "SELECT similarity(a, b) AS s, similarity(b, a) AS t, 1 - (a <=> b) AS u"
            " FROM (SELECT %s::real[]::halfvec AS a, %s::real[]::halfvec AS b)",
            (a.tolist(), b.tolist()),
        )

        assert row.s == pytest.approx(cosine(a, b), rel=1e-14, abs=3e-17)
        assert row.s == row.t
        in_float32 += row.u == pytest.approx(cosine(a, b), rel=1e-14, abs=3e-17)
    assert in_float32 < 15


def test_project_query_when_axes_are_not_quite_orthonormal_then_its_slack_bounds_the_error(
    reader: ReaderSession, engine: Engine
):
    random = np.random.default_rng(6)
    stored = random_units(6, D)[random.integers(0, 6, 400)] + 0.05 * random.normal(size=(400, D))
    fill(engine, scattered_sky(stored))
    with engine.begin() as connection:
        (mean,) = connection.execute(sa.text("SELECT mean FROM encoder")).one()
        axes = connection.execute(
            sa.text("SELECT direction FROM encoder_component ORDER BY component")
        ).scalars()
        skewed = np.array(list(axes)) + 1e-4 * random.normal(size=(D // 2, D))
        skewed[:, 5] = 1e-40  # times as little, nothing is left in float32
        for component, direction in enumerate(skewed.tolist(), start=1):
            updated = connection.execute(
                sa.text("UPDATE encoder_component SET direction = :d WHERE component = :c"),
                {"d": direction, "c": component},
            )
            assert updated.rowcount == 1
    queries = [
        *random_units(4, D, seed=8),
        stored[7],
        np.array(mean) * 3,  # its own direction: nearly nothing is left to project
        np.array(mean) + skewed[0],
        random_units(1, D, seed=9)[0] * 10 ** random.uniform(-40, 0, D),
        np.eye(D)[3],
        -np.eye(D)[3],
    ]
    for query in queries:
        (row,) = reader.ask(
            "SELECT compact::real[] AS compact, slack FROM project_query(%s::float8[])",
            (query.tolist(),),
        )

        centered = query / np.linalg.norm(query) - np.array(mean)
        y = skewed @ centered
        exact = np.append(y, np.linalg.norm(centered - y @ skewed))
        assert np.linalg.norm(row.compact - exact) < row.slack
        rounding = np.linalg.norm(exact - exact.astype(np.float16))
        assert row.slack < rounding + 400 * math.sqrt(D / 2) * 2.0**-24
