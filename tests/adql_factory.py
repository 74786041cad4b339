"""Tables for queries in ADQL, and an engine that may only read."""

import psycopg
from sqlalchemy import Engine, event
from sqlalchemy.engine import URL

from skylike.database.engine import make_engine
from skylike.interfaces.vo.adql import AdqlColumn, AdqlSchema, AdqlTable, UploadedTable
from skylike.interfaces.vo.adql.schema import (
    DOUBLE,
    FLOAT,
    INT,
    LONG,
    TEXT,
    TIMESTAMP,
    Datatype,
)

_GALAXY = {
    "galaxy_id": INT,
    "object_id": LONG,
    "ra": DOUBLE,
    "dec": DOUBLE,
    "healpix29": LONG,
    "mag_g": FLOAT,
    "mag_r": FLOAT,
    "z_spec": FLOAT,
    "maskbits": INT,
    "type": TEXT,
    "updated_at": TIMESTAMP,
}
_UNITS = {"ra": "deg", "dec": "deg", "mag_g": "mag", "mag_r": "mag"}
_UCDS = {"mag_r": "phot.mag;em.opt.R"}

SCHEMA = AdqlSchema(
    (
        AdqlTable(
            "skylike",
            "galaxy",
            ("skylike", "galaxy"),
            tuple(
                AdqlColumn(
                    name,
                    datatype,
                    _UNITS.get(name),
                    _UCDS.get(name, ""),
                    f"The {name}",
                    is_indexed=name in {"ra", "dec", "healpix29"},
                )
                for name, datatype in _GALAXY.items()
            ),
        ),
        AdqlTable(
            "skylike",
            "embedding",
            ("skylike", "embedding"),
            (AdqlColumn("galaxy_id", INT), AdqlColumn("embedding", Datatype("float", "24"))),
            encoder_id=3,
        ),
        AdqlTable(
            "TAP_SCHEMA",
            "columns",
            ("tap_schema", "columns"),
            (AdqlColumn("column_name", TEXT), AdqlColumn("size", INT)),
        ),
    )
)
"""As of a database, as far as translation must know."""

UPLOADS = {
    "mine": UploadedTable(
        ("skylike", "upload_1"),
        (
            AdqlColumn("id", INT, sql_name="number"),
            AdqlColumn("ra", DOUBLE),
            AdqlColumn("DE", DOUBLE, sql_name="de"),
        ),
    )
}
"""``TAP_UPLOAD.mine``."""


def reader_engine(url: URL) -> Engine:
    """Make an engine whose sessions are those of the role that may only read."""
    engine = make_engine(url)

    def become_reader(connection: psycopg.Connection, _record: object) -> None:
        connection.execute("SET SESSION AUTHORIZATION skylike_reader")
        connection.commit()

    event.listen(engine, "connect", become_reader)
    return engine
