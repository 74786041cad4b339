"""Mean and scale of what the network will see, measured on a sample of the training images."""

from typing import Final

import numpy as np
import torch

from skylike.embeddings.preprocess import (
    Preprocessing,
    center_crop,
    measure_normalization,
    to_colors,
)
from skylike.embeddings.training.batch_views import split_kinds
from skylike.embeddings.training.training_set import TrainingSet

SAMPLE: Final = 1024
"""Images whose crops are taken: 9 million pixels of a channel are plenty."""


def measure_input(images: TrainingSet, *, seed: int) -> Preprocessing:
    """Return the preprocessing of the images with mean and scale of a sample drawn by the seed."""
    preprocessing, n = images.preprocessing, len(images)
    sample = np.sort(np.random.default_rng(seed).permutation(n)[: min(n, SAMPLE)])
    canvases = images.sample(sample)
    colors = [
        to_colors(center_crop(canvases[here].float(), preprocessing), kind, preprocessing)
        for kind, here in split_kinds(images.is_picture[sample])
    ]
    return measure_normalization(torch.cat(colors), preprocessing)
