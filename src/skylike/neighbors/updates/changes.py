"""What differs between the input of a run and the input of today, and whose lists may differ."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skylike.neighbors.engine.vectors import StagedVectors
from skylike.neighbors.staleness import find

GalaxyIds = npt.NDArray[np.int32]


@dataclass(frozen=True)
class BaseInput:
    """What a run has compared."""

    galaxy_ids: GalaxyIds
    """(n,) galaxies with a list, ascending."""

    hashes: npt.NDArray[np.int64]
    """(n,) of the embedding and magnitude that the run read."""


@dataclass(frozen=True)
class InputChanges:
    """Galaxies of which a run knows nothing, or something else, or something no more."""

    new: GalaxyIds
    """(a,) without a list, ascending."""

    changed: GalaxyIds
    """(c,) with another embedding or magnitude than the run read, ascending."""

    gone: GalaxyIds
    """(g,) with a list and no embedding, or none with a direction, ascending."""

    def __bool__(self) -> bool:
        return bool(len(self.new) or len(self.changed) or len(self.gone))


def find_changes(base: BaseInput, staged: StagedVectors) -> InputChanges:
    """Compare what is staged with what a run has read."""
    place, known = find(staged.galaxy_ids, base.galaxy_ids)
    differs = known.copy()
    differs[known] = base.hashes[place[known]] != staged.hashes[known]
    return InputChanges(
        new=np.sort(staged.galaxy_ids[~known]),
        changed=np.sort(staged.galaxy_ids[differs]),
        gone=np.setdiff1d(base.galaxy_ids, staged.galaxy_ids, assume_unique=True),
    )


class PlaceIndex:
    """Finds galaxies in magnitude order by their identifiers."""

    def __init__(self, staged: StagedVectors) -> None:
        self._by_id = np.argsort(staged.galaxy_ids).astype(np.int32)
        self._sorted = staged.galaxy_ids[self._by_id]

    def places(self, galaxy_ids: GalaxyIds) -> npt.NDArray[np.int64]:
        """Return the places of galaxies, all of which are staged."""
        return self._by_id[np.searchsorted(self._sorted, galaxy_ids)].astype(np.int64)
