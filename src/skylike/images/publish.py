"""Make the cutouts of one input visible: link them to galaxies and write them, all at once."""

import fcntl
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sqlalchemy import Engine

from skylike.database.engine import connect
from skylike.errors import ConflictError, SettingsError
from skylike.images.convert import Converted
from skylike.images.hdf5 import describe_images
from skylike.images.index import NO_GALAXY
from skylike.images.link import Links, link_galaxies
from skylike.images.read import open_images
from skylike.images.report import InputReport
from skylike.images.rows import CutoutRows, FileDescription
from skylike.images.store import StoredFile, write_cutouts
from skylike.images.writer import PART_SUFFIX, read_digests


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other jobs from writing to a folder of cutouts, and remove what a killed one left.

    Raises
    ------
    ConflictError
        Another job has the folder.
    SettingsError
        It cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    except OSError as error:
        raise SettingsError(
            f"{folder}: cannot be written ({error.strerror}); "
            "give another data folder with SKYLIKE_HOME"
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConflictError(
                f"another job is adding images to {folder}; wait for it to end"
            ) from error
        for part in folder.glob(f"*{PART_SUFFIX}"):
            part.unlink()
        yield


def cutout_path(folder: Path, name: str, fingerprint: str) -> Path:
    """Return where the HDF5 file of an input is written; another version has another name."""
    stem = re.sub(r"[^A-Za-z0-9._+-]+", "-", name).strip("-.") or "cutouts"
    return folder / f"{stem[:60]}-{fingerprint[:12]}.h5"


def describe_converted(converted: Converted, origin: str, fingerprint: str) -> FileDescription:
    """Describe a file that was written here."""
    with open_images(converted.path) as opened:
        kind, bands, size_pix, _ = describe_images(opened)
    return FileDescription(
        path=str(converted.path),
        origin=origin,
        fingerprint=fingerprint,
        kind=kind,
        bands=bands,
        n_cutouts=len(converted.rows),
        size_pix=size_pix,
        pixel_scale=converted.pixel_scale,
    )


def add_rows(
    engine: Engine,
    file: FileDescription,
    rows: CutoutRows,
    *,
    report: InputReport,
    survey: str,
    galaxy_id: npt.NDArray[np.int32] | None = None,
    is_same: npt.NDArray[np.bool_] | None = None,
) -> InputReport:
    """Link the cutouts of a file and write them in one transaction.

    Parameters
    ----------
    report
        What is known of the input so far; the counts are added.
    galaxy_id
        The galaxies, (n,) int32, where they are known; None links by identifier and position.
    is_same
        (n,) which cutouts have the pixels that they had in the version before, see
        :func:`same_pixels`; None says that none has.
    """
    observed = np.asarray((rows.coverage > 0).any(axis=1))
    empty = int((~observed).sum())
    rows = rows.take(observed)
    same = np.zeros(len(rows), np.bool_) if is_same is None else is_same[observed]
    with connect(engine) as connection, connection.begin():
        if galaxy_id is None:
            links = link_galaxies(connection, rows, survey=survey)
        else:
            links = Links(galaxy_id[observed], int(observed.sum()), 0, 0)
        best = best_of_each(links.galaxy_id, rows.coverage)
        flagged = _less_complete(links.galaxy_id, rows.coverage, best)
        galaxy_ids = links.galaxy_id.copy()
        galaxy_ids[flagged] = NO_GALAXY
        kept = np.union1d(best, flagged)
        stored = rows.take(kept)
        replaced = write_cutouts(
            connection, file, stored, galaxy_id=galaxy_ids[kept], is_same=same[kept]
        )
    return replace(
        report,
        added=int((~same[kept]).sum()),
        unchanged=int(same[kept].sum()),
        linked_by_id=links.by_id,
        linked_by_position=links.by_position,
        new_galaxies=links.new,
        without_position=int((links.galaxy_id == NO_GALAXY).sum()),
        duplicates=len(rows) - len(best),
        replaced=replaced,
        incomplete=int((stored.coverage < 1).any(axis=1).sum()),
        empty=empty,
    )


def best_of_each(
    galaxy_id: npt.NDArray[np.int32], coverage: npt.NDArray[np.float32]
) -> npt.NDArray[np.int64]:
    """Return the positions of the most complete cutout of each galaxy, the first of equals.

    Those without a galaxy are all among them; ascending.
    """
    order = np.lexsort((np.arange(len(galaxy_id)), -coverage.sum(axis=1)))
    _, first = np.unique(galaxy_id[order], return_index=True)
    kept = galaxy_id == NO_GALAXY
    kept[order[first]] = True
    return np.flatnonzero(kept)


def _less_complete(
    galaxy_id: npt.NDArray[np.int32],
    coverage: npt.NDArray[np.float32],
    best: npt.NDArray[np.int64],
) -> npt.NDArray[np.int64]:
    """Return the repeated cutouts that cover less than the best one of their galaxy.

    They are stored with their flags, but belong to no galaxy. A repeat that covers as much is the
    same image again (HDF5 files of the release have such entries) and is left out.
    """
    total = coverage.sum(axis=1)
    galaxies = galaxy_id[best]
    order = np.argsort(galaxies, kind="stable")
    place = order[np.searchsorted(galaxies, galaxy_id, sorter=order)]
    repeats = (galaxy_id != NO_GALAXY) & (total < total[best[place]])
    return np.flatnonzero(repeats)


def same_pixels(stored: StoredFile | None, path: Path) -> npt.NDArray[np.bool_] | None:
    """Compare a new version of a file with the one before, cutout by cutout.

    Returns
    -------
    ndarray or None
        (n,) for the cutouts of ``path``: has the older version one of the same name and pixels?
        Such a cutout keeps its time, so that its embedding is not made again. None without an older
        version.
    """
    if stored is None or not stored.path.exists():
        return None
    older = set(read_digests(stored.path))
    return np.array([cutout in older for cutout in read_digests(path)])


def remove_older(stored: StoredFile | None, path: Path) -> None:
    """Remove the HDF5 file that a newer version at ``path`` stands for now."""
    if stored is not None and stored.path != path:
        stored.path.unlink(missing_ok=True)
