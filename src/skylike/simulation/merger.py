"""Mergers: two galaxies and the tails that their encounter pulled out of their disks."""

from dataclasses import dataclass

import galsim
import numpy as np

from skylike.simulation.distributions import Floats
from skylike.simulation.scene import Light, Points, Scene, Target

STARS = 1500
"""Test particles in each disk: as a Gaussian of a tenth of the radius each, they show no grain."""

STEPS = 90
"""Time steps of the encounter; twice as many move no tail visibly."""


@dataclass(frozen=True)
class _Encounter:
    """An encounter as seen on the sky, in units of the pericenter; the larger galaxy is at (0, 0).

    Attributes
    ----------
    companion
        (2,) place of the smaller galaxy.
    stars
        (2, STARS, 2) places of the stars of each disk.
    """

    companion: Floats
    stars: Floats


def merger(target: Target, rng: np.random.Generator) -> Scene:
    """Draw a merger: the cores are Sersic profiles, the disks and tails come from an encounter.

    References
    ----------
    Toomre & Toomre (1972), ApJ 178, 623: two masses on a parabola, disks of massless stars.
    """
    mass = rng.uniform(0.3, 1.0)
    encounter = _encounter(mass, rng)
    separation = float(np.hypot(*encounter.companion))
    wanted = target.radius * rng.uniform(1.4, 2.6)
    arcsec = wanted / max(separation, 0.5)
    shares = np.array([1.0, mass]) / (1 + mass)
    places = np.stack([np.zeros(2), encounter.companion]) * arcsec  # (2, 2)
    # The picture is centered on the light of both, as a catalog would on the brighter.
    places = places - shares[1] * 0.5 * places[1]
    lights, points = [], []
    for number, share in enumerate(shares):
        core, disk = 0.65, 0.35
        lights.append(Light(_core(target, number, places[number], rng), core * share * target.old))
        lights.append(
            Light(
                _disk(target, places[number], rng),
                (0.35 * target.young + 0.6 * disk * target.old) * share,
            )
        )
        stars = encounter.stars[number] * arcsec - shares[1] * 0.5 * encounter.companion * arcsec
        points.append(
            Points(
                x=stars[:, 0],
                y=stars[:, 1],
                weight=np.ones(len(stars)),
                flux=share * (0.65 * target.young + 0.4 * disk * target.old),
                sigma=0.11 * target.radius,
            )
        )
    return Scene(tuple(lights), extent=max(6 * target.radius, 3 * wanted), points=tuple(points))


def _core(target: Target, number: int, place: Floats, rng: np.random.Generator) -> galsim.GSObject:
    radius = target.radius * (0.30 if number == 0 else 0.24)
    round_one = galsim.Sersic(2.0, half_light_radius=radius).shear(
        q=rng.uniform(0.6, 1.0), beta=rng.uniform(0, np.pi) * galsim.radians
    )
    return round_one.shift(*place)


def _disk(target: Target, place: Floats, rng: np.random.Generator) -> galsim.GSObject:
    flat = galsim.Exponential(half_light_radius=0.6 * target.radius).shear(
        q=rng.uniform(0.4, 0.9), beta=rng.uniform(0, np.pi) * galsim.radians
    )
    return flat.shift(*place)


def _encounter(mass: float, rng: np.random.Generator) -> _Encounter:
    """Follow stars through a parabolic passage; pericenter and G times the larger mass are 1."""
    masses = np.array([1.0, mass])
    total = masses.sum()
    start, end = -1.6, rng.uniform(1.2, 2.6)
    times = np.linspace(start, end, STEPS + 1) * np.sqrt(8 / total)
    step = times[1] - times[0]
    relative, motion = _parabola(times, total)  # (STEPS + 1, 3) each
    center = -relative * (masses[1] / total)  # of the larger galaxy about the center of mass
    centers = np.stack([center, center + relative])  # (2, STEPS + 1, 3)
    speeds = np.stack([-motion * (masses[1] / total), motion * (masses[0] / total)])
    stars, velocity = _disks(masses, rng)  # (2, STARS, 3)
    stars, velocity = stars + centers[:, None, 0], velocity + speeds[:, None, 0]
    for number in range(STEPS):
        velocity += step / 2 * _pull(stars, centers[:, number], masses)
        stars += step * velocity
        velocity += step / 2 * _pull(stars, centers[:, number + 1], masses)
    view = _rotation(rng.uniform(0, 0.9), rng.uniform(0, 2 * np.pi))
    view = _spin(rng.uniform(0, 2 * np.pi)) @ view
    seen = (stars - centers[0, -1]) @ view.T
    companion = view @ relative[-1]
    return _Encounter(companion=companion[:2], stars=seen[..., :2])


def _parabola(times: Floats, total: float) -> tuple[Floats, Floats]:
    """Relative place and velocity on a parabola of pericenter 1 (Barker's equation)."""
    # tan(v / 2) = d solves d + d^3 / 3 = t sqrt(G M / 2); its one real root by Cardano.
    mean = 1.5 * times * np.sqrt(total / 2)
    root = np.cbrt(mean + np.sqrt(mean**2 + 1))
    d = root - 1 / root
    place = np.stack([1 - d**2, 2 * d, np.zeros_like(d)], axis=1)  # (t, 3)
    rate = np.sqrt(total / 2) / (1 + d**2)
    velocity = np.stack([-2 * d * rate, 2 * rate, np.zeros_like(d)], axis=1)
    return place, velocity


def _disks(masses: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Put stars on circles; the disks turn with the passage, which draws tails out of them."""
    places, velocities = [], []
    for mass in masses:
        radius = np.sqrt(rng.uniform(0.12**2, 0.75**2, size=STARS)) * mass**0.3
        angle = rng.uniform(0, 2 * np.pi, size=STARS)
        speed = np.sqrt(mass * radius**2 / (radius**2 + SOFTENING**2) ** 1.5)
        zero = np.zeros(STARS)
        tilt = _rotation(rng.uniform(0, 0.8), rng.uniform(0, 2 * np.pi))
        place = np.stack([radius * np.cos(angle), radius * np.sin(angle), zero], axis=1)
        velocity = np.stack([-speed * np.sin(angle), speed * np.cos(angle), zero], axis=1)
        places.append(place @ tilt.T)
        velocities.append(velocity @ tilt.T)
    return np.stack(places), np.stack(velocities)


SOFTENING = 0.2
"""Radius of the Plummer spheres that stand for the galaxies' masses, in pericenters."""


def _pull(stars: Floats, centers: Floats, masses: Floats) -> Floats:
    pull = np.zeros_like(stars)
    for center, mass in zip(centers, masses, strict=True):
        away = stars - center
        square = np.einsum("...i,...i->...", away, away) + SOFTENING**2
        pull -= away * (mass / (square * np.sqrt(square)))[..., None]
    return pull


def _rotation(tilt: float, node: float) -> Floats:
    """Tilt by an angle about a line of nodes in the plane, radians: (3, 3)."""
    about_z = _spin(node)
    cosine, sine = np.cos(tilt), np.sin(tilt)
    about_x = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    return np.asarray(about_z @ about_x @ about_z.T, dtype=np.float64)


def _spin(angle: float) -> Floats:
    """Turn about the line of sight by an angle in radians: (3, 3)."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])
