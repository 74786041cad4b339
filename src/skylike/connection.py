"""Connect from Python: the settings that the commands read, then a :class:`Sky`."""

from pathlib import Path
from typing import Literal

from skylike.database.engine import connect as open_connection
from skylike.database.engine import make_engine
from skylike.database.migrate import check_schema
from skylike.database.roles import READER, SERVICE
from skylike.database.server import DATABASE, role_url
from skylike.errors import SettingsError
from skylike.interfaces.sky import Sky
from skylike.settings import load_settings

Role = Literal["reader", "service", "owner"]

_ROLES = {"reader": READER, "service": SERVICE, "owner": DATABASE}


def connect(
    url: str | None = None, home: str | Path | None = None, *, role: Role | None = None
) -> Sky:
    """Connect to a skylike database; nothing is started, and nothing but SELECT is done in it.

    Parameters
    ----------
    url
        ``postgresql://USER:PASSWORD@HOST:PORT/DATABASE``. None finds the database as the command
        line does: ``SKYLIKE_DATABASE_URL``, else the embedded server of ``SKYLIKE_HOME``, each
        also from ``skylike.toml``.
    home
        Data folder of an embedded server to use, whatever the settings say.
    role
        ``reader``, ``service`` or ``owner``. None is the reader on the embedded server, whose
        password is known, and elsewhere the user in the URL.

    Returns
    -------
    Sky
        Close it, or use it in a ``with`` block.

    Raises
    ------
    SettingsError
        A setting is wrong, the URL is not understood, or both ``url`` and ``home`` are given.
    DatabaseUnavailableError
        The embedded server does not run, or no server answers.
    SchemaOutOfDateError
        ``skylike db upgrade`` is needed.

    Examples
    --------
    >>> with skylike.connect() as sky:  # doctest: +SKIP
    ...     sky.similar(galaxy=42, where="mag_r < 18", k=100).to_pandas()
    """
    if url is not None and home is not None:
        raise SettingsError("give connect() a url or a home, not both: a home has its own server")
    if role is not None and role not in _ROLES:
        raise SettingsError(f"there is no role {role!r}; choose one of {', '.join(_ROLES)}")
    settings = load_settings()
    if url is None and home is None and settings.database_url is not None:
        url = settings.database_url.get_secret_value()
    folder = settings.home if home is None else Path(home).expanduser().absolute()
    name = _ROLES[role or ("reader" if url is None else "owner")]
    engine = make_engine(role_url(folder, name, given=url), application="skylike-python")
    sky = Sky(engine, device=settings.device)
    try:
        with open_connection(engine) as connection:
            check_schema(connection)
    except BaseException:
        sky.close()
        raise
    return sky
