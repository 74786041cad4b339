"""Embeddings out of PostgreSQL into a float16 memory map in magnitude order.

Written once for each input; a restarted job finds it by its fingerprint. Rows arrive in the table's
order and go to their places in the map, so that the job's memory holds no embedding but a batch.
"""

import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from skylike.files import replaced_file
from skylike.neighbors.engine.vectors import StagedVectors
from skylike.neighbors.engine.windows import order_by_magnitude
from skylike.neighbors.input_hashes import row_hashes
from skylike.progress import Task

_VECTORS, _ARRAYS, _RECORD = "vectors.f16", "arrays.npz", "staged.json"

_LAYOUT = 2
"""Of the folder's files; what another release has left in another layout is staged again."""

Batches = Iterable[tuple[npt.NDArray[np.int32], npt.NDArray[np.float16]]]


@dataclass(frozen=True)
class StageInput:
    """What is to be staged."""

    fingerprint: str
    """Of this input; see :func:`skylike.neighbors.store_input.fingerprint`."""

    galaxy_ids: npt.NDArray[np.int32]
    """(n,) ascending."""

    magnitudes: npt.NDArray[np.float32]
    """(n,) NaN where unknown."""

    dimension: int


def stage_vectors(folder: Path, given: StageInput, batches: Batches, task: Task) -> StagedVectors:
    """Write the batches to ``folder`` in magnitude order and open the result.

    Parameters
    ----------
    batches
        Identifiers (b,) and vectors (b, d), in any order; galaxies that are not in ``given`` are
        passed over. Zero vectors and such that are not finite have no direction: left out and
        counted.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    n = len(given.galaxy_ids)
    order = order_by_magnitude(given.galaxy_ids, given.magnitudes)
    place_of = np.empty(n, np.int64)
    place_of[order] = np.arange(n)
    norms = np.zeros(n)
    hashes = np.zeros(n, np.int64)
    magnitudes = given.magnitudes[order]
    total = np.zeros(given.dimension)
    vectors = np.memmap(
        folder / _VECTORS, np.float16, mode="w+", shape=(max(n, 1), given.dimension)
    )
    for ids, batch in batches:
        known = np.searchsorted(given.galaxy_ids, ids)
        known = np.minimum(known, max(n - 1, 0))
        inside = given.galaxy_ids[known] == ids if n else np.zeros(len(ids), np.bool_)
        place, exact = place_of[known[inside]], batch[inside].astype(np.float64)
        length = np.sqrt(np.vecdot(exact, exact))
        usable = np.isfinite(length) & (length > 0)
        place, length = place[usable], length[usable]
        rows = batch[inside][usable]
        vectors[place] = rows
        norms[place] = length
        hashes[place] = row_hashes(rows, magnitudes[place])
        total += (exact[usable] / length[:, None]).sum(axis=0)
        task.advance(len(ids))
    left = np.flatnonzero(norms)
    _close_gaps(vectors, left)
    vectors.flush()
    del vectors
    os.truncate(folder / _VECTORS, max(len(left), 1) * 2 * given.dimension)
    np.savez(
        folder / _ARRAYS,
        galaxy_ids=given.galaxy_ids[order][left],
        magnitudes=magnitudes[left],
        norms=norms[left],
        hashes=hashes[left],
        center=total / max(len(left), 1),
    )
    record = {
        "layout": _LAYOUT,
        "fingerprint": given.fingerprint,
        "galaxies": len(left),
        "dimension": given.dimension,
        "excluded": n - len(left),
    }
    with replaced_file(folder / _RECORD) as part:
        part.write_text(json.dumps(record), encoding="utf-8")
    staged = open_staged(folder, given.fingerprint)
    assert staged is not None  # noqa: S101 - just written
    return staged


def _close_gaps(vectors: npt.NDArray[np.float16], left: npt.NDArray[np.int64]) -> None:
    # Rows only move down, so a block never overwrites one that is still to move.
    if len(left) == len(vectors):
        return
    for first in range(0, len(left), 4096):
        source = left[first : first + 4096]
        vectors[first : first + len(source)] = vectors[source]


def open_staged(folder: Path, fingerprint: str) -> StagedVectors | None:
    """Open what was staged; None where it is not there, unfinished, or of another input."""
    try:
        record = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    if record.get("layout") != _LAYOUT or record["fingerprint"] != fingerprint:
        return None
    shape = (record["galaxies"], record["dimension"])
    with np.load(folder / _ARRAYS) as arrays:
        return StagedVectors(
            galaxy_ids=arrays["galaxy_ids"],
            magnitudes=arrays["magnitudes"],
            # As a plain array: numpy's subclass costs on every slice.
            vectors=np.asarray(
                np.memmap(
                    folder / _VECTORS, np.float16, mode="r", shape=(max(shape[0], 1), shape[1])
                )
            )[: shape[0]],
            norms=arrays["norms"],
            center=arrays["center"],
            hashes=arrays["hashes"],
            n_excluded=record["excluded"],
        )
