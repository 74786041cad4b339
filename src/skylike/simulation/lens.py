"""Strong lenses: a red elliptical that bends the light of a blue galaxy behind it into arcs."""

import galsim
import numpy as np
import numpy.typing as npt

from skylike.simulation.scene import Light, Scene, Target

_Map = npt.NDArray[np.float32]


def lens(target: Target, rng: np.random.Generator) -> Scene:
    """Draw a lens: the arcs are the source's light where a singular isothermal ellipsoid sends it.

    The Einstein radius is 1.5 to 3.2 arcsec: below, the arcs melt into the lens at the survey's
    seeing. The source lies near the optical axis and is strongly stretched: arcs, quads, rings.

    References
    ----------
    Kormann, Schneider & Bartelmann (1994), A&A 284, 285: deflection of the isothermal ellipsoid.
    """
    einstein = float(np.clip(rng.lognormal(np.log(2.1), 0.22), 1.5, 3.2))
    ratio = float(np.clip(target.axis_ratio, 0.5, 0.95))
    offset, direction = einstein * rng.uniform(0.02, 0.38), rng.uniform(0, 2 * np.pi)
    source_u, source_v = offset * np.cos(direction), offset * np.sin(direction)
    source_radius = rng.uniform(0.12, 0.28)
    source_ratio, source_angle = rng.uniform(0.5, 1.0), rng.uniform(0, np.pi)
    upright = Target(target.radius, 1.0, target.position_angle, target.old, target.young)

    def arcs(x: _Map, y: _Map) -> _Map:
        u, v = upright.to_disk(x, y)
        bend_u, bend_v = _deflection(u, v, einstein=einstein, ratio=ratio)
        du, dv = u - bend_u - np.float32(source_u), v - bend_v - np.float32(source_v)
        cosine, sine = np.float32(np.cos(source_angle)), np.float32(np.sin(source_angle))
        along, across = (
            cosine * du + sine * dv,
            (cosine * dv - sine * du) / np.float32(source_ratio),
        )
        # An exponential disk: half of its light lies within 1.68 scale lengths.
        return np.asarray(np.exp(-1.68 * np.hypot(along, across) / source_radius), dtype=np.float32)

    profile = target.flatten(galsim.Sersic(4.0, half_light_radius=target.radius))
    extent = max(7 * target.radius, 4 * einstein)
    return Scene((Light(profile, target.old), Light(arcs, target.young)), extent=extent)


def _deflection(u: _Map, v: _Map, *, einstein: float, ratio: float) -> tuple[_Map, _Map]:
    """Deflection in arcsec at u along and v across the major axis of the mass."""
    flattening = np.sqrt(1 - ratio**2)
    distance = np.maximum(np.sqrt((ratio * u) ** 2 + v**2), np.float32(1e-6))
    factor = np.float32(einstein * np.sqrt(ratio) / flattening)
    bend_u = factor * np.arctan(np.float32(flattening) * u / distance)
    bend_v = factor * np.arctanh(np.float32(flattening) * v / distance)
    return bend_u, bend_v
