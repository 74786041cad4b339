"""A simulated survey from first to last: population, drawing in parallel, files."""

import json
import logging
import os
import shutil
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from itertools import islice
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from skylike.bands import CUTOUT_SIZE_PIX
from skylike.errors import ConflictError, SettingsError
from skylike.progress import SILENT, Progress, Task
from skylike.simulation import catalog, write
from skylike.simulation.classes import PREVALENCE
from skylike.simulation.population import Field, Population, draw_population

logger = logging.getLogger(__name__)

DEFAULT_CENTER: Final = (190.0, 25.0)
"""Center of the field, degrees: near the north galactic pole."""

DEFAULT_RADIUS_DEG: Final = 8.0
MAX_DENSITY: Final = 1000.0
"""Galaxies in a square degree beyond which the default field grows: simulated cutouts show no other
galaxy of the catalog, so that many of them must not overlap."""

DEFAULT_MAG_Z_RANGE: Final = (14.0, 20.0)
"""The paper takes galaxies to z magnitude 20; brighter than 14, few fit into a cutout."""

MAX_GALAXIES: Final = 1_000_000_000
"""280 TB of cutouts; file names count rows with 9 digits."""

MAG_Z_LIMITS: Final = (10.0, 24.0)
ROWS_PER_FILE: Final = 10_000
"""Cutouts in a file, 2.8 GB; what a killed run loses at most."""

BLOCK_ROWS: Final = 32
"""Cutouts that a worker draws at a time, 9 MB."""

AHEAD: Final = 64
"""Blocks drawn or waiting while the next one is written, 0.6 GB at most."""

_FORMAT: Final = 1
"""Raised whenever the same arguments give other pixels."""

Pixels = npt.NDArray[np.float32]


@dataclass(frozen=True)
class _Plan:
    """What the pixels depend on."""

    galaxies: int
    seed: int
    field: Field
    rows_per_file: int
    format: int = _FORMAT


@dataclass(frozen=True)
class SimulatedSurvey:
    """What a simulation has written.

    Attributes
    ----------
    images
        HDF5 files in the order of their rows.
    catalog, truth
        The sweep, and the table of true classes.
    counts
        Galaxies of each class; catalog rows of stars and duplicates are not among them.
    """

    images: tuple[Path, ...]
    catalog: Path
    truth: Path
    counts: dict[str, int]


def simulate(
    output: Path,
    *,
    galaxies: int,
    seed: int = 0,
    workers: int | None = None,
    field: Field | None = None,
    rows_per_file: int = ROWS_PER_FILE,
    progress: Progress = SILENT,
) -> SimulatedSurvey:
    """Simulate a survey; a run that was cut off goes on after its last finished file.

    Every galaxy has random numbers of its own, so that the pixels depend on ``seed``, not on
    ``workers``.

    Parameters
    ----------
    output
        Folder for ``images/images_npix152_*.h5``, ``sweep-sim.fits`` and ``truth.csv``.
    workers
        Processes; None takes one for each core.
    field
        Where and how deep; None is :func:`default_field`.

    Raises
    ------
    SettingsError
        An argument is out of range, the folder holds another simulation or cannot be written to,
        GalSim is not installed, or a worker was killed.
    ConflictError
        Another process simulates into the same folder.
    """
    field = field or default_field(galaxies)
    workers = workers if workers is not None else len(os.sched_getaffinity(0))
    plan = _Plan(galaxies, seed, field, rows_per_file)
    _check(plan, workers)
    if find_spec("galsim") is None:
        raise SettingsError("GalSim is not installed; run: pip install 'skylike[simulation]'")
    with _claimed(output):
        _check_folder(output, plan)
        return _simulate(output, plan, workers=workers, progress=progress)


