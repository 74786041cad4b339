"""Galaxies without pattern: ellipticals, disks seen from the edge, small ones in the background."""

import galsim
import numpy as np
import numpy.typing as npt
from scipy import special

from skylike.simulation.scene import Light, Scene, Target

SERSIC_STEP = 0.5
"""Sersic indices are multiples of this: GalSim makes a table for each index and keeps it."""


def elliptical(target: Target, rng: np.random.Generator) -> Scene:
    """Draw an elliptical: one Sersic profile of index 3 to 5, steeper where it is larger."""
    index = SERSIC_STEP * round(float(np.clip(rng.normal(4, 0.6), 3, 5)) / SERSIC_STEP)
    # Half the light lies within the ellipse of that major axis.
    profile = target.flatten(galsim.Sersic(index, half_light_radius=target.radius))
    return Scene((Light(profile, target.old + target.young),), extent=7 * target.radius)


def bulge(target: Target, *, radius: float, roundness: float) -> galsim.GSObject:
    """Return the profile of a bulge: Sersic of index 2, between the disk's flatness and round."""
    ratio = target.axis_ratio + (1 - target.axis_ratio) * roundness
    return (
        galsim.Sersic(2.0, half_light_radius=radius)
        .transform(1, 0, 0, ratio)
        .rotate(target.position_angle * galsim.radians)
        .withFlux(1.0)
    )


def edge_on(target: Target, rng: np.random.Generator) -> Scene:
    """Draw a disk from the edge, with a bulge and, in every second one, a lane of dust.

    References
    ----------
    van der Kruit & Searle (1981), A&A 95, 105: brightness (x / h) K1(x / h) sech^2(z / z0).
    """
    length = np.float32(target.radius / 1.35)
    thickness = np.float32(length * max(target.axis_ratio - 0.05, 0.08))
    depth = np.float32(rng.uniform(0.5, 0.8) if rng.random() < 0.5 else 0.0)
    height = np.float32(rng.normal(0, 0.2)) * thickness
    warp = np.float32(rng.normal(0, 0.015) / length)
    flat = Target(target.radius, 1.0, target.position_angle, target.old, target.young)

    def disk(
        x: npt.NDArray[np.float32], y: npt.NDArray[np.float32], *, dust: np.float32
    ) -> npt.NDArray[np.float32]:
        u, v = flat.to_disk(x, y)
        along = np.maximum(np.abs(u) / length, np.float32(1e-3))
        above = v - warp * u * np.abs(u)
        light = along * special.k1(along) / np.cosh(np.clip(above / thickness, -20, 20)) ** 2
        lane = np.exp(
            -0.5 * ((above - height) / (0.35 * thickness)) ** 2 - 0.5 * (along / 2.2) ** 2
        )
        return np.asarray(light * (1 - dust * lane), dtype=np.float32)

    # Dust takes more of the blue light, and young stars lie deeper in it.
    lights = [
        Light(lambda x, y: disk(x, y, dust=np.float32(0.7) * depth), 0.65 * target.old),
        Light(lambda x, y: disk(x, y, dust=depth), target.young),
        Light(
            bulge(target, radius=float(rng.uniform(0.18, 0.32)) * target.radius, roundness=0.55),
            0.35 * target.old,
        ),
    ]
    return Scene(tuple(lights), extent=5 * target.radius)


def background(radius: float, axis_ratio: float, angle: float) -> galsim.GSObject:
    """Return the profile of a small exponential galaxy of unit flux."""
    return (
        galsim.Exponential(half_light_radius=radius)
        .transform(1, 0, 0, axis_ratio)
        .rotate(angle * galsim.radians)
        .withFlux(1.0)
    )
