"""How far screening scores can be off, and so which candidates cannot be among the k nearest.

Lengths and distances below are those of scaled, centered rows, see
:mod:`skylike.neighbors.engine.torch_rows`, and a score is
h_i . h_j - |h_j|^2 / 2 = (|h_i|^2 - |h_i - h_j|^2) / 2: it says how far two *rounded* rows are
apart. By the triangle inequality the true ones are |h_i - h_j| apart, plus or minus e_i + e_j,
where e = |h - scale z| is known for each row. That part of the bound is certain. What accumulation
in single precision adds is assumed, in units of the roundoff, and checked against every candidate
whose exact similarity is computed.
"""

from dataclasses import dataclass
from typing import Final

import torch

from skylike.neighbors.engine.candidates import UNIT_ROUNDOFF
from skylike.neighbors.engine.torch_rows import CONVERSION_ERROR, Rows

TRUSTED_FRACTION: Final = 0.75
"""An accumulation error above this fraction of the assumed one refutes it."""

_LENGTH_MARGIN: Final = 1.1
"""Lengths are bounded with scores that are themselves rounded; a tenth is far more than that."""

LOWEST: Final = float(torch.finfo(torch.float32).min)
"""Below every score of a candidate, above -inf, which marks what is none."""


@dataclass(frozen=True)
class ErrorBound:
    """What is known about the errors of one search's rows.

    Attributes
    ----------
    scale
        Of the rows.
    ratio, floor
        e_j <= ratio max(|h_j|, floor) for every row j; ``ratio`` is a tensor without dimensions.
    roundoffs
        Assumed error of a score in units of 2^-24 |h_j| (|h_i| + |h_j|).
    """

    scale: float
    ratio: torch.Tensor
    floor: float
    roundoffs: float

    def cut(self, rows: Rows, lowest: torch.Tensor) -> torch.Tensor:
        """Return the score (q,) below which nothing can be among the k nearest of each row.

        Parameters
        ----------
        lowest
            (q,) a score that k candidates reach; -inf where fewer are known.
        """
        ratio = self.ratio.double()
        squares, own = rows.squares.double(), self._own(rows)  # (q,)
        length = squares.sqrt()
        nearest = (squares - 2.0 * lowest.double()).clamp(min=0.0)
        rounding = self._accumulated(length, length + nearest.sqrt())
        distance = (nearest + 2.0 * rounding).sqrt()
        # The k candidates are truly no further than that, and so is whoever replaces one of them:
        at_most = distance + own + ratio * (length + distance)
        # How far apart the rounded rows of such a pair can be:
        rounded = (at_most + own + ratio * length) / (1.0 - ratio)
        rounding = self._accumulated(length, length + rounded)
        cut = (squares - rounded.square()) / 2.0 - rounding
        cut = torch.nan_to_num(cut, nan=LOWEST).clamp(min=LOWEST).float()
        return torch.nextafter(cut, torch.full_like(cut, -torch.inf)).clamp(min=LOWEST)

    def holds(
        self, rows: Rows, scores: torch.Tensor, cosines: torch.Tensor, there: torch.Tensor
    ) -> torch.Tensor:
        """Tell whether the scores (q, m) of candidates with these true cosines are within bounds.

        Returns a tensor without dimensions: nobody waits for the device here.
        """
        squares = rows.squares.double()[:, None]  # (q, 1)
        own, length = self._own(rows)[:, None], squares.sqrt()
        true = self.scale * (2.0 - 2.0 * cosines).clamp(min=0.0).sqrt()  # (q, m)
        off = (squares - 2.0 * scores.double() - true.square()).abs()
        ratio = self.ratio.double()
        both = (own + ratio * (length + true)) / (1.0 - ratio)
        certain = both * (2.0 * true + both)
        assumed = 2.0 * self._accumulated(length, length + true + both)
        return ((off <= certain + TRUSTED_FRACTION * assumed) | ~there).all()

    def _own(self, rows: Rows) -> torch.Tensor:
        # With what a candidate's error has beside its ratio; both were converted in float32.
        each = 2.0 * CONVERSION_ERROR * self.scale + self.ratio.double() * self.floor
        return rows.errors.double() + each

    def _accumulated(self, length: torch.Tensor, longest: torch.Tensor) -> torch.Tensor:
        longest = _LENGTH_MARGIN * longest
        return UNIT_ROUNDOFF * self.roundoffs * longest * (length + longest)
