"""Disks with a pattern: spirals with arms and knots, rings with a nucleus."""

from collections.abc import Callable

import galsim
import numpy as np
import numpy.typing as npt

from skylike.simulation.scene import Light, Points, Scene, Target
from skylike.simulation.smooth import bulge

_Map = npt.NDArray[np.float32]
_Array = npt.NDArray[np.floating]

KNOT_LIGHT = 0.12
"""Share of the young light in knots of star formation."""


def spiral(target: Target, rng: np.random.Generator) -> Scene:
    """Draw a spiral: red bulge, old disk with faint arms and dust, bright blue arms with knots.

    Arms are logarithmic spirals r = exp(angle * tan(pitch)) with a pitch of 10 to 28 degrees
    (Kennicutt 1981, AJ 86, 1847); two arms are the rule. A third of all have a bar.
    """
    arms = int(rng.choice([2, 2, 2, 3, 4]))
    wind = 1 / np.tan(np.radians(rng.uniform(10, 28) if arms == 2 else rng.uniform(16, 32)))
    # A float64 scalar would make the float32 maps float64.
    wind = float(wind) * (1 if rng.random() < 0.5 else -1)
    phase = rng.uniform(0, 2 * np.pi)
    wobble, wobble_phase = rng.uniform(0.1, 0.35), rng.uniform(0, 2 * np.pi)
    sharpness = rng.uniform(2.0, 4.0)
    lopsided, lopsided_phase = rng.uniform(0, 0.35), rng.uniform(0, 2 * np.pi)
    scale = target.radius / 1.5  # the arms carry more light outside than a bare disk of this scale
    inner = 0.8 * scale

    def crest(radius: _Array) -> _Array:
        log_radius = np.log(np.maximum(radius, 0.05 * scale) / scale)
        wave = wobble * np.sin(2.3 * log_radius + wobble_phase)
        return np.asarray(wind * log_radius + phase + wave)

    def disk(x: _Map, y: _Map, *, power: float, contrast: float, dust: float) -> _Map:
        u, v = target.to_disk(x, y)
        radius, angle = np.hypot(u, v), np.arctan2(v, u)
        turn = arms * (angle - crest(radius))
        arm = np.exp(np.float32(power) * (np.cos(turn) - 1))
        # Dust lies on the inner edge of an arm.
        lane = np.exp(np.float32(6.0) * (np.cos(turn + np.float32(0.9 * np.sign(wind))) - 1))
        grown = 1 / (1 + (inner / np.maximum(radius, np.float32(1e-3))) ** 4)
        pattern = (1 - contrast) + contrast * grown * arm * (
            1 + np.float32(lopsided) * np.cos(angle - np.float32(lopsided_phase))
        )
        fade = np.exp(-radius / np.float32(scale) - (radius / np.float32(4.2 * scale)) ** 4)
        return np.asarray(fade * pattern * (1 - dust * grown * lane), dtype=np.float32)

    bulge_share = rng.uniform(0.15, 0.5)
    barred = rng.random() < 0.35
    bar_share = 0.25 if barred else 0.0
    core = bulge(target, radius=0.28 * scale, roundness=0.5)
    old_disk = target.old * (1 - bulge_share - bar_share * (1 - bulge_share))
    lights = [
        Light(core, bulge_share * target.old),
        Light(lambda x, y: disk(x, y, power=1.2, contrast=0.45, dust=0.25), old_disk),
        Light(
            lambda x, y: disk(x, y, power=sharpness, contrast=0.94, dust=0.35),
            (1 - KNOT_LIGHT) * target.young,
        ),
    ]
    if barred:
        profile = _bar(target, angle=float(crest(np.array(0.9 * inner))), length=0.8 * inner)
        lights.append(Light(profile, bar_share * (1 - bulge_share) * target.old))
    knots = _arm_knots(target, rng, crest=crest, arms=arms, scale=scale)
    return Scene(tuple(lights), extent=5 * target.radius, points=(knots,))


def _bar(target: Target, *, angle: float, length: float) -> galsim.GSObject:
    """Return a flat-topped ellipse in the plane of the disk, as the inclination shows it."""
    straight = galsim.Sersic(0.5, half_light_radius=length).transform(1, 0, 0, 0.3)
    return target.flatten(straight.rotate(angle * galsim.radians))


def _arm_knots(
    target: Target,
    rng: np.random.Generator,
    *,
    crest: Callable[[_Array], _Array],
    arms: int,
    scale: float,
) -> Points:
    n = int(rng.integers(15, 50))
    radius = scale * np.clip(rng.gamma(4.0, 0.5, size=n), 0.8, 4.0)
    arm = 2 * np.pi / arms * rng.integers(arms, size=n)
    angle = crest(radius) + arm + rng.normal(0, 0.12, size=n)
    x, y = target.to_sky(radius * np.cos(angle), radius * np.sin(angle))
    weight = rng.lognormal(0, 0.8, size=n) * np.exp(-radius / (2 * scale))
    return Points(x, y, weight, KNOT_LIGHT * target.young)


def ring(target: Target, rng: np.random.Generator) -> Scene:
    """Draw a ring galaxy: a red nucleus, a faint disk, a bright blue ring stronger on one side."""
    ring_radius = target.radius * rng.uniform(1.25, 1.55)
    width = ring_radius * rng.uniform(0.10, 0.20)
    center_u, center_v = rng.normal(0, 0.06 * ring_radius, size=2)
    modes = [(m, rng.uniform(0, 0.5 / m), rng.uniform(0, 2 * np.pi)) for m in (1, 2, 3)]

    def along(angle: _Array) -> _Array:
        waves = sum(size * np.cos(m * angle - phase) for m, size, phase in modes)
        return np.asarray(np.maximum(1 + waves, 0.1))

    def annulus(x: _Map, y: _Map) -> _Map:
        u, v = target.to_disk(x, y)
        u, v = u - np.float32(center_u), v - np.float32(center_v)
        radius = np.hypot(u, v)
        profile = np.exp(-0.5 * ((radius - np.float32(ring_radius)) / np.float32(width)) ** 2)
        return np.asarray(profile * along(np.arctan2(v, u)), dtype=np.float32)

    n = int(rng.integers(8, 24))
    angle = rng.uniform(0, 2 * np.pi, size=n)
    distance = ring_radius + rng.normal(0, 0.6 * width, size=n)
    x, y = target.to_sky(center_u + distance * np.cos(angle), center_v + distance * np.sin(angle))
    weight = rng.lognormal(0, 0.7, size=n) * along(angle)
    nucleus_share = rng.uniform(0.5, 0.7)
    disk = target.flatten(galsim.Exponential(half_light_radius=0.9 * ring_radius))
    lights = (
        Light(bulge(target, radius=0.2 * ring_radius, roundness=0.6), nucleus_share * target.old),
        Light(disk, (1 - nucleus_share) * 0.7 * target.old),
        Light(annulus, (1 - KNOT_LIGHT) * target.young + (1 - nucleus_share) * 0.3 * target.old),
    )
    knots = Points(x, y, weight, KNOT_LIGHT * target.young)
    return Scene(lights, extent=2.2 * ring_radius + 1.5 * target.radius, points=(knots,))
