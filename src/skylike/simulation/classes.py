"""The classes of simulated galaxies and how common each is."""

from enum import StrEnum
from typing import Final


class GalaxyClass(StrEnum):
    """What a simulated cutout shows; ``class`` in the truth table."""

    ELLIPTICAL = "elliptical"
    SPIRAL = "spiral"
    EDGE_ON = "edge_on"
    RING = "ring"
    MERGER = "merger"
    LENS = "lens"
    BLEND = "blend"
    STAR_ARTIFACT = "star_artifact"


PREVALENCE: Final = {
    GalaxyClass.ELLIPTICAL: 0.36,
    GalaxyClass.SPIRAL: 0.30,
    GalaxyClass.EDGE_ON: 0.12,
    GalaxyClass.BLEND: 0.07,
    GalaxyClass.RING: 0.05,
    GalaxyClass.MERGER: 0.05,
    GalaxyClass.STAR_ARTIFACT: 0.04,
    GalaxyClass.LENS: 0.01,
}
"""Share of each class.

Rings, mergers and above all lenses (one galaxy in 10,000) are far more common here than on the sky,
so that a survey of thousands has enough of them to search for.
"""

STAR: Final = "star"
DUPLICATE: Final = "duplicate"
"""``class`` of the catalog rows without a cutout: TYPE PSF and DUP of the sweep."""
