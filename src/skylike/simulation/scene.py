"""What is drawn: profiles known to GalSim, maps of brightness made here, and the light of both."""

from collections.abc import Callable
from dataclasses import dataclass, field

import galsim
import numpy as np
import numpy.typing as npt

from skylike.simulation.distributions import Floats

Brightness = Callable[[npt.NDArray[np.float32], npt.NDArray[np.float32]], npt.NDArray[np.float32]]
"""Surface brightness, of any unit, at x and y in arcsec from the center of the cutout."""


@dataclass(frozen=True)
class Target:
    """One galaxy to draw.

    Attributes
    ----------
    radius
        Half-light radius along the major axis, arcsec.
    axis_ratio, position_angle
        Minor to major axis; radians from the x axis.
    old, young
        (3,) flux of old and young stars in g, r, z, nanomaggies.
    """

    radius: float
    axis_ratio: float
    position_angle: float
    old: Floats
    young: Floats

    def flatten(self, profile: galsim.GSObject) -> galsim.GSObject:
        """Incline a round profile as this galaxy; its radius stays that of the major axis."""
        return (
            profile.transform(1, 0, 0, self.axis_ratio)
            .rotate(self.position_angle * galsim.radians)
            .withFlux(1.0)
        )

    def to_disk(
        self, x: npt.NDArray[np.float32], y: npt.NDArray[np.float32]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Turn places on the sky into places in the plane of the disk, seen from above."""
        cosine, sine = (
            np.float32(np.cos(self.position_angle)),
            np.float32(np.sin(self.position_angle)),
        )
        u = cosine * x + sine * y
        v = (cosine * y - sine * x) / np.float32(self.axis_ratio)
        return np.asarray(u, dtype=np.float32), np.asarray(v, dtype=np.float32)

    def to_sky(self, u: Floats, v: Floats) -> tuple[Floats, Floats]:
        """Turn places in the plane of the disk into places on the sky."""
        cosine, sine = np.cos(self.position_angle), np.sin(self.position_angle)
        v = v * self.axis_ratio
        return cosine * u - sine * v, sine * u + cosine * v


@dataclass(frozen=True)
class Light:
    """A profile of GalSim with unit flux, or a map of brightness, and its flux.

    Attributes
    ----------
    shape
        Profile in arcsec about the center of the cutout, or brightness as a function of place.
    flux
        (3,) total in g, r, z, nanomaggies.
    """

    shape: galsim.GSObject | Brightness
    flux: Floats


@dataclass(frozen=True)
class Points:
    """Unresolved clumps: knots of star formation, stars pulled from a disk.

    Attributes
    ----------
    x, y
        (p,) arcsec from the center of the cutout.
    weight
        (p,) share of the light, of any sum.
    flux
        (3,) total in g, r, z, nanomaggies.
    sigma
        Each is a Gaussian of this sigma, arcsec.
    """

    x: Floats
    y: Floats
    weight: Floats
    flux: Floats
    sigma: float = 0.0


@dataclass(frozen=True)
class Scene:
    """All light of one galaxy.

    Attributes
    ----------
    lights, points
        What adds up.
    extent
        Radius in arcsec beyond which next to nothing shines.
    """

    lights: tuple[Light, ...]
    extent: float
    points: tuple[Points, ...] = field(default=())
