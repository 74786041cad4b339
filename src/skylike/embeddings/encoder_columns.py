"""What the table ``encoder`` records of a network."""

import dataclasses
from collections.abc import Mapping

from skylike.embeddings.preprocess import BANDS, Preprocessing
from skylike.embeddings.recipe import TrainRecipe, recipe_to_dict


def encoder_columns(
    recipe: TrainRecipe,
    preprocessing: Preprocessing,
    training: Mapping[str, object],
    *,
    dimension: int,
) -> dict[str, object]:
    """Describe a network as columns of the table ``encoder``.

    The name, the file and where the encoder comes from are for the caller to add.

    Parameters
    ----------
    recipe
        With the network's architecture; stored with ``training``.
    training
        What is worth recording of the training: plain values.
    dimension
        Length of an embedding.
    """
    return {
        "architecture": recipe.architecture,
        "width": recipe.width,
        "dimension": dimension,
        "input": preprocessing.input,
        "bands": list(BANDS),
        "pixel_scale": preprocessing.pixel_scale,
        "crop_pix": preprocessing.crop_pix,
        "preprocessing": dataclasses.asdict(preprocessing),
        "training": {"recipe": recipe_to_dict(recipe), **training},
        "is_active": False,
    }
