"""``skylike neighbors verify``: a sample of stored lists against the database as it is now."""

import json
from dataclasses import asdict, dataclass

import numpy as np
from sqlalchemy import Connection, Engine

from skylike.database.engine import connect
from skylike.database.snapshot import begin_snapshot
from skylike.embeddings.store import fetch_encoder
from skylike.errors import NeighborRunNotFoundError, SettingsError
from skylike.neighbors import store, store_check, store_input, store_lists
from skylike.neighbors.staleness import InputWatch, Staleness
from skylike.neighbors.store import NeighborRun
from skylike.neighbors.store_lists import SIMILARITIES
from skylike.neighbors.verify import (
    CONFIDENCE,
    Rules,
    Verification,
    least_fraction_right,
    verify_lists,
)
from skylike.progress import SILENT, Progress


@dataclass(frozen=True)
class CheckedRun:
    """A run, how its sample compares, and what has changed since it was built."""

    run: NeighborRun
    verification: Verification
    missing_lists: int
    """Galaxies that the run compared and that have no list, of all galaxies."""

    extra_lists: int
    """Lists of galaxies that the run has not compared, of all lists."""

    staleness: Staleness

    @property
    def is_right(self) -> bool:
        """Whether the lists are what they should be by what the run has read.

        False also where no list could be compared: then nothing is known of them.
        """
        return (
            self.verification.galaxies > 0
            and self.verification.is_perfect
            and not self.missing_lists
            and not self.extra_lists
        )

    @property
    def least_right(self) -> float | None:
        """Fraction of all lists that are right, at least, with confidence ``CONFIDENCE``."""
        if not self.is_right:
            return None
        return least_fraction_right(self.verification.galaxies, self.run.n_galaxies or 0)


def check_run(
    engine: Engine,
    run_id: int | None = None,
    *,
    sample: int = 200,
    seed: int = 0,
    progress: Progress = SILENT,
) -> CheckedRun:
    """Recompute the lists of randomly drawn galaxies in float64 and compare.

    A run is held to what it has read: galaxies that were added, changed or removed since are
    counted, and do not make its lists wrong. The number of lists is compared for all galaxies.

    Parameters
    ----------
    run_id
        None takes the published run of the active encoder.
    sample
        Galaxies to draw.

    Raises
    ------
    NeighborRunNotFoundError
        There is no such run, it is not complete, or none is published.
    SettingsError
        The sample is empty, or the seed negative.
    """
    if sample < 1:
        raise SettingsError(f"a sample of {sample} galaxies: use at least 1")
    if seed < 0:
        raise SettingsError(f"seed {seed}: use 0 or more")
    with connect(engine) as connection:
        begin_snapshot(connection)
        run = fetch_complete_run(connection, run_id)
        record = fetch_encoder(connection, run.encoder)
        list_ids = store_check.fetch_list_ids(connection, run.run_id)
        other_ids = store_check.fetch_list_ids(connection, run.run_id, of=SIMILARITIES)
        given = store_check.fetch_input(connection, run, list_ids)
        generator = np.random.default_rng(seed)
        size = min(sample, len(given.galaxy_ids))
        drawn = np.sort(generator.choice(given.galaxy_ids, size=size, replace=False))
        stored = store_lists.fetch_lists(connection, run.run_id, drawn)
        queries = store_input.fetch_vectors(connection, record, drawn)
        ids, magnitudes = store_input.fetch_magnitudes(connection, run.encoder_id, run.band)
        rules, watch = Rules(ids, magnitudes, run.width, run.k), InputWatch(given)
        with progress.task("Comparing with float64", total=len(ids)) as task:
            batches = store_input.iter_embeddings(connection, record)
            verification = verify_lists(stored, queries, batches, rules, task, watch=watch)
    # What has kept no hashes tells how many it compared, not which.
    n_compared = len(given.galaxy_ids) if given.hashes is not None else run.n_galaxies or 0
    whole = np.intersect1d(list_ids, other_ids, assume_unique=True)
    every = np.union1d(list_ids, other_ids)
    return CheckedRun(
        run=run,
        verification=verification,
        missing_lists=max(n_compared - int(watch.were_there(whole).sum()), 0),
        extra_lists=len(every) - min(int(watch.were_there(every).sum()), n_compared),
        staleness=watch.staleness(),
    )


