"""An engine that is closed with the object that holds it."""

import weakref
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

from sqlalchemy import Connection, Engine
from typing_extensions import override

from skylike.errors import DatabaseUnavailableError
from skylike.search.store import reading


class Connected:
    """A pool of connections: closed by a ``with`` block, by :meth:`close`, or when forgotten."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._close = weakref.finalize(self, engine.dispose)

    @property
    def engine(self) -> Engine:
        """SQLAlchemy's engine on the database, for ``pandas.read_sql``.

        Raises
        ------
        DatabaseUnavailableError
            This was closed.
        """
        if not self._close.alive:
            raise DatabaseUnavailableError("this Sky is closed; make another by skylike.connect()")
        return self._engine

    def close(self) -> None:
        """Close all connections; nothing can be asked afterwards."""
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @override
    def __repr__(self) -> str:
        state = "" if self._close.alive else ", closed"
        place = self._engine.url.render_as_string(hide_password=True)
        return f"<{type(self).__name__}: {place}{state}>"

    def _reading(self, timeout_s: float | None = None) -> AbstractContextManager[Connection]:
        return reading(self.engine, timeout_s=timeout_s)
