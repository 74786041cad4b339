"""A database URL as the programs of analysts want it written."""

from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

if TYPE_CHECKING:
    from sqlalchemy.engine import URL


class UrlFormat(StrEnum):
    """Who is to read the URL."""

    PSQL = "psql"
    """psql and everything on libpq: DuckDB, QGIS, ADBC."""

    JDBC = "jdbc"
    """TOPCAT, STILTS, DBeaver."""

    SQLALCHEMY = "sqlalchemy"
    """pandas and other Python on SQLAlchemy with psycopg 3."""


def write_url(url: "URL", *, format: UrlFormat) -> str:  # noqa: A002 - the option's name
    """Write a URL with its password, every part escaped as the reader expects.

    Parameters
    ----------
    url
        Of a server that is reached by TCP.
    """
    if format is UrlFormat.SQLALCHEMY:
        return url.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    query = {name: value for name, value in url.query.items() if isinstance(value, str)}
    host = url.host or "localhost"
    address = f"[{host}]" if ":" in host else host
    place = f"{address}:{url.port or 5432}/{quote(url.database or '', safe='')}"
    if format is UrlFormat.JDBC:
        # The JDBC driver takes the user from the query, never from before the host.
        login = {"user": url.username, "password": url.password}
        query = {name: value for name, value in login.items() if value} | query
        user = ""
    else:
        parts = [quote(part, safe="") for part in (url.username, url.password) if part]
        user = f"{':'.join(parts)}@" if parts else ""
    prefix = "jdbc:postgresql" if format is UrlFormat.JDBC else "postgresql"
    # A space as %20: not every reader takes a plus sign for it.
    tail = f"?{urlencode(query, quote_via=quote)}" if query else ""
    return f"{prefix}://{user}{place}{tail}"
