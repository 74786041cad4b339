"""Cones as ranges of HEALPix indices: what an index on ``healpix29`` can look up."""

import math
from typing import Final

import numpy as np

from skylike.cuts.coordinates import Cone

_ORDER: Final = 29
_SIDE_DEG: Final = math.degrees(math.sqrt(math.pi / 3))
"""Side of a cell of order 0: the sphere is 12 of them."""

_CELLS_PER_RADIUS: Final = 4
"""Finer cells leave out more of what is beside the cone and make more ranges: 10 with four."""

LARGEST_DEG: Final = 20.0
"""Of wider cones the rows outnumber what an index saves."""

_WIDENING_DEG: Final = 1e-9
"""As in the SQL function in_cone: rounding must not lose a galaxy on the edge."""


def cone_ranges(cone: Cone) -> list[tuple[int, int]]:
    """Cover a cone with ranges of NESTED indices of order 29, ends included.

    They hold every position in the cone and some beside it. A cone wider than
    :data:`LARGEST_DEG` has none.
    """
    if cone.radius > LARGEST_DEG:
        return []
    # astropy takes half a second to import, which searches without a cone need not wait.
    from astropy import units as u  # noqa: PLC0415
    from astropy.coordinates import Latitude, Longitude  # noqa: PLC0415
    from cdshealpix.nested import cone_search  # noqa: PLC0415

    radius = cone.radius + _WIDENING_DEG
    depth = math.floor(math.log2(_CELLS_PER_RADIUS * _SIDE_DEG / radius))
    ipix, depths, _ = cone_search(
        Longitude(cone.ra, u.deg),
        Latitude(cone.dec, u.deg),
        radius * u.deg,
        depth=min(max(depth, 0), _ORDER - 2),
    )
    shift = 2 * (_ORDER - depths.astype(np.int64))
    first = ipix.astype(np.int64) << shift
    last = ((ipix.astype(np.int64) + 1) << shift) - 1
    order = np.argsort(first)
    ranges: list[tuple[int, int]] = []
    for low, high in zip(first[order].tolist(), last[order].tolist(), strict=True):
        if ranges and low == ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], high)
        else:
            ranges.append((low, high))
    return ranges