def default_field(
    galaxies: int,
    *,
    center: tuple[float, float] = DEFAULT_CENTER,
    radius: float | None = None,
    mag_z_range: tuple[float, float] = DEFAULT_MAG_Z_RANGE,
) -> Field:
    """Return a field of 8 degrees, or as large as keeps 1000 galaxies in a square degree.

    Parameters
    ----------
    center
        ra, dec in degrees.
    radius
        Degrees, if not the default.
    """
    if radius is None:
        # Solid angle of a cone: 2 pi (1 - cos r).
        steradian = galaxies / MAX_DENSITY * np.radians(1) ** 2
        dense = np.degrees(np.arccos(np.clip(1 - steradian / (2 * np.pi), -1, 1)))
        radius = max(DEFAULT_RADIUS_DEG, float(dense))
    return Field(center[0], center[1], radius, mag_z_range)


def _check(plan: _Plan, workers: int) -> None:
    field = plan.field
    if plan.galaxies < 1:
        raise SettingsError(f"--galaxies {plan.galaxies}: at least 1 is needed")
    if plan.galaxies > MAX_GALAXIES:
        raise SettingsError(f"--galaxies {plan.galaxies}: at most {MAX_GALAXIES:,} are possible")
    if plan.seed < 0:
        raise SettingsError(f"--seed {plan.seed}: must not be negative")
    if workers < 1:
        raise SettingsError(f"--workers {workers}: at least 1 is needed")
    if not 0 < field.radius <= 180:
        raise SettingsError(f"--radius {field.radius:g}: must be above 0 and at most 180 degrees")
    if not (0 <= field.ra < 360 and -90 <= field.dec <= 90):
        raise SettingsError(f"--center {field.ra:g} {field.dec:g}: is not on the sky")
    low, high = field.mag_z_range
    if not MAG_Z_LIMITS[0] <= low < high <= MAG_Z_LIMITS[1]:
        raise SettingsError(
            f"--mag-z-range {low:g} {high:g}: give the bright limit, then the faint one, between"
            f" {MAG_Z_LIMITS[0]:g} and {MAG_Z_LIMITS[1]:g}"
        )


@contextmanager
def _claimed(output: Path) -> Iterator[None]:
    """Make the folder and keep other simulations out of it until this one ends."""
    import fcntl  # noqa: PLC0415 - not on Windows, where the rest of this module still imports

    try:
        (output / "images").mkdir(parents=True, exist_ok=True)
        lock = (output / ".simulating").open("w")
    except (FileExistsError, NotADirectoryError) as error:
        raise SettingsError(
            f"{error.filename or output}: is a file where a folder is needed;"
            " choose another --output"
        ) from error
    except OSError as error:
        raise SettingsError(
            f"{output}: cannot be written to ({error.strerror}); choose another --output"
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConflictError(
                f"{output}: another process is simulating into this folder; wait for it to end"
            ) from error
        yield


def _check_folder(output: Path, plan: _Plan) -> None:
    """Compare with the arguments of the run that made the folder; the first writes its own down."""
    arguments = json.loads(json.dumps(asdict(plan)))
    path = output / "simulation.json"
    if not path.exists():
        stray = [
            *(output / "images").glob("*.h5"),
            *output.glob("sweep-sim.fits"),
            *output.glob("truth.csv"),
        ]
        if stray:
            raise SettingsError(
                f"{output}: holds {stray[0].name}, which no simulation here has made;"
                " choose another --output"
            )
        with write.whole_file(path) as part:
            part.write_text(json.dumps(arguments, indent=1) + "\n")
        return
    try:
        earlier = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"{path}: cannot be read ({error}); remove the folder or choose another --output"
        ) from error
    if earlier != arguments:
        known = earlier if isinstance(earlier, dict) else {}
        different = ", ".join(
            f"{name} {known.get(name)} instead of {value}"
            for name, value in arguments.items()
            if known.get(name) != value
        )
        raise SettingsError(
            f"{output}: holds a simulation with other arguments ({different}); repeat them to go"
            " on, or choose another --output"
        )


