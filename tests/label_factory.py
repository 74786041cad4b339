"""Simulated embeddings whose classes are known: a rare class beside one much like it."""

import numpy as np
import numpy.typing as npt

CLASSES = 20
"""The first is the rare one, the second the one beside it."""


def clustered_vectors(
    n: int = 3000, d: int = 64, *, rare: float = 0.02, seed: int = 0
) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.bool_]]:
    """Vectors (n, d) in clusters that overlap, far from the origin, and which are rare ones."""
    random = np.random.default_rng(seed)
    centers = random.normal(size=(CLASSES, d)) * np.where(np.arange(d) < 10, 1.0, 0.3)
    centers[1] = centers[0] + 0.35 * (centers[1] - centers[0])
    others = random.dirichlet(np.full(CLASSES - 2, 2.0)) * (1 - 6 * rare)
    of_class = random.choice(CLASSES, size=n, p=[rare, 5 * rare, *others])
    vectors = centers[of_class] + random.normal(size=(n, d)) * 0.6
    vectors[:, 0] += 3.0  # as of a network without negative outputs: all point much the same way
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float16), of_class == 0
