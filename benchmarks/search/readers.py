"""Many readers at once: each asks one question every few seconds, for minutes.

    python benchmarks/search/readers.py --data FOLDER --case trained --output readers.json
        [--readers 64] [--every 2] [--minutes 5] [--matching 10000] [--processes 4] [--route exact]

Measures the single user first, then all readers, each with a connection of its own, spread over
processes (one Python process would wait for its own lock before the server is busy). Cuts match 100
to ``--matching`` galaxies, log-uniformly. A query that comes late is asked at once, and its time
counts from when it was due. Wanted: no error, 95th percentile at most 5 times the single user's
median, and as many connections afterwards as before.
"""

import argparse
import json
import multiprocessing as mp
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import ours
import sqlalchemy as sa
from build import galaxy_ids, open_engine
from questions import CORRELATED, UNCORRELATED, Cut, Question, Row, Sky, open_sky, questions_of
from sqlalchemy import Engine

from skylike.database.engine import make_engine


def make_questions(sky: Sky, count: int, matching: int, seed: int) -> list[Question]:
    """Draw questions whose cuts match up to so many galaxies, log-uniformly, at least 100."""
    random = np.random.default_rng(seed)
    questions = []
    for _ in range(count):
        column = (CORRELATED, UNCORRELATED)[random.integers(2)]
        wanted = int(np.exp(random.uniform(np.log(100), np.log(matching))))
        place = min(wanted, len(sky.ids) - 1)
        below = float(f"{np.partition(sky.columns[column], place)[place]:.6f}")
        query = random.integers(len(sky.ids), size=1)
        questions += questions_of(sky, Row("", Cut(column, below)), query)
    return questions


def read(
    engine: Engine,
    encoder: str,
    questions: list[Question],
    times: tuple[float, float],
    route: str,
    found: list[dict[str, Any]],
) -> None:
    """Ask one question every so many seconds from a start (monotonic time) on."""
    method = ours.library(engine, encoder, fast=route == "fast")
    start, every = times
    for number, question in enumerate(questions):
        due = start + number * every
        time.sleep(max(0.0, due - time.monotonic()))
        try:
            rows = len(method.ask(question))
        except Exception as error:  # noqa: BLE001 - every failure is what we count
            found.append({"error": f"{type(error).__name__}: {error}"})
            continue
        found.append({"ms": 1000 * (time.monotonic() - due), "rows": rows})


def serve_readers(
    url: str,
    encoder: str,
    share: list[list[Question]],
    times: tuple[float, float],
    route: str,
    pipe: Any,  # noqa: ANN401 - multiprocessing's connection
) -> None:
    """Run some readers as threads of one process; send what they found."""
    engines = [make_engine(url, application="skylike reader") for _ in share]
    found: list[dict[str, Any]] = []
    start, every = times
    threads = [
        threading.Thread(
            target=read,
            # Spread over the interval, as people are.
            args=(engine, encoder, mine, (start + every * n / len(share), every), route, found),
        )
        for n, (engine, mine) in enumerate(zip(engines, share, strict=True))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for engine in engines:
        engine.dispose()
    pipe.send(found)


def count_connections(engine: Engine) -> int:
    """Count client connections to the database."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
    with engine.connect() as connection:
        return int(connection.scalar(sa.text(query)) or 0)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Measure one user, then all of them."""
    engine = open_engine()
    sky = open_sky(options.data, options.case, galaxy_ids(engine))
    url = engine.url.render_as_string(hide_password=False)
    each = max(1, int(options.minutes * 60 / options.every))
    drawn = make_questions(sky, 64, options.matching, seed=1)
    single: list[dict[str, Any]] = []
    for question in [*drawn[:8], *drawn]:
        read(engine, options.case, [question], (time.monotonic(), 0.0), options.route, single)
    alone = [answer["ms"] for answer in single[8:] if "ms" in answer]  # the first eight warm
    before = count_connections(engine)
    pool = make_questions(sky, 512, options.matching, seed=2)
    random = np.random.default_rng(3)
    readers = [
        [pool[i] for i in random.integers(len(pool), size=each)] for _ in range(options.readers)
    ]
    context = mp.get_context("spawn")
    start = time.monotonic() + 10.0  # processes take a few seconds to import
    jobs = []
    for number in range(options.processes):
        receiver, sender = context.Pipe(duplex=False)
        arguments = (
            *(url, options.case, readers[number :: options.processes]),
            *((start, options.every), options.route, sender),
        )
        job = context.Process(target=serve_readers, args=arguments)
        job.start()
        jobs.append((job, receiver))
    answers = [answer for _, receiver in jobs for answer in receiver.recv()]
    for job, _ in jobs:
        job.join()
    time.sleep(1.0)  # a server process takes a moment to end
    return report(alone, answers, before, count_connections(engine), options)


def report(
    alone: list[float],
    answers: list[dict[str, Any]],
    before: int,
    after: int,
    options: argparse.Namespace,
) -> dict[str, Any]:
    """Sum up."""
    times = [answer["ms"] for answer in answers if "ms" in answer]
    errors = [answer["error"] for answer in answers if "error" in answer]
    single = float(np.median(alone))
    p95 = float(np.quantile(times, 0.95)) if times else float("nan")
    return {
        "readers": options.readers,
        "every_s": options.every,
        "minutes": options.minutes,
        "route": options.route,
        "single_user_median_ms": single,
        "asked": len(answers),
        "errors": len(errors),
        "first_errors": errors[:5],
        "median_ms": float(np.median(times)) if times else None,
        "p95_ms": p95,
        "worst_ms": max(times, default=None),
        "p95 / single-user median": p95 / single,
        "connections": {"before": before, "after": after},
    }


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--case", default="trained")
    parser.add_argument("--readers", type=int, default=64)
    parser.add_argument("--every", type=float, default=2.0)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--matching", type=int, default=10_000)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--route", choices=("exact", "fast"), default="exact")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    found = measure(options)
    text = json.dumps(found, indent=1)
    print(text)
    options.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
