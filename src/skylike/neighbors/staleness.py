"""What has changed since a run read its input, found while today's embeddings stream by."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skylike.neighbors.input_hashes import row_hashes

GalaxyIds = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class RunInput:
    """What a run has read, as far as it is still known."""

    galaxy_ids: GalaxyIds
    """(n,) the galaxies that it compared, ascending."""

    hashes: npt.NDArray[np.int64] | None
    """(n,) of their embeddings and magnitudes then; None where a run has not kept them."""

    newer_ids: GalaxyIds
    """Ascending: galaxies whose embedding or catalog row is newer than the run. Looked at only
    where there are no hashes: a newer row may say the same."""


@dataclass(frozen=True)
class Staleness:
    """How many galaxies differ from what a run has read."""

    new: int
    """Have an embedding with a direction now, and had none then."""

    changed: int
    """Have another embedding or another magnitude in the window's band."""

    gone: int
    """Had an embedding with a direction then, and have none now."""

    def __bool__(self) -> bool:
        return bool(self.new or self.changed or self.gone)


class InputWatch:
    """Marks which galaxies of a run's input are still what they were."""

    def __init__(self, run_input: RunInput) -> None:
        self._input = run_input
        self._present = np.zeros(len(run_input.galaxy_ids), np.bool_)
        self._same = np.zeros(len(run_input.galaxy_ids), np.bool_)
        self._new = 0

    def see(
        self,
        ids: GalaxyIds,
        vectors: npt.NDArray[np.float16],
        magnitudes: npt.NDArray[np.float32],
    ) -> Mask:
        """Look at galaxies as they are now; tell (b,) which of them are as the run read them."""
        place, known = find(ids, self._input.galaxy_ids)
        self._new += int(np.count_nonzero(~known))
        same = known.copy()
        if self._input.hashes is None:
            same &= ~find(ids, self._input.newer_ids)[1]
        elif len(self._input.hashes):
            same &= self._input.hashes[place] == row_hashes(vectors, magnitudes)
        self._present[place[known]] = True
        self._same[place[same]] = True
        return same

    def were_there(self, ids: GalaxyIds) -> Mask:
        """Tell which galaxies the run has compared."""
        return find(ids, self._input.galaxy_ids)[1]

    def are_same(self, ids: GalaxyIds) -> Mask:
        """Tell which galaxies are as the run read them, once all have been seen."""
        place, known = find(ids, self._input.galaxy_ids)
        known[known] = self._same[place[known]]
        return known

    def staleness(self) -> Staleness:
        """Count what differs, once all galaxies have been seen."""
        return Staleness(
            new=self._new,
            changed=int(np.count_nonzero(self._present & ~self._same)),
            gone=int(np.count_nonzero(~self._present)),
        )


def find(ids: GalaxyIds, among: GalaxyIds) -> tuple[npt.NDArray[np.int64], Mask]:
    """Return the place of each identifier in an ascending array, and whether it is there."""
    if not len(among):
        return np.zeros(len(ids), np.int64), np.zeros(len(ids), np.bool_)
    place = np.minimum(np.searchsorted(among, ids), len(among) - 1)
    return place, among[place] == ids
