"""The images of a training run in half precision: all in memory, or window by window."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from skylike.embeddings.preprocess import BANDS, Preprocessing, to_canvas
from skylike.embeddings.recipe import TrainRecipe
from skylike.errors import EmptyStageError, SettingsError
from skylike.images.index import NO_GALAXY, CutoutIndex
from skylike.images.read import BLOCK_ROWS, read_pixels
from skylike.progress import SILENT, Progress

MEMORY_BYTES = 2 << 30
"""Canvases held at a time: 15,500 of full resolution. More images are read again in every epoch."""

Positions = npt.NDArray[np.int64]


def choose_images(
    index: CutoutIndex, recipe: TrainRecipe, *, kind: str | None = None
) -> CutoutIndex:
    """Choose what to train on, in the order of the disk.

    Parameters
    ----------
    index
        All cutouts, with or without a galaxy.
    kind
        ``"flux"`` or ``"rgb"`` only; None takes what the recipe's input can use, and of a galaxy
        that has both its fluxes.

    Raises
    ------
    SettingsError
        Pictures for a network that sees fluxes, or fewer images than one batch.
    EmptyStageError
        There are none of that kind.
    """
    if kind == "rgb" and recipe.input == "flux":
        raise SettingsError(
            f"recipe {recipe.name!r} sees fluxes and cannot be trained on pictures; "
            "use a recipe with rgb input, such as `small`"
        )
    flux, pictures = index.of_kind("flux"), index.of_kind("rgb")
    if kind == "flux" or recipe.input == "flux":
        chosen = flux
    elif kind == "rgb":
        chosen = pictures
    else:
        galaxy = index.galaxy_id[pictures]
        is_double = (galaxy != NO_GALAXY) & np.isin(galaxy, index.galaxy_id[flux])
        chosen = np.sort(np.concatenate([flux, pictures[~is_double]]))
    if not len(chosen):
        raise EmptyStageError(
            f"there are no cutouts to train recipe {recipe.name!r} on; "
            "run `skylike images add` first"
        )
    if recipe.galaxies and recipe.galaxies < len(chosen):
        generator = np.random.default_rng(recipe.seed)
        chosen = np.sort(generator.choice(chosen, recipe.galaxies, replace=False))
    if len(chosen) < recipe.batch_size:
        raise SettingsError(
            f"there are {len(chosen):,} images to train on, fewer than one batch of "
            f"{recipe.batch_size}; add more, or lower --batch-size"
        )
    return index.take(chosen)


@dataclass
class TrainingSet:
    """Chosen images in the order in which epochs need them."""

    index: CutoutIndex
    """The images, from :func:`choose_images`."""

    preprocessing: Preprocessing
    """Makes canvases of them."""

    memory_bytes: int = MEMORY_BYTES
    """How much of them may be held."""

    progress: Progress = SILENT
    """Told about reading."""

    _held: Positions = field(default_factory=lambda: np.empty(0, np.int64), init=False)
    _canvases: torch.Tensor = field(default_factory=lambda: torch.empty(0), init=False)

    def __post_init__(self) -> None:
        """Note which images are pictures."""
        self.is_picture: npt.NDArray[np.bool_] = np.zeros(len(self.index), dtype=bool)
        self.is_picture[self.index.of_kind("rgb")] = True

    def __len__(self) -> int:
        return len(self.index)

    @property
    def fingerprint(self) -> str:
        """Tell these images from others: a hash of their identifiers."""
        return hashlib.sha256(self.index.cutout_id.astype("<i4").tobytes()).hexdigest()[:16]

    def window(self, batch_size: int) -> int:
        """Return how many images are held at a time: all, or whole batches."""
        bytes_each = 2 * len(BANDS) * self.preprocessing.canvas_size**2
        fits = max(self.memory_bytes // bytes_each, batch_size)
        return len(self) if fits >= len(self) else fits - fits % batch_size

    def steps_per_epoch(self, batch_size: int) -> int:
        """Return the whole batches of an epoch; each time others are left over."""
        return len(self) // batch_size

    def batches(self, batch_size: int, *, seed: int, first_step: int = 0) -> Iterator[Positions]:
        """Yield the positions of batch after batch without end, from any step on.

        The order depends on the seed and the epoch alone. Images that do not fit in memory are
        shuffled in blocks of neighbors on disk, and within the windows that these blocks fill.
        """
        per_epoch = self.steps_per_epoch(batch_size)
        step = first_step
        while True:
            epoch, within = divmod(step, per_epoch)
            order = epoch_order(len(self), self.window(batch_size), seed=seed, epoch=epoch)
            for start in range(within * batch_size, per_epoch * batch_size, batch_size):
                yield order[start : start + batch_size]
                step += 1

    def canvases(
        self, positions: Positions, batch_size: int, *, seed: int, step: int
    ) -> torch.Tensor:
        """Return the canvases (b, 3, s, s) float16 of a batch, reading its window if need be."""
        place = np.searchsorted(self._held, positions)
        is_held = len(self._held) > 0 and bool(
            np.all(self._held[np.minimum(place, len(self._held) - 1)] == positions)
        )
        if not is_held:
            self._hold(self._window_of(batch_size, seed, step))
            place = np.searchsorted(self._held, positions)
        return self._canvases[torch.from_numpy(place)]

    def _window_of(self, batch_size: int, seed: int, step: int) -> Positions:
        window = self.window(batch_size)
        epoch, within = divmod(step, self.steps_per_epoch(batch_size))
        order = epoch_order(len(self), window, seed=seed, epoch=epoch)
        start = within * batch_size // window * window
        return np.sort(order[start : start + window])

    def _hold(self, positions: Positions) -> None:
        self._canvases = torch.empty(0)  # let go of the old window before the new one is made
        self._canvases = self.read(positions)
        self._held = positions

    def read(self, positions: Positions) -> torch.Tensor:
        """Read canvases (b, 3, s, s) float16, in ascending order of ``positions``."""
        size = self.preprocessing.canvas_size
        canvases = torch.empty(len(positions), len(BANDS), size, size, dtype=torch.float16)
        with self.progress.task("reading images", total=len(positions), unit="images") as task:
            for kind, is_kind in (("flux", ~self.is_picture), ("rgb", self.is_picture)):
                here = np.flatnonzero(is_kind[positions])
                for start in range(0, len(here), BLOCK_ROWS):
                    block = here[start : start + BLOCK_ROWS]
                    pixels = torch.from_numpy(read_pixels(self.index, positions[block]).pixels)
                    canvas = to_canvas(pixels, kind, self.preprocessing)
                    canvases[torch.from_numpy(block)] = _half(canvas)
                    task.advance(len(block))
        return canvases


def _half(canvas: torch.Tensor) -> torch.Tensor:
    """Round to float16 (0.05 percent, finer than the noise), cut what is too bright for it."""
    limit = torch.finfo(torch.float16).max
    return canvas.clamp(-limit, limit).to(torch.float16)


def epoch_order(n: int, window: int, *, seed: int, epoch: int) -> Positions:
    """Return a random order of n images; each window of it comes from few blocks on disk."""
    generator = np.random.default_rng((seed, epoch))
    if window >= n:
        return generator.permutation(n)
    blocks = [np.arange(start, min(start + BLOCK_ROWS, n)) for start in range(0, n, BLOCK_ROWS)]
    order = np.concatenate([blocks[i] for i in generator.permutation(len(blocks))])
    return np.concatenate(
        [generator.permutation(order[start : start + window]) for start in range(0, n, window)]
    )
