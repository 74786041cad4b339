"""Positions as points on the unit sphere, where distances have no edge and no pole."""

import numpy as np
import numpy.typing as npt


def unit_vectors(
    ra: npt.NDArray[np.float64], dec: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Turn ICRS positions in degrees, (n,) each, into points on the unit sphere, (n, 3)."""
    longitude, latitude = np.radians(ra), np.radians(dec)
    cosine = np.cos(latitude)
    return np.stack(
        [cosine * np.cos(longitude), cosine * np.sin(longitude), np.sin(latitude)], axis=-1
    )  # (n, 3)
