"""Time the neighbor search beside Faiss's full search and the paper's procedure, and the load.

Run on an otherwise idle machine::

    python benchmarks/neighbors.py [--galaxies 20000] [--database postgresql://...]

Elsewhere compare processor time, which other work disturbs less. OPENBLAS_THREAD_TIMEOUT=4 in the
environment keeps the threads of numpy's matrix product from spinning beside the selection.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import faiss
import numpy as np
import pyarrow as pa
import sqlalchemy as sa
from pgpq import ArrowToPostgresBinaryEncoder
from psycopg import sql

from skylike.database.copy import driver_connection
from skylike.database.engine import make_engine
from skylike.neighbors import store, store_lists
from skylike.neighbors.engine.rescore import Lists
from skylike.neighbors.engine.search import NeighborSearch, SearchPlan
from skylike.neighbors.engine.vectors import StagedVectors
from skylike.neighbors.engine.windows import Windows, magnitude_windows, order_by_magnitude
from skylike.neighbors.input_hashes import row_hashes
from skylike.neighbors.store import NeighborRun

WIDTH = 0.5
CHUNK = 2000
"""Chunk of the paper's procedure; it takes 1 M of 42 M galaxies, a smaller fraction."""

TILES_IN_SHARD = 64
"""Pieces of lists written in one transaction: about 8,000 lists, as in a build."""


def make_galaxies(n: int, dimension: int, generator: np.random.Generator) -> StagedVectors:
    """Make embeddings like those of a trained network, and magnitudes of a survey limited in z.

    Embeddings: 64 latent directions of falling variance, noise, a common mean, and ReLU, so that
    cosines lie around 0.43 and the spectrum is not flat. Magnitudes: number counts 10^(0.6 m) down
    to z = 20, color r - z normal (0.9, 0.4): a window of +-0.5 mag in r holds 0.39 of all pairs.
    """
    latent = 64
    mixing = generator.standard_normal((latent, dimension)).astype(np.float32)
    mixing *= ((1 + np.arange(latent)) ** -0.7)[:, None].astype(np.float32)
    vectors = generator.standard_normal((n, latent)).astype(np.float32) @ mixing
    vectors += 0.3 * generator.standard_normal((n, dimension)).astype(np.float32)
    vectors = np.maximum(vectors + 0.5, 0)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    mag_z = 20 + np.log10(np.maximum(generator.random(n), 1e-5)) / 0.6
    magnitudes = (mag_z + generator.normal(0.9, 0.4, n)).astype(np.float32)
    ids = np.arange(1, n + 1, dtype=np.int32)
    order = order_by_magnitude(ids, magnitudes)
    stored = vectors[order].astype(np.float16)
    norms = np.sqrt((stored.astype(np.float64) ** 2).sum(axis=1))
    center = (stored / norms[:, None]).mean(axis=0)
    hashes = row_hashes(stored, magnitudes[order])
    return StagedVectors(ids[order], magnitudes[order], stored, norms, center, hashes, 0)


def search(staged: StagedVectors, windows: Windows, k: int, engine: str) -> list[Lists]:
    """Search with one of our engines."""
    with NeighborSearch(staged, windows, SearchPlan(k=k, engine=engine)) as neighbors:
        return list(neighbors.lists(0, len(staged)))