def _simulate(output: Path, plan: _Plan, *, workers: int, progress: Progress) -> SimulatedSurvey:
    galaxies, seed = plan.galaxies, plan.seed
    files = _files(output, plan)
    missing = {path: rows for path, rows in files.items() if not path.exists()}
    _check_space(output, sum(rows.stop - rows.start for rows in missing.values()))
    # Children 0 to 2 of the seed are the survey's; galaxies have children of child 3.
    rngs = [np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(i,))) for i in range(3)]
    population = draw_population(galaxies, field=plan.field, rng=rngs[0])
    extra = catalog.extra_rows(population, rngs[1])
    keys = catalog.number_objects(
        np.concatenate([population.ra, extra["ra"].to_numpy()]),
        np.concatenate([population.dec, extra["dec"].to_numpy()]),
    )
    with (
        progress.task("Draw galaxies", total=galaxies) as task,
        _pool(min(workers, -(-galaxies // BLOCK_ROWS))) as pool,
    ):
        task.skip(galaxies - sum(rows.stop - rows.start for rows in missing.values()))
        for path, rows in missing.items():
            rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(2, rows.start)))
            datasets = write.catalog_datasets(population, keys, rows, rng)
            blocks = _draw_blocks(population, rows, seed=seed, pool=pool, task=task)
            write.write_cutouts(path, rows.stop - rows.start, datasets, blocks)
            logger.info("wrote %s: %d cutouts", path, rows.stop - rows.start)
    sweep, truth = output / "sweep-sim.fits", output / "truth.csv"
    write.write_sweep(sweep, catalog.sweep_columns(population, extra, keys))
    write.write_truth(truth, catalog.truth_table(population, extra, keys))
    counts = {str(name): int(np.sum(population.galaxy_class == name)) for name in PREVALENCE}
    return SimulatedSurvey(tuple(files), sweep, truth, counts)


def _files(output: Path, plan: _Plan) -> dict[Path, slice]:
    """Return the HDF5 files of a survey and the rows of each."""
    starts = range(0, plan.galaxies, plan.rows_per_file)
    ends = ((start, min(start + plan.rows_per_file, plan.galaxies)) for start in starts)
    return {
        output / "images" / f"images_npix152_{start:09d}_{end:09d}.h5": slice(start, end)
        for start, end in ends
    }


def _check_space(output: Path, n: int) -> None:
    needed = n * (3 * CUTOUT_SIZE_PIX**2 * 4 + 500)
    free = shutil.disk_usage(output).free
    if needed > free:
        raise SettingsError(
            f"{output}: {needed / 1e9:.1f} GB are needed for {n:,} cutouts and {free / 1e9:.1f} GB"
            " are free; simulate fewer --galaxies or choose another --output"
        )


def _end_with_parent() -> None:
    """Let a worker end when its parent is killed: it would wait for work for ever."""

    def watch() -> None:
        parent = parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor | None]:
    """Start workers, spawned: forked copies of HDF5 can hang. None: draw in this process."""
    if workers == 1:
        yield None
        return
    with ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_end_with_parent
    ) as pool:
        try:
            yield pool
        except BrokenProcessPool as error:
            raise SettingsError(
                "a worker of the simulation was killed, perhaps for lack of memory; run the same"
                " command again with fewer --workers to go on"
            ) from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _draw_blocks(
    population: Population,
    rows: slice,
    *,
    seed: int,
    pool: ProcessPoolExecutor | None,
    task: Task,
) -> Iterator[Pixels]:
    """Draw blocks in order, with only a few more under way than there are workers."""
    from skylike.simulation.cutouts import draw_block  # noqa: PLC0415 - GalSim is an extra

    starts = iter(range(rows.start, rows.stop, BLOCK_ROWS))
    blocks = ((start, slice(start, min(start + BLOCK_ROWS, rows.stop))) for start in starts)
    if pool is None:
        for start, block in blocks:
            pixels = draw_block(population.take(block), first=start, seed=seed)
            task.advance(len(pixels))
            yield pixels
        return
    drawing = (
        pool.submit(draw_block, population.take(block), first=start, seed=seed)
        for start, block in blocks
    )
    under_way = deque(islice(drawing, AHEAD))
    while under_way:
        pixels = under_way.popleft().result()
        under_way.extend(islice(drawing, 1))
        task.advance(len(pixels))
        yield pixels
