"""Views of batch after batch, made ahead of the step that needs them."""

from collections.abc import Generator
from contextlib import closing
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from skylike.embeddings.augmentation import views as augment
from skylike.embeddings.augmentation.draws import draw_views
from skylike.embeddings.prefetch import prefetch
from skylike.embeddings.preprocess import Preprocessing, normalize, to_colors
from skylike.embeddings.recipe import TrainRecipe
from skylike.embeddings.training import distributed
from skylike.embeddings.training.schedule import step_generator
from skylike.embeddings.training.training_set import Batch, TrainingSet

AHEAD_FROM_THREADS: Final = 4
"""Threads of torch from which on a CPU augments beside the step. With 2 on 2 cores the whole loop
made 0.70 of the images of the bare step with a thread beside it, and 0.85 in turn
(``benchmarks/encoder.py``): the step's own threads wait for the one that shares its core."""


class BatchViews(NamedTuple):
    """Input of one step.

    Attributes
    ----------
    views
        Tensors (b, 3, h, w) on the device of the training, normalized; row i of each shows the
        same galaxy.
    generator
        Of this step, as the augmentations have left it.
    """

    views: list[torch.Tensor]
    generator: torch.Generator


def iter_views(
    images: TrainingSet,
    recipe: TrainRecipe,
    preprocessing: Preprocessing,
    *,
    count: int,
    steps: range,
    device: str,
) -> Generator[BatchViews, None, None]:
    """Yield the views of some steps.

    For a GPU, which augments by itself, a thread puts the next batches into pinned memory. On a CPU
    of many cores a thread augments the next batch; on one of few it would only be in the way of the
    step. The random numbers of a step come from its own generator, so that no result depends on
    which of the two is ahead.

    Parameters
    ----------
    preprocessing
        With mean and scale as measured.
    count
        Views of each image.
    """
    is_gpu = not device.startswith("cpu")

    def make(batch: Batch) -> BatchViews:
        return make_views(batch, images, recipe, preprocessing, count=count, device=device)

    with closing(
        images.batches(recipe.batch_size, seed=recipe.seed, steps=steps, pinned=is_gpu)
    ) as batches:
        if is_gpu:
            with closing(prefetch(batches)) as ready:
                yield from map(make, ready)
        elif torch.get_num_threads() >= AHEAD_FROM_THREADS:
            with closing(prefetch(map(make, batches), depth=1)) as views:
                yield from views
        else:
            yield from map(make, batches)


def make_views(
    batch: Batch,
    images: TrainingSet,
    recipe: TrainRecipe,
    preprocessing: Preprocessing,
    *,
    count: int,
    device: str,
) -> BatchViews:
    """Make the views of a batch: what :func:`iter_views` yields for its step."""
    generator = step_generator(device, recipe.seed, batch.step + 1, process=distributed.rank())
    canvases = batch.canvases.to(device, non_blocking=True)
    parts = split_kinds(images.is_picture[batch.positions])
    size = preprocessing.input_size
    views = [
        torch.empty(len(canvases), 3, size, size, device=canvases.device) for _ in range(count)
    ]
    for kind, here in parts:
        positions, is_all = batch.positions[here], len(parts) == 1
        place = torch.from_numpy(here).to(device)
        draws = draw_views(
            torch.from_numpy(images.index.ebv[positions]).to(device),
            torch.from_numpy(images.index.psf_size[positions]).to(device),
            recipe.augment,
            views=count,
            generator=generator,
        )
        chosen = canvases if is_all else canvases[place]
        for number, one in enumerate(draws):
            seen = augment.apply(chosen, one, preprocessing, kind=kind, generator=generator)
            colors = normalize(to_colors(seen, kind, preprocessing), preprocessing)
            if is_all:
                views[number] = colors
            else:
                views[number][place] = colors
    return BatchViews(views, generator)


def split_kinds(
    is_picture: npt.NDArray[np.bool_],
) -> list[tuple[str, npt.NDArray[np.int64]]]:
    """Return each kind that is there with the places (m,) where it is."""
    parts = [("flux", np.flatnonzero(~is_picture)), ("rgb", np.flatnonzero(is_picture))]
    return [(kind, here) for kind, here in parts if len(here)]
