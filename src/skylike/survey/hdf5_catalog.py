"""Catalog fields of HDF5 files in the layout of ssl-legacysurvey: one dataset for each column."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from skylike.errors import SurveyFileError
from skylike.survey.batches import (
    BATCH_ROWS,
    Batch,
    ColumnArray,
    SurveyTable,
    TableColumn,
    kind_of,
    plain_column,
)
from skylike.survey.legacy import vector_components


@dataclass(frozen=True)
class _Source:
    dataset: str
    component: int | None


def open_hdf5(path: Path) -> list[SurveyTable]:
    """Return the one table that the datasets at the root of an HDF5 file make.

    Columns are the one-dimensional datasets as long as ``ra`` (or, without one, as most are), and
    the (n, 3) ones whose entries are known to be g, r, z. Images are left alone.

    Raises
    ------
    SurveyFileError
        It is not HDF5, is truncated, or has no such dataset.
    """
    try:
        with h5py.File(path, "r") as file:
            datasets = {
                name: item
                for name, item in file.items()
                # A name that is no UTF-8 comes as bytes; nobody asks for it.
                if isinstance(item, h5py.Dataset) and isinstance(name, str)
            }
            n_rows = _length(datasets)
            described = {
                name: (dataset.dtype, dataset.shape, _unit(dataset))
                for name, dataset in datasets.items()
                if n_rows is not None and dataset.shape[:1] == (n_rows,)
            }
    except (OSError, KeyError, RuntimeError) as error:
        raise SurveyFileError(
            f"{path}: cannot be read as HDF5, it may be truncated ({error}); download it again"
        ) from error
    if n_rows is None:
        raise SurveyFileError(f"{path}: the HDF5 file holds no catalog columns at its root")
    columns: list[TableColumn] = []
    sources: dict[str, _Source] = {}
    for name, (dtype, shape, unit) in described.items():
        kind = kind_of(dtype)
        if kind is None:
            continue
        if len(shape) == 1:
            sources[name] = _Source(name, None)
            columns.append(TableColumn(name, kind, unit))
        elif len(shape) == 2:
            for place, component in enumerate(vector_components(name, shape[1])):
                sources[component] = _Source(name, place)
                columns.append(TableColumn(component, kind, unit))

    def read(names: Sequence[str]) -> Iterator[Batch]:
        return _read(path, n_rows, {name: sources[name] for name in dict.fromkeys(names)})

    return [SurveyTable(path, "hdf5", tuple(columns), n_rows, read)]


def _length(datasets: Mapping[str, h5py.Dataset]) -> int | None:
    for name, dataset in datasets.items():
        if name.lower() == "ra" and dataset.ndim == 1:
            return int(dataset.shape[0])
    lengths = [int(dataset.shape[0]) for dataset in datasets.values() if dataset.ndim == 1]
    return max(lengths, key=lengths.count) if lengths else None


def _unit(dataset: h5py.Dataset) -> str | None:
    unit = dataset.attrs.get("unit", dataset.attrs.get("units"))
    return unit if isinstance(unit, str) else None


def _read(path: Path, n_rows: int, wanted: Mapping[str, _Source]) -> Iterator[Batch]:
    for start in range(0, n_rows, BATCH_ROWS):
        end = min(start + BATCH_ROWS, n_rows)
        # Opened for each batch: whoever consumes the stream may stop without closing it.
        try:
            with h5py.File(path, "r") as file:
                columns = {
                    name: _column(file, source, start, end) for name, source in wanted.items()
                }
        except (OSError, RuntimeError) as error:
            raise SurveyFileError(
                f"{path}: rows from {start} on cannot be read ({error})"
            ) from error
        yield Batch(columns, end - start)


def _column(file: h5py.File, source: _Source, start: int, end: int) -> ColumnArray:
    dataset = file[source.dataset]
    values = (
        dataset[start:end] if source.component is None else dataset[start:end, source.component]
    )
    return plain_column(np.asarray(values))