def fetch_complete_run(connection: Connection, run_id: int | None) -> NeighborRun:
    """Fetch a run whose lists are all there; None takes the published one of the active encoder.

    Raises
    ------
    NeighborRunNotFoundError
        There is no such run, it is not complete, or none is published.
    """
    if run_id is None:
        return store.fetch_published_run(connection)
    run = store.fetch_run(connection, run_id)
    if run.state == "building":
        raise NeighborRunNotFoundError(
            f"neighbor run {run.run_id} is not complete; go on with the command that began it"
        )
    return run


def check_lines(checked: CheckedRun) -> list[str]:
    """Say for people how a run compares."""
    run, result = checked.run, checked.verification
    lines = [
        f"Run {run.run_id}: {result.galaxies:,} of {run.n_galaxies:,} lists computed again in "
        f"float64: recall {result.recall:.6f} ({result.missing:,} of {result.neighbors:,} "
        f"neighbors missing), {result.order_errors:,} order errors, "
        f"{result.window_violations:,} window violations, similarities within "
        f"{result.similarity_error:.1e}."
    ]
    if checked.missing_lists or checked.extra_lists:
        lines.append(
            f"{checked.missing_lists:,} galaxies have no list that should, "
            f"{checked.extra_lists:,} have one that should not."
        )
    if not result.galaxies:
        lines.append(
            "Every galaxy of the sample has changed since: nothing could be compared. "
            "Build anew, or take a larger sample."
        )
    elif not checked.is_right:
        lines.append("The lists are wrong: drop the run and build anew. Please report this.")
    elif checked.least_right is not None:
        lines.append(
            f"All are right: with {CONFIDENCE:.0%} confidence {_floored(checked.least_right)} "
            "of the run's lists or more."
        )
    if checked.staleness:
        lines.append(_stale_line(checked))
    return lines


def recall_line(run: NeighborRun) -> str:
    """Say what was measured of a complete run when it was built, and what that proves."""
    if run.recall is None:
        return "recall not measured"
    measured = f"recall {run.recall:.6f} in a sample of {run.recall_sample} lists"
    if run.recall != 1.0 or not run.recall_sample:
        return measured
    least = least_fraction_right(run.recall_sample, run.n_galaxies or 0)
    return f"{measured}: with {CONFIDENCE:.0%} confidence {_floored(least)} of all lists or more"


def _floored(fraction: float) -> str:
    # A lower bound is not rounded up.
    return f"{np.floor(fraction * 1e5) / 1e3:g} %"


def _stale_line(checked: CheckedRun) -> str:
    stale = checked.staleness
    counts = [(stale.new, "new"), (stale.changed, "changed"), (stale.gone, "gone")]
    told = ", ".join(f"{number:,} {what}" for number, what in counts if number)
    return (
        f"Stale: galaxies {told} since the run read its input. By the galaxies of today the recall "
        f"is {checked.verification.current_recall:.6f}; bring it up to date with "
        "`skylike neighbors update`."
    )


def check_json(checked: CheckedRun) -> str:
    """Write the same as JSON; the similarity error is null where a similarity is no number."""
    run, result = checked.run, checked.verification
    error = result.similarity_error if np.isfinite(result.similarity_error) else None
    return json.dumps(
        {
            "run": run.run_id,
            "encoder": run.encoder,
            "k": run.k,
            "band": run.band,
            "width": run.width,
            "is_right": checked.is_right,
            "sample": {**asdict(result), "recall": result.recall, "similarity_error": error},
            "missing_lists": checked.missing_lists,
            "extra_lists": checked.extra_lists,
            "least_fraction_right": checked.least_right,
            "confidence": CONFIDENCE,
            "stale": asdict(checked.staleness),
        },
        indent=2,
    )
