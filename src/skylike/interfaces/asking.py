"""A query as Python asks it: named arguments of many types, to what a search takes."""

from collections.abc import Callable, Mapping
from typing import Any, Final, SupportsIndex, TypedDict

from skylike.interfaces import arguments, sky_arguments
from skylike.interfaces.arguments import Definitions, Files, Galaxies, Vectors
from skylike.interfaces.sky_arguments import Angle, Places, Region, Table
from skylike.search.query import Query


class Asked(TypedDict, total=False):
    """What a query may say; :meth:`skylike.interfaces.sky.Sky.similar` explains each."""

    galaxy: Galaxies | None
    position: "Places | None"
    positions: "Table | None"
    image: Files | None
    vector: Vectors | None
    reject: Galaxies | None
    where: str | None
    cone: "Region | None"
    k: SupportsIndex
    offset: SupportsIndex
    define: Definitions | None
    least_similar: bool
    fast: bool
    min_separation: "Angle"
    position_limit: "Angle"
    invert_pictures: bool


def _same(value: object) -> object:
    return value


_FIELDS: Final[Mapping[str, tuple[str, Callable[[Any], object]]]] = {
    "galaxy": ("galaxies", arguments.galaxy_ids_of),
    "position": ("positions", sky_arguments.positions_of),
    "positions": ("position_table", sky_arguments.position_table_of),
    "image": ("images", arguments.paths_of),
    "vector": ("vectors", arguments.vectors_of),
    "reject": ("rejects", arguments.galaxy_ids_of),
    "where": ("where", _same),
    "cone": ("cone", sky_arguments.cone_of),
    "k": ("k", lambda value: arguments.whole_number(value, name="k")),
    "offset": ("offset", lambda value: arguments.whole_number(value, name="offset")),
    "define": ("definitions", arguments.definitions_of),
    "least_similar": ("least_similar", bool),
    "fast": ("fast", bool),
    "min_separation": ("min_separation", sky_arguments.arcsec_of),
    "position_limit": ("position_limit", sky_arguments.arcsec_of),
    "invert_pictures": ("invert_pictures", bool),
}
"""Field of :class:`Query` that an argument becomes, and how."""


def query_of(asked: Asked) -> Query:
    """Make a query; what was not asked is as :class:`Query` has it.

    Raises
    ------
    TypeError
        There is no such argument.
    SkylikeError
        An argument is wrong; the message says which.
    """
    unknown = [name for name in asked if name not in _FIELDS]
    if unknown:
        raise TypeError(f"there is no argument {unknown[0]!r}; there are {', '.join(_FIELDS)}")
    given: dict[str, Any] = {}
    for name, value in asked.items():
        field, convert = _FIELDS[name]
        given[field] = convert(value)
    return Query(**given)
