"""How neighbors are to be searched: on which device, by which engine, in how much memory."""

from dataclasses import dataclass
from typing import Literal

from skylike.errors import SettingsError
from skylike.neighbors.engine.faiss_library import torch_sees

Engine = Literal["auto", "product", "faiss", "torch"]

MAXIMUM_K = 2000
"""Longest list: Faiss selects at most 2,048 on a GPU, and a margin is needed."""

START_ROUNDOFFS = 16.0
"""Assumed error of a single-precision dot product in units of 2^-24 |x| |y|.

Measured with OpenBLAS and with Faiss, d from 16 to 4,096: 2 rms, 12 at most among 250,000
candidates. Every search checks it against what it re-scores and doubles it where it is refuted.
"""


@dataclass(frozen=True)
class SearchPlan:
    """How to search; the answer does not depend on it.

    Attributes
    ----------
    k
        Longest list.
    device
        ``cpu``, ``cuda`` or ``cuda:N``.
    engine
        ``product``: matrix product and partition, on the processor; ``torch``: 16-bit products and
        exact similarities, on a GPU or a processor; ``faiss``; ``auto`` takes the product on a
        processor, torch on a GPU that torch sees and Faiss on another.
    tile_rows
        Rows searched together; None chooses by the device and the width of the windows.
    memory_bytes
        Memory for vectors; None takes 768 MiB on a processor and what is free on a GPU.
    score_bytes
        Memory for the scores of a tile; None takes 256 MiB on a processor, where the product keeps
        as many for later tiles, and at most 8 GiB on a GPU.
    roundoffs
        First assumption on the arithmetic's error; see ``START_ROUNDOFFS``.
    """

    k: int
    device: str = "cpu"
    engine: Engine = "auto"
    tile_rows: int | None = None
    memory_bytes: int | None = None
    score_bytes: int | None = None
    roundoffs: float = START_ROUNDOFFS

    def __post_init__(self) -> None:
        if not 1 <= self.k <= MAXIMUM_K:
            raise SettingsError(f"k = {self.k}: use 1 to {MAXIMUM_K} neighbors")
        if self.device != "cpu" and self.engine == "product":
            raise SettingsError(f"the matrix product runs on the processor, not on {self.device}")

    @property
    def chosen_engine(self) -> Literal["product", "faiss", "torch"]:
        """The engine that ``auto`` stands for; the engine itself otherwise."""
        if self.engine != "auto":
            return self.engine
        if self.device == "cpu":
            return "product"
        return "torch" if torch_sees(self.device) else "faiss"
