"""Look up the galaxies at the positions of a table, all at once, and tell which rows have none."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection

from skylike.embeddings.store import EncoderRecord
from skylike.embeddings.store_vectors import iter_vectors_of
from skylike.errors import GalaxyNotFoundError
from skylike.search.examples import Example, normalize
from skylike.search.position_table import PositionTable
from skylike.search.store_positions import fetch_nearest_of_many

NAMED_ROWS: Final = 20
"""Rows that a note names one by one."""

ARCSEC_PER_DEG: Final = 3600


def table_examples(
    connection: Connection, table: PositionTable, encoder: EncoderRecord, *, limit: float
) -> tuple[list[Example], str | None]:
    """Look up the nearest embedded galaxy of each row of a table, at most ``limit`` degrees away.

    Returns
    -------
    tuple
        One example for each row that has a galaxy, in the order of the rows, and a note that counts
        and names the others, None where there are none.

    Raises
    ------
    GalaxyNotFoundError
        No row has one.
    """
    nearest = fetch_nearest_of_many(
        connection, encoder_id=encoder.encoder_id, ra=table.ra, dec=table.dec, radius=limit
    )
    stored = _fetch_stored(connection, nearest.galaxy_ids[nearest.is_embedded], encoder)
    bare, undefined = [], []
    examples = []
    for n, place in enumerate(nearest.places):
        galaxy_id, row = int(nearest.galaxy_ids[n]), int(table.rows[place])
        if not nearest.is_embedded[n]:
            bare.append(row)
            continue
        vector = stored[galaxy_id]
        if not vector.any():
            undefined.append(row)
            continue
        away = nearest.separations[n] * ARCSEC_PER_DEG
        called = f", {table.names[place]}" if table.names and table.names[place] else ""
        label = f"row {row} of {table.name}{called} (galaxy {galaxy_id}, {away:.2f} arcsec away)"
        examples.append(
            Example(
                label,
                normalize(vector, label=label, dimension=encoder.dimension),
                float(nearest.ra[n]),
                float(nearest.dec[n]),
                galaxy_id,
                stored=vector,
                caption=f"row {row} galaxy {galaxy_id}",
            )
        )
    lonely = np.delete(table.rows, nearest.places).tolist()
    reasons = {
        f"no galaxy within {limit * ARCSEC_PER_DEG:g} arcsec": lonely,
        f"a galaxy that {encoder.name} has not embedded": bare,
        "a galaxy with a zero embedding, which is like nothing": undefined,
        "no position that can be read": table.unusable_rows,
    }
    note = unmatched(table, reasons, n_matched=len(examples))
    if not examples:
        raise GalaxyNotFoundError(
            f"{note}; see that these are ICRS positions of this catalog, or allow a larger "
            "position limit"
        )
    return examples, note


def _fetch_stored(
    connection: Connection, galaxy_ids: npt.NDArray[np.int32], encoder: EncoderRecord
) -> dict[int, npt.NDArray[np.float16]]:
    """Fetch the stored vectors (d,) of galaxies, by identifier."""
    batches = iter_vectors_of(
        connection,
        np.unique(galaxy_ids),
        encoder_id=encoder.encoder_id,
        dimension=encoder.dimension,
    )
    return {
        galaxy_id: vector
        for ids, vectors in batches
        for galaxy_id, vector in zip(ids.tolist(), vectors, strict=True)
    }


def unmatched(
    table: PositionTable, reasons: dict[str, Sequence[int]], *, n_matched: int
) -> str | None:
    """Say how many rows of a table have a galaxy and, by reason, which rows have none."""
    said = []
    for reason, rows in reasons.items():
        if rows:
            named = ", ".join(map(str, rows[:NAMED_ROWS]))
            more = f" and {len(rows) - NAMED_ROWS} more" if len(rows) > NAMED_ROWS else ""
            said.append(f"{reason}: row{'s' if len(rows) > 1 else ''} {named}{more}")
    if table.n_malformed:
        said.append(
            f"{table.n_malformed} more with another number of fields than the header left out"
        )
    if not said:
        return None
    total = len(table) + len(table.unusable_rows)
    return f"{n_matched} of {total} rows of {table.name} have a galaxy ({'; '.join(said)})"
