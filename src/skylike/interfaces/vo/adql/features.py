"""What of ADQL's optional parts is offered, as a service declares it (TAPRegExt 1.0, ADQL 2.1)."""

from collections.abc import Mapping
from typing import Final

_PREFIX: Final = "ivo://ivoa.net/std/TAPRegExt#features-"

FEATURES: Final[Mapping[str, tuple[str, ...]]] = {
    f"{_PREFIX}adqlgeo": (
        *("AREA", "BOX", "CENTROID", "CIRCLE", "CONTAINS", "COORD1", "COORD2", "COORDSYS"),
        *("DISTANCE", "INTERSECTS", "POINT", "POLYGON"),
    ),
    f"{_PREFIX}adql-string": ("LOWER", "UPPER", "ILIKE"),
    f"{_PREFIX}adql-sets": ("UNION", "EXCEPT", "INTERSECT"),
    f"{_PREFIX}adql-common-table": ("WITH",),
    f"{_PREFIX}adql-type": ("CAST",),
    f"{_PREFIX}adql-unit": ("IN_UNIT",),
    f"{_PREFIX}adql-conditional": ("COALESCE",),
    f"{_PREFIX}adql-offset": ("OFFSET",),
}
"""Type of a feature to its forms."""

USER_FUNCTIONS: Final[Mapping[str, str]] = {
    "skylike_similarity(galaxy_id INTEGER, galaxy_id INTEGER) -> DOUBLE": (
        "Cosine of the embeddings of two galaxies by the active encoder, NULL where one has none."
        " SELECT TOP k ... FROM skylike.galaxy WHERE ... ORDER BY skylike_similarity(galaxy_id, 42)"
        " DESC is answered by an exact similarity search; galaxy 42 itself is left out."
    ),
    "ivo_hasword(haystack VARCHAR, needle VARCHAR) -> INTEGER": (
        "1 where the words of needle are among those of haystack, whatever their case, else 0."
    ),
    "ivo_hashlist_has(hashlist VARCHAR, item VARCHAR) -> INTEGER": (
        "1 where a list joined by # has the item, whatever its case, else 0."
    ),
    "ivo_nocasematch(value VARCHAR, pattern VARCHAR) -> INTEGER": (
        "1 where value matches a pattern of LIKE, whatever its case, else 0."
    ),
    "ivo_string_agg(expression VARCHAR, delimiter VARCHAR) -> VARCHAR": (
        "All texts of a group, joined by the delimiter."
    ),
    "ivo_healpix_index(order INTEGER, ra DOUBLE, dec DOUBLE) -> BIGINT": (
        "HEALPix index (NESTED) of a galaxy's position, of the columns ra and dec."
    ),
}
"""Form of a user-defined function to what it gives."""
