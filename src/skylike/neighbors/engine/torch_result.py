"""Candidates with their true similarities in, lists in main memory out."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
import torch

from skylike.neighbors.engine.rescore import Lists
from skylike.neighbors.engine.torch_select import Kept


@dataclass(frozen=True)
class Finished:
    """Lists on their way from the device."""

    rows: npt.NDArray[np.int64]
    """(q,) places in magnitude order."""

    positions: torch.Tensor
    """(q, m) int64, most similar first."""

    similarities: torch.Tensor
    """(q, m) float32"""

    lengths: torch.Tensor
    """(q,) int64"""

    arrived: "torch.cuda.Event | None"

    def lists(self) -> Lists:
        """Wait until they have arrived, and return them."""
        if self.arrived is not None:
            self.arrived.synchronize()
        lengths = self.lengths.numpy()
        positions, similarities = self.positions.numpy(), self.similarities.numpy()
        if (lengths == positions.shape[1]).all():
            return Lists(self.rows, lengths, positions.reshape(-1), similarities.reshape(-1))
        kept = np.arange(positions.shape[1]) < lengths[:, None]
        return Lists(self.rows, lengths, positions[kept], similarities[kept])


def best(kept: Kept, galaxy_ids: torch.Tensor, *, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Sort candidates by falling cosine, then galaxy_id: positions and cosines, (q, at most k).

    Parameters
    ----------
    galaxy_ids
        (n,) of all rows in magnitude order.
    """
    m = int(kept.counts.max()) if len(kept.counts) else 0
    positions = kept.positions[:, :m].long()
    cosines = torch.nan_to_num(kept.cosines[:, :m], nan=-torch.inf)
    cosines, order = torch.sort(cosines, dim=1, descending=True, stable=True)
    positions = positions.gather(1, order)
    ids = galaxy_ids[positions.clamp(min=0)]  # (q, m)
    wrong = (cosines[:, 1:] == cosines[:, :-1]) & (cosines[:, 1:] > -torch.inf)
    wrong &= ids[:, 1:] < ids[:, :-1]
    rows = wrong.any(dim=1).nonzero().squeeze(1)
    if len(rows):
        order = torch.argsort(ids[rows], dim=1)
        again = torch.argsort(cosines[rows].gather(1, order), dim=1, descending=True, stable=True)
        positions[rows] = positions[rows].gather(1, order.gather(1, again))
    return positions[:, :k], cosines[:, :k]


def send(rows: npt.NDArray[np.int64], kept: Kept, galaxy_ids: torch.Tensor, *, k: int) -> Finished:
    """Put candidates in order, cut them to k, and send them to main memory in the background."""
    positions, cosines = best(kept, galaxy_ids, k=k)
    similarities = cosines.clamp(-1.0, 1.0).float()
    lengths = kept.counts.clamp(max=k)
    device = positions.device
    if device.type == "cpu":
        return Finished(rows, positions, similarities, lengths, None)
    stream = _sending(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    arrived = []
    with torch.cuda.stream(stream):
        for tensor in (positions, similarities, lengths):
            target = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
            arrived.append(target.copy_(tensor, non_blocking=True))
            tensor.record_stream(stream)
        return Finished(rows, arrived[0], arrived[1], arrived[2], stream.record_event())


@cache
def _sending(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call] # torch has no types here
