"""Cut cutouts around the galaxies of the catalog from brick coadds."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from astropy.coordinates import angular_separation
from sqlalchemy import Engine

from skylike.bands import PIXEL_SCALE_ARCSEC
from skylike.catalog.store_derived import fetch_derived
from skylike.catalog.store_labels import check_labels
from skylike.cuts import GALAXY_KINDS, Cut, parse_cut
from skylike.database.engine import connect
from skylike.errors import EmptyStageError, ImageFileError
from skylike.images.bricks import Brick, cut_out, find_bricks, read_planes
from skylike.images.convert import Converted
from skylike.images.inputs import fingerprint_of
from skylike.images.publish import (
    add_rows,
    cutout_path,
    describe_converted,
    locked,
    remove_older,
    same_pixels,
)
from skylike.images.report import InputReport
from skylike.images.rows import GalaxyPositions
from skylike.images.store import fetch_galaxies_within, find_file
from skylike.images.writer import CutoutWriter
from skylike.progress import SILENT, Progress

logger = logging.getLogger(__name__)

_KIND = "brick"


def cut_images(
    engine: Engine,
    paths: Sequence[Path],
    *,
    folder: Path,
    survey: str | None = None,
    where: str | None = None,
    progress: Progress = SILENT,
) -> list[InputReport]:
    """Cut 152 x 152 cutouts around catalog galaxies; each brick becomes visible at once.

    A galaxy is cut from the brick whose edges are farthest from it. Pixels beyond the edge come
    from the other bricks given, or are flagged as not observed. Galaxies without one observed pixel
    are counted and not stored.

    Parameters
    ----------
    paths
        Coadd images ``legacysurvey-<brick>-image-<band>.fits.fz``, or folders of them.
    folder
        Where HDF5 files are written.
    survey
        Only galaxies of this survey.
    where
        Only galaxies that this cut takes, over columns of ``galaxy`` and derived ones. Cutouts of
        an earlier cut of the brick stay.

    Raises
    ------
    ImageFileError
        No bricks are there (see :func:`~skylike.images.bricks.find_bricks`).
    CutError
        The cut is not understood.
    EmptyStageError
        No galaxy of the catalog lies on the bricks.
    ConflictError
        Another job adds images to the same folder.
    """
    cut = _parse(engine, where) if where is not None else None
    bricks, refused = find_bricks(paths)
    with locked(folder):
        plans = _plan(engine, bricks, survey=survey, cut=cut)
        if not any(len(plan.galaxies.galaxy_id) for plan in plans):
            raise EmptyStageError(
                "no galaxy of the catalog lies on the bricks given"
                + (" and passes --survey and --where" if survey or where else "")
                + "; load one with `skylike catalog load`"
            )
        reports = [
            _cut_brick(engine, plan, folder, progress=progress)
            for plan in plans
            if len(plan.galaxies.galaxy_id)
        ]
    if refused:
        reports.append(InputReport("bricks left out", _KIND, refused=tuple(refused)))
    return reports


def _parse(engine: Engine, where: str) -> Cut:
    with connect(engine) as connection:
        cut = parse_cut(where, GALAXY_KINDS, fetch_derived(connection))
        check_labels(connection, cut)
        return cut


@dataclass(frozen=True)
class _Plan:
    """The galaxies to cut from a brick, and the bricks that help at its edges."""

    brick: Brick
    neighbors: tuple[Brick, ...]
    galaxies: GalaxyPositions

    @property
    def origin(self) -> str:
        return _origin(self.brick)

    def fingerprint(self) -> str:
        files = [file for brick in (self.brick, *self.neighbors) for file in brick.files]
        columns = (self.galaxies.galaxy_id, self.galaxies.ra, self.galaxies.dec)
        return fingerprint_of(files, *(column.tobytes() for column in columns))


def _origin(brick: Brick) -> str:
    return f"{brick.folder}/{brick.name}"


def _plan(
    engine: Engine, bricks: Sequence[Brick], *, survey: str | None, cut: Cut | None
) -> list[_Plan]:
    with connect(engine) as connection:
        found = [
            fetch_galaxies_within(
                connection, brick.center(), survey=survey, cut=cut, origin=_origin(brick)
            )
            for brick in bricks
        ]
    # A galaxy on two bricks is cut from the one that shows more of its surroundings.
    distance = [
        brick.edge_distance(galaxies.ra, galaxies.dec)
        for brick, galaxies in zip(bricks, found, strict=True)
    ]
    ids = np.concatenate([galaxies.galaxy_id for galaxies in found])
    inside = np.concatenate(distance)
    number = np.repeat(np.arange(len(bricks)), [len(galaxies.galaxy_id) for galaxies in found])
    order = np.lexsort((number, -inside, ids))
    best = order[np.unique(ids[order], return_index=True)[1]]
    chosen = np.zeros(len(ids), dtype=np.bool_)
    chosen[best] = inside[best] > 0
    return [
        _Plan(brick, _neighbors(brick, bricks), _take(galaxies, chosen[number == i]))
        for i, (brick, galaxies) in enumerate(zip(bricks, found, strict=True))
    ]


def _take(galaxies: GalaxyPositions, which: npt.NDArray[np.bool_]) -> GalaxyPositions:
    return GalaxyPositions(
        galaxies.galaxy_id[which],
        galaxies.object_id[which],
        galaxies.ra[which],
        galaxies.dec[which],
    )


def _neighbors(brick: Brick, bricks: Sequence[Brick]) -> tuple[Brick, ...]:
    ra, dec, radius = np.radians(brick.center())
    near = []
    for other in bricks:
        other_ra, other_dec, other_radius = np.radians(other.center())
        separation = angular_separation(ra, dec, other_ra, other_dec)
        if other is not brick and separation < radius + other_radius:
            near.append((float(separation), other))
    return tuple(other for _, other in sorted(near, key=lambda pair: pair[0]))


def _cut_brick(engine: Engine, plan: _Plan, folder: Path, *, progress: Progress) -> InputReport:
    report = InputReport(plan.origin, _KIND)
    fingerprint = plan.fingerprint()
    with connect(engine) as connection:
        stored = find_file(connection, plan.origin)
    if stored is not None and stored.fingerprint == fingerprint and stored.path.exists():
        return replace(report, unchanged=stored.n_stored)
    path = cutout_path(folder, f"brick-{plan.brick.name}", fingerprint)
    try:
        converted, galaxy_id, empty = _convert(plan, path, progress)
    except ImageFileError as error:
        return replace(report, refused=(str(error),))
    report = replace(report, empty=empty, notes=_notes(plan.brick))
    if not len(converted.rows):
        return report
    report = add_rows(
        engine,
        describe_converted(converted, plan.origin, fingerprint),
        converted.rows,
        report=report,
        survey="",
        galaxy_id=galaxy_id,
        is_same=same_pixels(stored, path),
    )
    remove_older(stored, path)
    return replace(report, empty=empty)


def _notes(brick: Brick) -> tuple[str, ...]:
    missing = [band for band in brick.images if band not in brick.invvars]
    if not missing:
        return ()
    return (f"no invvar for {', '.join(missing)}: only exact zeros count as not observed",)


def _convert(
    plan: _Plan, path: Path, progress: Progress
) -> tuple[Converted, npt.NDArray[np.int32], int]:
    galaxies = plan.galaxies
    planes = read_planes(plan.brick)  # (3, h, w)
    kept: list[int] = []
    writer = CutoutWriter(path, kind="flux", origin=plan.origin, pixel_scale=PIXEL_SCALE_ARCSEC)
    total = len(galaxies.galaxy_id)
    with writer, progress.task(f"Cut {plan.brick.name}", total=total, unit="galaxies") as task:
        for i in range(total):
            ra, dec = float(galaxies.ra[i]), float(galaxies.dec[i])
            pixels = cut_out(planes, plan.brick, ra=ra, dec=dec, neighbors=plan.neighbors)
            task.advance()
            if not np.isfinite(pixels).any():
                continue
            kept.append(i)
            name = str(galaxies.object_id[i])
            writer.append(
                pixels[None],
                names=[name],
                positions=[(ra, dec)],
                object_ids=[int(galaxies.object_id[i])],
            )
    converted = Converted(path, writer.rows(), PIXEL_SCALE_ARCSEC, ())
    return converted, galaxies.galaxy_id[kept], total - len(kept)
