"""The readout of a polar network: weigh raw features by how little the augmentations move them.

The closed form of what contrast aims at: directions in which views of one galaxy differ count
little, those in which galaxies differ count. With S_w the covariance within the views of a galaxy,
the map is (S_w + shrinkage)^(-1/2), then the leading principal axes of the galaxies' means: linear
discriminant analysis with every galaxy a class of its own (Fisher 1936; as within-class covariance
normalization by Hatch et al. 2006). No label enters.
"""

from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from skylike.embeddings.polar import PolarResNet
from skylike.embeddings.preprocess import Preprocessing, center_crop, normalize, to_colors
from skylike.embeddings.recipe import TrainRecipe
from skylike.embeddings.training.batch_views import make_views, split_kinds
from skylike.embeddings.training.training_set import Batch, TrainingSet
from skylike.errors import TrainingError
from skylike.progress import SILENT, Progress

FIT_IMAGES: Final = 20_000
"""Images that the readout is fitted to, at most: some 25 for each raw feature."""

FIT_VIEWS: Final = 3
"""Augmented views of each, beside the image itself."""

_FIT_BATCH: Final = 128

_POLAR_FLOOR: Final = 0.02
"""Added to the standard deviation of polar values before they are divided by it, so that what
hardly varies is not blown up."""

_POOLED_FLOOR: Final = 1e-3

Rows = npt.NDArray[np.float64]


def fit_readout(
    network: PolarResNet,
    images: TrainingSet,
    recipe: TrainRecipe,
    preprocessing: Preprocessing,
    *,
    device: str,
    progress: Progress = SILENT,
) -> None:
    """Fit the readout of a trained network in place.

    Raises
    ------
    TrainingError
        The network gives a value that is not finite.
    """
    network.polar.channel_scale.copy_(torch.tensor(preprocessing.scale))
    was_training = network.training
    network.eval()
    plain, views = _raw_features(
        network, images, recipe, preprocessing, device=device, progress=progress
    )
    network.train(was_training)
    if not (np.isfinite(plain).all() and np.isfinite(views).all()):
        raise TrainingError(
            "the network gives values that are not finite for some image; the readout cannot be "
            "fitted; lower --learning-rate and give --restart"
        )
    center, matrix = solve_readout(
        plain,
        views,
        weights=feature_weights(plain, network.pooled_dimension, recipe.readout_pooled),
        shrinkage=recipe.readout_shrinkage,
        outputs=recipe.readout,
    )
    network.readout.center.copy_(torch.from_numpy(center))
    network.readout.matrix.copy_(torch.from_numpy(matrix))


def feature_weights(plain: Rows, pooled_dimension: int, pooled_weight: float) -> Rows:
    """Return factors (r,) that standardize raw features (n, r), the pooled ones at a weight."""
    scale = plain.std(axis=0)
    floor = np.full(len(scale), _POLAR_FLOOR)
    floor[:pooled_dimension] = _POOLED_FLOOR
    weights = 1.0 / (scale + floor)
    weights[:pooled_dimension] *= pooled_weight
    return np.asarray(weights)


def solve_readout(
    plain: Rows, views: Rows, *, weights: Rows, shrinkage: float, outputs: int
) -> tuple[Rows, Rows]:
    """Find the linear map that the readout is.

    Parameters
    ----------
    plain
        Raw features of the images as they are, (n, r).
    views
        Of k views of each, (k, n, r).
    weights
        (r,) factors that bring the features to one scale.
    shrinkage
        Added to the variance within views, in units of the weighted features.
    outputs
        d; where it exceeds r, the further outputs are 0.

    Returns
    -------
    center : ndarray
        (r,) mean of the raw features.
    matrix : ndarray
        (r, d).
    """
    k, n, r = views.shape
    mean = views.mean(axis=0)  # (n, r)
    within = np.zeros((r, r))
    for view in views:
        spread = (view - mean) * weights
        within += spread.T @ spread
    within /= n * max(k - 1, 1)
    variance, axes = np.linalg.eigh(within)
    whitening = axes / np.sqrt(np.clip(variance, 0.0, None) + shrinkage)  # (r, r)
    between = np.cov((mean * weights) @ whitening, rowvar=False)  # (r, r)
    _, leading = np.linalg.eigh(between)
    matrix = np.zeros((r, outputs))
    kept = min(outputs, r)
    matrix[:, :kept] = weights[:, None] * (whitening @ leading[:, ::-1][:, :kept])
    return plain.mean(axis=0), matrix


@torch.inference_mode()
def _raw_features(
    network: PolarResNet,
    images: TrainingSet,
    recipe: TrainRecipe,
    preprocessing: Preprocessing,
    *,
    device: str,
    progress: Progress,
) -> tuple[Rows, Rows]:
    """Return raw features of a sample (n, r) and of views of it (k, n, r)."""
    random = np.random.default_rng((recipe.seed, 0x72656164))
    chosen = np.sort(random.permutation(len(images))[:FIT_IMAGES])
    plain: list[Rows] = []
    views: list[list[Rows]] = [[] for _ in range(FIT_VIEWS)]
    augmented = replace(recipe, seed=recipe.seed ^ 0x5EED)  # draws of no training step
    with progress.task("fitting the readout", total=len(chosen), unit="images") as task:
        for number, start in enumerate(range(0, len(chosen), _FIT_BATCH)):
            positions = chosen[start : start + _FIT_BATCH]
            canvases = images.sample(positions)
            batch = Batch(number, positions, canvases)
            made = make_views(
                batch, images, augmented, preprocessing, count=FIT_VIEWS, device=device
            )
            plain.append(_raw(network, _as_they_are(batch, images, preprocessing).to(device)))
            for kept, view in zip(views, made.views, strict=True):
                kept.append(_raw(network, view))
            task.advance(len(positions))
    return np.concatenate(plain), np.stack([np.concatenate(kept) for kept in views])


def _as_they_are(batch: Batch, images: TrainingSet, preprocessing: Preprocessing) -> torch.Tensor:
    size = preprocessing.input_size
    inputs = torch.empty(len(batch.canvases), 3, size, size)
    for kind, here in split_kinds(images.is_picture[batch.positions]):
        crops = center_crop(batch.canvases[torch.from_numpy(here)].float(), preprocessing)
        inputs[torch.from_numpy(here)] = normalize(
            to_colors(crops, kind, preprocessing), preprocessing
        )
    return inputs


def _raw(network: PolarResNet, inputs: torch.Tensor) -> Rows:
    raw = network.raw_features(inputs, network.pooled(inputs))
    return raw.cpu().to(torch.float64).numpy()