def search_like_the_paper(vectors: np.ndarray, magnitudes: np.ndarray, k: int) -> np.ndarray:
    """Follow the paper: whole chunks that the window of a chunk touches, merged by argsort."""
    n = len(vectors)
    lists = np.zeros((n, k), np.int64)
    for first in range(0, n, CHUNK):
        queries = vectors[first : first + CHUNK]
        low = np.searchsorted(magnitudes, magnitudes[first] - WIDTH) // CHUNK
        last = min(first + CHUNK, n) - 1
        high = -(-np.searchsorted(magnitudes, magnitudes[last] + WIDTH) // CHUNK)
        best = np.zeros((len(queries), k), np.float32)
        best_ids = np.zeros((len(queries), k), np.int64)
        for chunk in range(low, high):
            block = vectors[chunk * CHUNK : (chunk + 1) * CHUNK]
            index = faiss.IndexFlatIP(vectors.shape[1])
            index.add(block)
            scores, columns = index.search(queries, min(k, len(block)))
            merged = np.concatenate([best, scores], axis=1)
            merged_ids = np.concatenate([best_ids, columns + chunk * CHUNK], axis=1)
            order = np.argsort(merged, axis=1)[:, ::-1][:, :k]
            best = np.take_along_axis(merged, order, axis=1)
            best_ids = np.take_along_axis(merged_ids, order, axis=1)
        lists[first : first + CHUNK] = best_ids
    return lists


def timed(function: Callable[[], object]) -> np.ndarray:
    """Return the seconds that a call takes, and those of all its threads on the processors."""
    start = np.array([time.perf_counter(), time.process_time()])
    function()
    return np.array([time.perf_counter(), time.process_time()]) - start


def in_shards(lists: list[Lists], staged: StagedVectors) -> Iterator[dict[str, np.ndarray]]:
    """Put lists together as a build writes them, with identifiers for places."""
    for first in range(0, len(lists), TILES_IN_SHARD):
        found = lists[first : first + TILES_IN_SHARD]
        yield {
            "galaxy_ids": staged.galaxy_ids[np.concatenate([part.rows for part in found])],
            "neighbor_ids": staged.galaxy_ids[np.concatenate([part.positions for part in found])],
            "similarities": np.concatenate([part.similarities for part in found]),
            "lengths": np.concatenate([part.lengths for part in found]),
        }


@contextmanager
def own_run(engine: sa.Engine, k: int) -> Iterator[NeighborRun]:
    """Enter an encoder and a run, and remove both again."""
    with engine.begin() as connection:
        encoder_id = connection.scalar(
            sa.text(
                "INSERT INTO encoder (name, architecture, width, dimension, input, bands,"
                " pixel_scale, crop_pix, preprocessing, training, checkpoint, checkpoint_sha256)"
                " VALUES ('benchmark ' || clock_timestamp(), 'none', 1, 1, 'rgb', '{}', 1, 1, '{}',"
                " '{}', '', '')"
                " RETURNING encoder_id"
            )
        )
        run = store.create_run(connection, {"encoder_id": encoder_id, "k": k, "software": {}})
    yield run
    with engine.begin() as connection:
        store.drop_run(connection, run)
        connection.execute(sa.text("DELETE FROM encoder WHERE encoder_id = :e"), {"e": encoder_id})


def load_seconds(engine: sa.Engine, lists: list[Lists], staged: StagedVectors, k: int) -> float:
    """Write all lists as a build does."""
    with own_run(engine, k) as run:
        start = time.perf_counter()
        for shard, arrays in enumerate(in_shards(lists, staged)):
            with engine.begin() as connection:
                store_lists.write_shard(connection, run.run_id, shard, **arrays)
        return time.perf_counter() - start


def packed(batches: Iterator[pa.RecordBatch]) -> bytes:
    """Return what COPY is sent for some rows."""
    first = next(batches)
    encoder = ArrowToPostgresBinaryEncoder(first.schema)
    parts = [encoder.write_header(), encoder.write_batch(first)]
    parts += [encoder.write_batch(batch) for batch in batches]
    return b"".join([*parts, encoder.finish()])


def raw_copy_seconds(engine: sa.Engine, lists: list[Lists], staged: StagedVectors, k: int) -> float:
    """Send the same bytes to the same two tables, packed beforehand: the server's share."""
    seconds = 0.0
    with own_run(engine, k) as run:
        for shard in in_shards(lists, staged):
            ids, lengths = shard["galaxy_ids"], shard["lengths"]
            rows = {
                store_lists.LISTS: store_lists.pack_lists(
                    run.run_id, ids, shard["neighbor_ids"], lengths
                ),
                store_lists.SIMILARITIES: store_lists.pack_similarities(
                    run.run_id, ids, shard["similarities"], lengths
                ),
            }
            data = {
                store_lists.run_table(parent, run.run_id): packed(batches)
                for parent, batches in rows.items()
            }
            with engine.begin() as connection, driver_connection(connection).cursor() as cursor:
                start = time.perf_counter()
                for table, data_of_table in data.items():
                    query = sql.SQL("COPY {} FROM STDIN (FORMAT BINARY)").format(
                        sql.Identifier("skylike", table)
                    )
                    with cursor.copy(query) as copy:
                        copy.write(data_of_table)
                connection.commit()
                seconds += time.perf_counter() - start
    return seconds


def print_load(url: str, lists: list[Lists], staged: StagedVectors, k: int, repeat: int) -> None:
    """Time the load of identifiers and similarities and a COPY of the same bytes, in turns."""
    engine = make_engine(url)
    times = {"load of the lists": np.inf, "raw COPY of its bytes": np.inf}
    for _ in range(repeat):
        for name, load in zip(times, (load_seconds, raw_copy_seconds), strict=True):
            times[name] = min(times[name], load(engine, lists, staged, k))
    for name, seconds in times.items():
        print(f"{name:24s} {len(staged) / seconds:8,.0f} galaxies/s")


def main() -> None:
    """Run everything and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--galaxies", type=int, default=20_000)
    parser.add_argument("--dimension", type=int, default=2048)
    parser.add_argument("-k", type=int, default=999)
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--database", help="URL of a migrated database, to time the load too")
    options = parser.parse_args()
    k = options.k
    staged = make_galaxies(options.galaxies, options.dimension, np.random.default_rng(0))
    windows = magnitude_windows(staged.magnitudes, WIDTH)
    wide = staged.vectors.astype(np.float32)
    fraction = (windows.stop - windows.start).mean() / len(staged)
    print(f"N {len(staged)}, d {options.dimension}, k {k}, window fraction {fraction:.3f}")
    ways = {
        "Faiss full N x N": lambda: faiss.knn(wide, wide, k + 1, faiss.METRIC_INNER_PRODUCT),
        "paper's procedure": lambda: search_like_the_paper(wide, staged.magnitudes, k + 1),
        "ours, Faiss": lambda: search(staged, windows, k, "faiss"),
        "ours, product": lambda: search(staged, windows, k, "product"),
    }
    times = {name: np.full(2, np.inf) for name in ways}
    for _ in range(options.repeat):
        for name, way in ways.items():
            times[name] = np.minimum(times[name], timed(way))
    full, paper = times["Faiss full N x N"], times["paper's procedure"]
    for column, clock in enumerate(["by the clock", "of processor time"]):
        for name, seconds in times.items():
            print(
                f"{name:20s} {seconds[column]:7.2f} s {clock},"
                f" {(seconds / full)[column]:5.2f} of full,"
                f" {(paper / seconds)[column]:5.2f} x faster than the paper's"
            )
    if options.database:
        lists = search(staged, windows, k, "product")
        print_load(options.database, lists, staged, k, options.repeat)


if __name__ == "__main__":
    main()
