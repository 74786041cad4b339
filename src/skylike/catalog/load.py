"""Load catalog files: plan, stream into staging, merge and record, in one transaction each."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sqlalchemy import Connection, Engine

from skylike.catalog import store
from skylike.catalog.clean import clean_batch, galaxy_columns
from skylike.catalog.photometry import stored_magnitudes
from skylike.catalog.plan import LoadOptions, LoadPlan, plan_load
from skylike.catalog.report import DUPLICATE_REASON, FailedFile, LoadReport, LoadSummary
from skylike.catalog.store_derived import fetch_derived
from skylike.cuts import Derived
from skylike.database.engine import connect
from skylike.errors import CutError, InputFileError, SettingsError
from skylike.progress import SILENT, Progress, Task

logger = logging.getLogger(__name__)


def load_files(
    engine: Engine,
    paths: Sequence[Path],
    *,
    options: LoadOptions,
    progress: Progress = SILENT,
) -> LoadSummary:
    """Load several files, each in a transaction of its own; one that fails leaves the others be.

    Returns
    -------
    LoadSummary
        What was loaded, and the files that were not; its ``check`` raises where there are any.
    """
    reports: list[LoadReport] = []
    failures: list[FailedFile] = []
    for path in paths:
        try:
            reports.append(load_file(engine, path, options=options, progress=progress))
        except (InputFileError, SettingsError, CutError) as error:
            failures.append(FailedFile(path, error))
            logger.info("%s was not loaded: %s", path, error)
    return LoadSummary(tuple(reports), tuple(failures))


def load_file(
    engine: Engine, path: Path, *, options: LoadOptions | None = None, progress: Progress = SILENT
) -> LoadReport:
    """Load one catalog file; readers see all of it or nothing.

    A file is the truth for the columns that it has: loading it again with other values changes
    them, and a value that became missing is erased. Columns that it lacks keep what another file
    brought. Loading the same file again writes no galaxy and uses no identifier; only the load is
    recorded.

    Parameters
    ----------
    options
        What the user says of the file; None leaves everything to defaults and guesses.

    Raises
    ------
    SurveyFileError
        The file is unreadable, truncated or empty, has no positions, or leaves open which column
        is which.
    SettingsError
        A column that was told is not in the file, or is no identifier.
    CutError
        The cut is not understood.
    """
    chosen = options or LoadOptions()
    plan = plan_load(path, chosen, _derived(engine) if chosen.where is not None else {})
    with connect(engine) as connection:
        with (
            connection.begin(),
            progress.task(f"load {path.name}", total=plan.table.n_rows, unit="rows") as task,
        ):
            report = _load(connection, plan, where=chosen.where, task=task)
        if report.counts.inserted or report.counts.updated:
            store.analyze_galaxies(connection)
            connection.commit()
    logger.info("loaded %s: %s of %d rows", path, report.counts, report.rows_read)
    return report


def _derived(engine: Engine) -> dict[str, Derived]:
    with connect(engine) as connection:
        return fetch_derived(connection)


def _load(connection: Connection, plan: LoadPlan, *, where: str | None, task: Task) -> LoadReport:
    table, rules = plan.table, plan.rules
    survey_id = store.ensure_survey(connection, plan.survey)
    record = store.LoadRecord(
        file=table.path.name,
        file_bytes=table.path.stat().st_size,
        format=table.format,
        column_map=rules.columns,
        magnitudes=stored_magnitudes(rules.columns, rules.magnitudes),
        selection=where,
    )
    load_id = store.insert_load(connection, survey_id, record)
    staged = store.open_staging(connection, galaxy_columns(rules))
    rows_read = not_selected = without_ebv = 0
    rejected, unreadable = Counter[str](), Counter[str]()
    for batch in table.read(plan.names):
        cleaned = clean_batch(batch, rules)
        store.stage_rows(connection, cleaned.galaxies, first_row=rows_read)
        rows_read += batch.n_rows + batch.n_malformed
        not_selected += cleaned.n_not_selected
        if "ebv" in cleaned.galaxies.column_names:
            without_ebv += cleaned.galaxies["ebv"].null_count
        rejected += cleaned.rejected
        unreadable.update(batch.unreadable)
        task.advance(batch.n_rows + batch.n_malformed)
    counts = store.merge_staging(connection, staged, survey_id=survey_id, load_id=load_id)
    if counts.duplicates:
        rejected[DUPLICATE_REASON] += counts.duplicates
    store.finish_load(
        connection,
        load_id,
        replace(record, rows_read=rows_read, counts=counts, rows_rejected=rejected),
    )
    notes = [
        f"{n:,} values of {name} are no numbers: stored as NULL" for name, n in unreadable.items()
    ]
    if without_ebv and rules.magnitudes == "observed":
        notes.append(f"{without_ebv:,} galaxies without ebv keep magnitudes as observed")
    return LoadReport(
        table.path,
        plan.survey,
        table.format,
        rules.columns,
        record.magnitudes,
        rows_read,
        counts,
        rejected,
        not_selected,
        (*plan.notes, *notes),
    )
