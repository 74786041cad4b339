"""Add images: read each input, link its cutouts to galaxies, and make them visible at once."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from sqlalchemy import Engine

from skylike.catalog.load import load_file
from skylike.catalog.plan import LoadOptions
from skylike.catalog.store import fetch_galaxy_ids
from skylike.database.engine import connect
from skylike.errors import ImageFileError, SurveyFileError
from skylike.images.convert import convert_cubes, convert_pictures
from skylike.images.hdf5 import describe_images, measure_coverage, read_columns, read_texts
from skylike.images.index import NO_GALAXY
from skylike.images.inputs import ImageInput, InputKind, find_inputs
from skylike.images.link import link_galaxies
from skylike.images.publish import (
    add_rows,
    best_of_each,
    cutout_path,
    describe_converted,
    locked,
    remove_older,
    same_pixels,
)
from skylike.images.read import open_images
from skylike.images.report import InputReport
from skylike.images.rows import UNKNOWN_ID, CutoutRows, FileDescription
from skylike.images.store import (
    StoredFile,
    fetch_unlinked_rows,
    find_file,
    find_survey_of,
    link_later,
)
from skylike.progress import SILENT, Progress
from skylike.survey.legacy import release_survey

logger = logging.getLogger(__name__)

DEFAULT_SURVEY = "images"
"""Survey of galaxies that only their images make known, where no other is given."""

_NO_SURVEY = (
    f"identifiers are taken as those of survey {DEFAULT_SURVEY}; if they are of another, "
    "say --survey and add again"
)

_SAMPLED_OBJECTS = 1000
"""Objects of a file that are looked up to find their survey."""


def add_images(
    engine: Engine,
    paths: Sequence[Path],
    *,
    folder: Path,
    survey: str | None = None,
    listing: Path | None = None,
    progress: Progress = SILENT,
) -> list[InputReport]:
    """Add images from files and folders; a bad file is refused and does not stop the others.

    Each input becomes visible at once, in one transaction; adding it again changes nothing unless
    its files changed. HDF5 files are used where they are. FITS cutouts and pictures are brought to
    152 x 152 and written as HDF5 below ``folder``.

    Parameters
    ----------
    folder
        Where HDF5 files are written; made where it is not there.
    survey
        Survey that identifiers belong to and that new galaxies join. None takes, for an HDF5 file
        of the Legacy Surveys, the survey that has its objects or else its data release; and for
        all others :data:`DEFAULT_SURVEY`.
    listing
        CSV of pictures; None looks beside them.

    Raises
    ------
    ImageFileError
        A path does not exist or holds no images (nothing is added then).
    ConflictError
        Another job adds images to the same folder.
    """
    inputs = find_inputs(paths, listing=listing)
    reports = []
    with locked(folder):
        for source in inputs:
            logger.info("adding %s (%s)", source.origin, source.kind)
            try:
                reports.append(_add_input(engine, source, folder, survey=survey, progress=progress))
            except ImageFileError as error:
                reports.append(InputReport(source.origin, source.kind, refused=(str(error),)))
    return reports


def _add_input(
    engine: Engine, source: ImageInput, folder: Path, *, survey: str | None, progress: Progress
) -> InputReport:
    fingerprint = source.fingerprint(survey or "")
    with connect(engine) as connection:
        stored = find_file(connection, source.origin)
    if stored is not None and stored.origin != source.origin:
        note = f"is what `skylike images` made of {stored.origin}: nothing to add"
        return replace(_report(source), unchanged=stored.n_stored, notes=(note,))
    if stored is not None and stored.fingerprint == fingerprint and stored.path.exists():
        return _again(engine, source, stored, survey=survey)
    if source.kind is InputKind.HDF5:
        return _add_in_place(engine, source, fingerprint, survey=survey, progress=progress)
    path = cutout_path(folder, Path(source.origin).name, fingerprint)
    convert = convert_cubes if source.kind is InputKind.FITS else convert_pictures
    converted = convert(source, path, progress=progress)
    report = replace(_report(source), refused=converted.refused, notes=converted.notes)
    if not len(converted.rows):
        return report
    if survey is None and _has_key(converted.rows):
        report = replace(report, notes=(*report.notes, _NO_SURVEY))
    file = describe_converted(converted, source.origin, fingerprint)
    report = add_rows(
        engine,
        file,
        converted.rows,
        report=report,
        survey=survey or DEFAULT_SURVEY,
        is_same=same_pixels(stored, path),
    )
    remove_older(stored, path)
    return report


def _add_in_place(
    engine: Engine,
    source: ImageInput,
    fingerprint: str,
    *,
    survey: str | None,
    progress: Progress,
) -> InputReport:
    file, rows = _describe_in_place(source, fingerprint, progress)
    named = _survey_of(engine, source.root, rows, survey)
    notes: tuple[str, ...] = ()
    if _has_key(rows) and not _all_known(engine, rows, named):
        notes = _load_catalog_fields(engine, source.root, named, progress)
    return add_rows(engine, file, rows, report=replace(_report(source), notes=notes), survey=named)


def _has_key(rows: CutoutRows) -> bool:
    return bool((rows.object_id != UNKNOWN_ID).any())


def _all_known(engine: Engine, rows: CutoutRows, survey: str) -> bool:
    """Tell whether the catalog has all objects of a file; a sweep knows more of them than it."""
    named = rows.object_id[rows.object_id != UNKNOWN_ID]
    with connect(engine) as connection:
        return bool((fetch_galaxy_ids(connection, survey, named) >= 0).all())


def _survey_of(engine: Engine, path: Path, rows: CutoutRows, given: str | None) -> str:
    """Return the survey given, or the one that has the objects, or the release, or the default."""
    if given is not None:
        return given
    with open_images(path) as opened:
        if "release" not in opened:
            return DEFAULT_SURVEY
        release = int(np.asarray(opened["release"][:]).max(initial=0))
    named = rows.object_id[rows.object_id != UNKNOWN_ID]
    sample = named[:: max(1, len(named) // _SAMPLED_OBJECTS)]
    with connect(engine) as connection:
        known = find_survey_of(connection, sample)
    return known or release_survey(release) or DEFAULT_SURVEY


def _load_catalog_fields(
    engine: Engine, path: Path, survey: str, progress: Progress
) -> tuple[str, ...]:
    """Bring the catalog fields of an HDF5 file into the catalog, if it has them."""
    # Whoever has an image of a star wants it in the catalog; cuts on the type leave it out.
    options = LoadOptions(survey=survey, keep_stars=True)
    try:
        loaded = load_file(engine, path, options=options, progress=progress)
    except SurveyFileError as error:
        return (f"its catalog fields are not loaded: {error}",)
    counts = loaded.counts
    return (
        f"catalog fields: {counts.inserted:,} galaxies new, {counts.updated:,} changed, "
        f"{counts.unchanged:,} unchanged in survey {loaded.survey}",
    )


def _report(source: ImageInput) -> InputReport:
    return InputReport(source.origin, source.kind)


def _describe_in_place(
    source: ImageInput, fingerprint: str, progress: Progress
) -> tuple[FileDescription, CutoutRows]:
    path = source.root
    with open_images(path) as opened:
        kind, bands, size_pix, pixel_scale = describe_images(opened)
        rows = read_columns(opened)
    if not len(rows):
        raise ImageFileError(f"{path}: holds no cutouts")
    coverage = measure_coverage(path, kind=kind, bands=bands, progress=progress)
    file = FileDescription(
        path=str(path),
        origin=source.origin,
        fingerprint=fingerprint,
        kind=kind,
        bands=bands,
        n_cutouts=len(rows),
        size_pix=size_pix,
        pixel_scale=pixel_scale,
    )
    return file, replace(rows, coverage=coverage)


def _again(
    engine: Engine, source: ImageInput, stored: StoredFile, *, survey: str | None
) -> InputReport:
    """Leave an unchanged input as it is, but link what the catalog has got since."""
    with open_images(stored.path) as opened:
        kind = describe_images(opened)[0]
        rows = read_columns(opened)
        refused = tuple(read_texts(opened, "refused"))
    linked = without = 0
    if stored.n_unlinked:
        named = _survey_of(engine, stored.path, rows, survey)
        with connect(engine) as connection, connection.begin():
            rows = rows.take(fetch_unlinked_rows(connection, stored.file_id))
            links = link_galaxies(connection, rows, survey=named)
            without = int((links.galaxy_id == NO_GALAXY).sum())
            kept = best_of_each(links.galaxy_id, rows.coverage)
            linked = link_later(
                connection, stored.file_id, rows.take(kept), links.galaxy_id[kept], kind=kind
            )
    return replace(
        _report(source),
        unchanged=stored.n_stored,
        linked_by_id=linked,
        without_position=without,
        refused=refused,
    )
