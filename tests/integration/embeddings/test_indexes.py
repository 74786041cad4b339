"""The indexes of compact vectors: those of the parent, no more, and the approximate one."""

import numpy as np
import sqlalchemy as sa

from search_factory import fill, insert_compact, random_units, scattered_sky, vacuum
from skylike.embeddings.store import fetch_active_encoder
from skylike.embeddings.store_indexes import build_fast_index, has_fast_index
from skylike.search.query import Query
from skylike.search.search import answer

INDEXES = """
SELECT c.relname, h.inhparent IS NOT NULL AS is_attached
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
LEFT JOIN pg_inherits AS h ON h.inhrelid = i.indexrelid
WHERE i.indrelid = CAST(:table AS regclass)
ORDER BY c.relname
"""


def indexes(engine, table: str) -> dict[str, bool]:
    with engine.connect() as connection:
        return {
            row.relname: row.is_attached
            for row in connection.execute(sa.text(INDEXES), {"table": table})
        }


def test_published_indexes_become_parts_of_those_of_the_parent(engine):
    encoder_id = fill(engine, scattered_sky(random_units(50, 8)))

    made = indexes(engine, f"skylike.embedding_compact_e{encoder_id}")

    assert len(made) == len(indexes(engine, "skylike.embedding_compact"))
    assert all(made.values())
    assert f"embedding_compact_e{encoder_id}_mag_r_idx" in made


def test_new_compact_vectors_bring_the_approximate_index_along(engine):
    encoder_id = fill(engine, scattered_sky(random_units(50, 8)))
    with engine.connect() as connection:
        record = fetch_active_encoder(connection)
        assert not has_fast_index(connection, encoder_id)
    build_fast_index(engine, record)
    before = indexes(engine, f"skylike.embedding_compact_e{encoder_id}")

    insert_compact(engine, encoder_id, components=2)

    with engine.connect() as connection:
        assert has_fast_index(connection, encoder_id)
    assert indexes(engine, f"skylike.embedding_compact_e{encoder_id}") == before
    assert f"embedding_compact_e{encoder_id}_fast_idx" in before


def test_the_approximate_index_when_built_again_takes_the_place_of_the_old_one(engine):
    encoder_id = fill(engine, scattered_sky(random_units(50, 8)))
    with engine.connect() as connection:
        record = fetch_active_encoder(connection)

    build_fast_index(engine, record)
    build_fast_index(engine, record)

    table = f"embedding_compact_e{encoder_id}"
    assert f"{table}_fast_idx" in indexes(engine, f"skylike.{table}")


def test_a_range_of_magnitudes_is_read_from_the_index_alone(engine):
    magnitudes = np.linspace(14, 22, 20_000)
    encoder_id = fill(engine, scattered_sky(random_units(20_000, 8), mag_r=magnitudes))
    vacuum(engine, f"skylike.embedding_compact_e{encoder_id}")

    where = "mag_r BETWEEN 18 AND 18.1 AND type IS NULL"
    found = answer(engine, Query(galaxies=(1,), where=where), explain=True)

    assert "Index Only Scan using" in found.explanation
    assert "mag_r_idx" in found.explanation
