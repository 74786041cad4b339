"""The columns of a batch of galaxies on its way into the database."""

from collections.abc import Collection, Mapping
from typing import Final

import pyarrow as pa

from skylike.bands import BANDS

KEY: Final = "object_id"
"""Natural key of a galaxy within its survey."""

POSITION: Final = ("ra", "dec", "healpix29")
"""What every galaxy has beside its key."""

_OF_BANDS: Final = ("flux", "mag", "mag_err", "psf_size")

GALAXY_TYPES: Final[Mapping[str, pa.DataType]] = {
    "object_id": pa.int64(),
    "ra": pa.float64(),
    "dec": pa.float64(),
    "healpix29": pa.int64(),
    **{f"{prefix}_{band}": pa.float32() for prefix in _OF_BANDS for band in BANDS},
    "ebv": pa.float32(),
    "z_phot": pa.float32(),
    "z_spec": pa.float32(),
    "maskbits": pa.int32(),
    "type": pa.string(),
    "photsys": pa.string(),
}
"""Columns that a batch of galaxies may have, with their Arrow types (COPY does not convert)."""

_BAND_OF: Final = {f"{prefix}_{band}": band for prefix in _OF_BANDS for band in BANDS}


def is_reported(name: str, bands: Collection[str]) -> bool:
    """Tell whether a column belongs to what people get of galaxies of surveys with these bands.

    All columns do but those of other bands: what people get depends on the surveys that are
    loaded, never on which galaxies were found.
    """
    return name not in _BAND_OF or _BAND_OF[name] in bands
