"""Ask all methods the same questions in one run, interleaved, and compare with the float64 truth.

    python benchmarks/search/run.py --data FOLDER --case trained --output RESULT
        [--queries 24] [--method exact --method fast ...] [--peers FOLDER] [--signs] [--hnsw]

The database is the one that build.py filled from FOLDER. Writes RESULT.json and RESULT.md: for each
cut and cone, every method's median and 95th percentile, recall@100 and rows returned; then build
times and bytes. A method's order changes from question to question; each is asked all questions of
a row untimed first, so that times are of pages in memory. ``--method`` is any of exact, fast, sql,
plain, faiss; ``--signs`` and ``--hnsw`` add pgvector's HNSW on centered signs (a million galaxies)
and on whole vectors (200,000); ``--peers FOLDER`` adds LanceDB, DuckDB and qdrant-edge, built there
(extra `peers`; all of them, or those named with ``--peer``).
"""

import argparse
import contextlib
import json
import os
import platform
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import ours
import peers
import plain
import sqlalchemy as sa
import tables
from build import galaxy_ids, open_engine, relation_bytes
from questions import (
    Question,
    Row,
    Sky,
    Truth,
    choose_queries,
    open_sky,
    questions_of,
    rows_of,
    similarities,
    truth_of,
)
from sqlalchemy import Engine

from skylike.embeddings.store import activate_encoder, fetch_encoder

METHODS: Final = ("exact", "fast", "sql", "plain", "faiss")


@dataclass
class Asked:
    """What one method gave on one row."""

    milliseconds: list[float] = field(default_factory=list)
    recall: list[float] = field(default_factory=list)
    returned: list[int] = field(default_factory=list)
    expected: list[int] = field(default_factory=list)
    error: str | None = None

    def summary(self) -> dict[str, Any]:
        """Return the numbers of the table."""
        if self.error is not None or not self.milliseconds:
            return {"error": self.error or "not asked"}
        return {
            "median_ms": float(np.median(self.milliseconds)),
            "p95_ms": float(np.quantile(self.milliseconds, 0.95)),
            "recall": float(np.mean(self.recall)),
            "worst_recall": float(np.min(self.recall)),
            "returned": float(np.mean(self.returned)),
            "expected": float(np.mean(self.expected)),
            "short": sum(r < e for r, e in zip(self.returned, self.expected, strict=True)),
        }


def ask_row(
    methods: list[ours.Method], questions: list[Question], truths: list[Truth], sky: Sky
) -> dict[str, Asked]:
    """Ask a row's questions; a method that fails once is left out of the rest of the row."""
    asked = {method.name: Asked() for method in methods}
    # All of it untimed first: who asked before others would pay for reading what they share.
    for method in methods:
        for question, truth in zip(questions, truths, strict=True):
            if asked[method.name].error is None:
                ask_once(method, question, truth, sky, asked[method.name])
        asked[method.name] = Asked(error=asked[method.name].error)
    for number, (question, truth) in enumerate(zip(questions, truths, strict=True)):
        turn = number % len(methods)
        for method in methods[turn:] + methods[:turn]:
            if asked[method.name].error is None:
                ask_once(method, question, truth, sky, asked[method.name])
    return asked


def ask_once(method: ours.Method, question: Question, truth: Truth, sky: Sky, into: Asked) -> None:
    """Ask one question and note time, recall and rows."""
    start = time.perf_counter()
    try:
        ids = method.ask(question)
    except Exception as error:  # noqa: BLE001 - any peer's failure is a result of the benchmark
        into.error = f"{type(error).__name__}: {str(error).splitlines()[0]}"
        return
    into.milliseconds.append(1000 * (time.perf_counter() - start))
    into.recall.append(truth.recall(np.searchsorted(sky.ids, ids)))
    into.returned.append(len(ids))
    into.expected.append(truth.expected)


