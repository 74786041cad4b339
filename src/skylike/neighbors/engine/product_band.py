"""Products of a tile with later rows, kept for the tiles of those rows: z_i . z_j serves both."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Piece:
    """Products of the rows ``first .. last`` with the w rows from ``last`` on."""

    first: int
    last: int
    products: npt.NDArray[np.float32]
    """(last - first, w)"""

    def copy_to(self, scores: npt.NDArray[np.float32], left: int, rows: tuple[int, int]) -> None:
        """Fill in the columns of this piece's rows.

        Parameters
        ----------
        scores
            (q, columns) of the rows ``rows[0] .. rows[1]``, columns from row ``left`` on. Rows that
            the piece has no products with have none of its rows in their windows: they get zeros.
        """
        first = max(self.first, left)
        begin = rows[0] - self.last
        end = max(min(rows[1] - self.last, self.products.shape[1]), begin)
        columns = slice(first - left, self.last - left)
        scores[: end - begin, columns] = self.products[first - self.first :, begin:end].T
        scores[end - begin :, columns] = 0


class ProductBand:
    """The last products, as many as fit into memory.

    Rows in magnitude order have their windows around them, so that a tile that comes after the ones
    before it finds the left half of its products here: half of all products need not be computed.
    """

    def __init__(self, memory_bytes: int) -> None:
        self._memory = memory_bytes
        self._pieces: list[Piece] = []

    def before(self, row: int, left: int) -> list[Piece]:
        """Return pieces without a gap up to ``row``, from the last one back to row ``left``."""
        found: list[Piece] = []
        for piece in reversed(self._pieces):
            if piece.last != row or row <= left:
                break
            found.append(piece)
            row = piece.first
        return found

    def keep(self, piece: Piece, left: int) -> None:
        """Keep a piece, drop those that end before row ``left``, and the oldest for memory."""
        pieces = [*(p for p in self._pieces if left < p.last <= piece.first), piece]
        size = np.cumsum([p.products.nbytes for p in reversed(pieces)])
        fits = int(np.searchsorted(size, self._memory, side="right"))
        self._pieces = pieces[len(pieces) - fits :]
