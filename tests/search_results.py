"""Search results made by hand: NULLs of every type, identifiers beyond 2^53, odd texts."""

from datetime import UTC, datetime

import pyarrow as pa

from skylike.cuts.coordinates import Cone
from skylike.database.comments import ColumnMeaning
from skylike.search.result import Provenance, SearchResult

SQL = """-- Most like galaxy 7.
SELECT g.galaxy_id, 1 - (e.embedding <=> q.embedding) AS similarity
FROM skylike.embedding AS e JOIN skylike.galaxy AS g USING (galaxy_id)
WHERE g.mag_r < 18 AND g.type <> 'PSF' ORDER BY 2 DESC, 1 LIMIT 10"""

MEANINGS = {
    "rank": ColumnMeaning("Place in the answer", None, "meta.number"),
    "galaxy_id": ColumnMeaning("Identifier", None, "meta.id;meta.main"),
    "similarity": ColumnMeaning("Cosine", None, "stat.correlation"),
    "separation": ColumnMeaning("Separation from the query", "deg", "pos.angDistance"),
    "survey": ColumnMeaning("Survey", None, "meta.id;meta.dataset"),
    "object_id": ColumnMeaning("Identifier within the survey", None, "meta.id"),
    "ra": ColumnMeaning("Right ascension, ICRS", "deg", "pos.eq.ra;meta.main"),
    "dec": ColumnMeaning("Declination, ICRS", "deg", "pos.eq.dec;meta.main"),
    "flux_r": ColumnMeaning("Flux in r", "nmgy", "phot.flux;em.opt.R"),
    "mag_r": ColumnMeaning("Magnitude in r <AB>", "mag", "phot.mag;em.opt.R"),
    "maskbits": ColumnMeaning("Bit mask", None, "meta.code.qual"),
    "type": ColumnMeaning("Profile", None, "src.morph.type"),
}


def provenance(**changes: object) -> Provenance:
    values = {
        "query": "galaxy 7",
        "encoder": "demo",
        "run_id": None,
        "route": "filter",
        "exact": True,
        "matched": 1234,
        "k": 10,
        "cut": "mag_r < 18 AND type <> 'PSF'",
        "cone": Cone(150.0, 2.2, 10.0),
        "min_separation_arcsec": 25.152,
        "note": "3 of 10 found",
        "stale": None,
        "sql": SQL,
        "version": "0.1.0",
        "time": datetime(2026, 11, 23, 12, 0, tzinfo=UTC),
    }
    return Provenance(**{**values, **changes})  # type: ignore[arg-type]


def search_result(*, rows: int = 3, **changes: object) -> SearchResult:
    """Return a result of at most 3 rows, the third with NULL wherever there may be one."""
    table = pa.table(
        {
            "rank": pa.array([1, 2, 3], pa.int32()),
            "galaxy_id": pa.array([42, 43, 44], pa.int32()),
            "similarity": pa.array([0.98765, 0.9, -0.25], pa.float64()),
            "separation": pa.array([0.5, 0.25, None], pa.float64()),
            "survey": pa.array(["ls #10, <b>", 'a "quoted" \u00e9', "ls"], pa.string()),
            "object_id": pa.array([2**53 + 1, 9222213454291370001, 5], pa.int64()),
            "ra": pa.array([150.1, 0.0, 359.9999999], pa.float64()),
            "dec": pa.array([2.2, -0.5, 90.0], pa.float64()),
            "flux_r": pa.array([1.5, 2.5, None], pa.float32()),
            "mag_r": pa.array([18.1, 17.25, None], pa.float32()),
            "maskbits": pa.array([0, 4096, None], pa.int32()),
            "type": pa.array(["SER", "[DEV]", None], pa.string()),
        }
    )
    return SearchResult(table.slice(0, rows), MEANINGS, provenance(**changes))