def open_methods(
    engine: Engine, sky: Sky, case: str, options: argparse.Namespace
) -> tuple[list[ours.Method], dict[str, Any]]:
    """Open, and build where needed, what was asked for; return methods and what they cost."""
    wanted = options.method or list(METHODS)
    methods: list[ours.Method] = []
    costs: dict[str, Any] = {}
    if "exact" in wanted:
        methods.append(ours.library(engine, case, fast=False))
    if "fast" in wanted:
        methods.append(ours.library(engine, case, fast=True))
    if "sql" in wanted:
        methods.append(ours.function(engine))
    if "plain" in wanted:
        costs["pgvector table"] = plain.build_table(engine, case)
        methods.append(plain.exact(engine, case))
    for bits, is_wanted in ((True, options.signs), (False, options.hnsw)):
        if is_wanted:
            costs.setdefault("pgvector table", plain.build_table(engine, case))
            costs[f"pgvector HNSW{' on signs' if bits else ''}"] = plain.build_hnsw(
                engine, case, bits=bits
            )
            methods.append(plain.iterative(engine, case, bits=bits))
    if "faiss" in wanted:
        methods.append(peers.faiss_flat(sky))
    for peer in peers.PEERS if options.peers else ():
        if options.peer and peer.name not in options.peer:
            continue
        found, cost = peers.open_peer(peer, sky, options.peers / case)
        methods += found
        costs[peer.name] = cost
    return methods, costs


def server_facts(engine: Engine) -> dict[str, Any]:
    """Return versions and settings that times depend on."""
    names = ("server_version", "shared_buffers", "max_parallel_workers_per_gather", "work_mem")
    with engine.connect() as connection:
        facts = {
            n: connection.scalar(sa.text("SELECT current_setting(:n)"), {"n": n}) for n in names
        }
        facts["pgvector"] = connection.scalar(
            sa.text("SELECT extversion FROM pg_extension WHERE extname = 'vector'")
        )
    return facts | {"cores": len(os.sched_getaffinity(0)), "machine": platform.machine()}


def measure(engine: Engine, case: str, options: argparse.Namespace) -> dict[str, Any]:
    """Run the benchmark on one case."""
    sky = open_sky(options.data, case, galaxy_ids(engine))
    with engine.begin() as connection:
        record = fetch_encoder(connection, case)
        activate_encoder(connection, case)  # the SQL function asks the active one
    queries = choose_queries(len(sky.ids), options.queries)
    scores = similarities(sky, queries)
    methods, costs = open_methods(engine, sky, case, options)
    load_before = os.getloadavg()[0]
    results = []
    with contextlib.ExitStack() as stack:
        for method in methods:
            stack.callback(method.close)
        for row in rows_of(sky):
            results.append(measure_row(row, sky, queries, scores, methods))
            print(tables.row_table(results[-1]), flush=True)
    return {
        "case": case,
        "galaxies": len(sky.ids),
        "dimension": int(sky.vectors.shape[1]),
        "queries": len(queries),
        "rows": results,
        "costs": costs,
        "bytes": relation_bytes(engine, record),
        "plain_bytes": plain.relation_bytes(engine, case),
        "server": server_facts(engine),
        "load_average": [load_before, os.getloadavg()[0]],
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def measure_row(
    row: Row,
    sky: Sky,
    queries: np.ndarray[Any, np.dtype[np.int64]],
    scores: np.ndarray[Any, np.dtype[np.float64]],
    methods: list[ours.Method],
) -> dict[str, Any]:
    """Measure one row of the benchmark."""
    questions = questions_of(sky, row, queries)
    truths = [truth_of(sky, q, s) for q, s in zip(questions, scores, strict=True)]
    asked = ask_row(methods, questions, truths, sky)
    return {
        "row": row.name,
        "cut": None if row.cut is None else row.cut.sql,
        "matching": float(np.mean([truth.matching for truth in truths])),
        "methods": {name: found.summary() for name, found in asked.items()},
    }


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--case", default="trained")
    parser.add_argument("--queries", type=int, default=24)
    parser.add_argument("--method", action="append", choices=METHODS)
    parser.add_argument("--signs", action="store_true")
    parser.add_argument("--hnsw", action="store_true")
    parser.add_argument("--peers", type=Path)
    parser.add_argument("--peer", action="append", choices=[p.name for p in peers.PEERS])
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    report = measure(open_engine(), options.case, options)
    options.output.with_suffix(".json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    options.output.with_suffix(".md").write_text(tables.document(report), encoding="utf-8")


if __name__ == "__main__":
    main()
