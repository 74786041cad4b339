"""``skylike evaluate window``: how much of the full search the magnitude window finds.

The paper limits its lists to galaxies within 0.5 mag in r and calls the results "nearly equivalent"
to the full search (section 2), without a number.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from sqlalchemy import Connection, Engine

from skylike.bands import BANDS
from skylike.database.engine import connect
from skylike.database.snapshot import begin_snapshot
from skylike.errors import EmptyStageError, NeighborRunNotFoundError, SettingsError
from skylike.evaluation import store
from skylike.evaluation.cosines import nearest_places, unit_rows
from skylike.evaluation.subject import Subject, describe_record
from skylike.evaluation.window_overlaps import (
    Averages,
    MagnitudeBin,
    WindowOverlap,
    by_magnitude,
    candidate_shares,
    run_overlaps,
    window_overlaps,
)
from skylike.neighbors.check import fetch_complete_run
from skylike.neighbors.store import NeighborRun
from skylike.neighbors.verify import Rules
from skylike.progress import SILENT, Progress

DEPTHS: Final = (10, 100, 999)
"""Ranks down to which lists are compared; the paper keeps 999 neighbors."""

MAXIMUM_DEPTH: Final = 10_000
"""Longest list: beyond it the lists of a sample of 1,000 take 80 MB for each 10,000."""


@dataclass(frozen=True)
class WindowReport:
    """What the window leaves of the full search."""

    encoder: Subject
    run: int | None
    """Number of the run whose lists were compared too."""

    is_run_published: bool | None
    band: str
    width: float
    galaxies: int
    """Galaxies among which was searched."""

    embedded: int
    """Galaxies with an embedding, of which those may be a random part."""

    without_magnitude: int
    """Among them; candidates of each other only."""

    sample: int
    """Galaxies whose lists were compared."""

    without_direction: int
    """Drawn and left out: their embedding is zero or not finite."""

    without_list: int
    """Of the sample, galaxies that the run has no list of."""

    seed: int
    overlaps: tuple[WindowOverlap, ...]
    bins: tuple[MagnitudeBin, ...]


@dataclass(frozen=True)
class WindowOptions:
    """What is compared.

    Raises
    ------
    SettingsError
        A number is out of range, or the band unknown.
    """

    depths: tuple[int, ...] = DEPTHS
    band: str = "r"
    width: float = 0.5
    sample: int = 1000
    among: int | None = None
    """Search among so many galaxies drawn at random; None searches among all."""

    seed: int = 0

    def __post_init__(self) -> None:
        if not self.depths or min(self.depths) < 1 or max(self.depths) > MAXIMUM_DEPTH:
            raise SettingsError(f"-k {list(self.depths)}: use ranks from 1 to {MAXIMUM_DEPTH}")
        if self.band not in BANDS:
            raise SettingsError(f"band {self.band!r} is unknown; use one of {', '.join(BANDS)}")
        if not (np.isfinite(self.width) and self.width >= 0):
            raise SettingsError(f"window width {self.width}: use magnitudes, such as 0.5")
        if self.sample < 1:
            raise SettingsError(f"a sample of {self.sample} galaxies: use at least 1")
        if self.among is not None and self.among < max(2, self.sample):
            raise SettingsError(
                f"--among {self.among} is less than 2 or than the sample of {self.sample}; "
                "raise it, or lower --sample"
            )
        if self.seed < 0:
            raise SettingsError(f"seed {self.seed}: use 0 or more")


def evaluate_window(
    engine: Engine,
    encoder: str | None = None,
    *,
    options: WindowOptions | None = None,
    run_id: int | None = None,
    progress: Progress = SILENT,
) -> WindowReport:
    """Compare the magnitude window with the full search, by brute force in float64.

    Parameters
    ----------
    encoder
        None takes the active one.
    run_id
        Compare the stored lists of this run too; encoder, band and width are its own then, and
        ranks beyond its k are left out.

    Raises
    ------
    SettingsError
        ``among`` together with a run, or a run without a window.
    EncoderNotFoundError, NeighborRunNotFoundError
        There is no such encoder or run, or none is active.
    EmptyStageError
        Fewer than two galaxies have an embedding, or the galaxies drawn have no usable one.
    """
    chosen = options or WindowOptions()
    generator = np.random.default_rng(chosen.seed)
    with connect(engine) as connection:
        begin_snapshot(connection)
        run = None
        if run_id is not None:
            run = _run(connection, run_id, encoder)
            chosen, encoder = _as_of_run(chosen, run), run.encoder
        found = store.fetch_population(connection, encoder, band=chosen.band)
        if len(found.galaxy_ids) < 2:
            raise EmptyStageError(
                f"encoder {found.record.name!r} has {len(found.galaxy_ids)} embeddings; two are "
                "the least: run `skylike embed` first"
            )
        part = found.draw(chosen.among, generator)
        rules = Rules(part.galaxy_ids, part.magnitudes, chosen.width, max(chosen.depths))
        places = np.sort(
            generator.choice(
                len(part.galaxy_ids), min(chosen.sample, len(part.galaxy_ids)), replace=False
            )
        )
        ids, vectors = store.fetch_usable(connection, found.record, part.galaxy_ids[places])
        if not len(ids):
            raise EmptyStageError(
                f"none of the {len(places):,} galaxies drawn has an embedding with a direction; "
                "run `skylike embed` again, or draw others with --seed"
            )
        used = np.searchsorted(part.galaxy_ids, ids)
        with progress.task("Searching without the window", total=len(part.galaxy_ids)) as task:
            full = nearest_places(
                unit_rows(vectors),
                used,
                store.iter_population(connection, part),
                part.galaxy_ids,
                k=max(chosen.depths),
                task=task,
            )
        lists = store.fetch_neighbor_ids(connection, run.run_id, ids) if run else {}
    shares = window_overlaps(full, used, rules, chosen.depths)
    of_run = run_overlaps(full, ids, rules, lists, chosen.depths) if run else None
    chance = candidate_shares(part.galaxy_ids, part.magnitudes, chosen.width)[used]
    averages = Averages(chosen.depths, shares, of_run, chance, chosen.seed)
    return WindowReport(
        encoder=describe_record(found.record),
        run=run.run_id if run else None,
        is_run_published=run.state == "published" if run else None,
        band=chosen.band,
        width=chosen.width,
        galaxies=len(part.galaxy_ids),
        embedded=len(found.galaxy_ids),
        without_magnitude=int(np.count_nonzero(~np.isfinite(part.magnitudes))),
        sample=len(ids),
        without_direction=len(places) - len(ids),
        without_list=len(ids) - len(lists) if run else 0,
        seed=chosen.seed,
        overlaps=averages.of(np.ones(len(ids), np.bool_)),
        bins=by_magnitude(part.magnitudes[used], averages),
    )


def _run(connection: Connection, run_id: int, encoder: str | None) -> NeighborRun:
    run = fetch_complete_run(connection, run_id)
    if encoder is not None and encoder != run.encoder:
        raise NeighborRunNotFoundError(
            f"run {run_id} is of encoder {run.encoder!r}, not of {encoder!r}; leave --encoder out"
        )
    return run


def _as_of_run(options: WindowOptions, run: NeighborRun) -> WindowOptions:
    if options.among is not None:
        raise SettingsError(
            "--among and --run exclude each other: the lists of a run are of all galaxies"
        )
    if run.band is None or run.width is None:
        raise SettingsError(
            f"run {run.run_id} has no window, its lists are those of the full search; "
            "name another, or leave --run out"
        )
    depths = tuple(depth for depth in options.depths if depth <= run.k)
    if not depths:
        raise SettingsError(f"run {run.run_id} keeps {run.k} neighbors; give -k up to that")
    return WindowOptions(
        depths=depths,
        band=run.band,
        width=run.width,
        sample=options.sample,
        seed=options.seed,
    )
