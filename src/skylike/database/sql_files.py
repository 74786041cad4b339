"""SQL lives in files: migrations are run word for word, queries are read by name."""

from functools import cache

import sqlalchemy as sa
from sqlalchemy import TextClause

from skylike.paths import schema_root


def run_migration_file(name: str) -> None:
    """Execute ``sql/migrations/<name>`` word for word inside the current Alembic migration.

    Colons are escaped so that SQLAlchemy takes none of them for a bind parameter.
    """
    from alembic import op  # noqa: PLC0415 - only inside a migration

    text = (schema_root() / "sql" / "migrations" / name).read_text(encoding="utf-8")
    op.execute(sa.text(text.replace(":", r"\:")))


@cache
def statement(name: str) -> TextClause:
    """Return the statement in ``sql/queries/<name>.sql``; its parameters are written ``:name``."""
    return sa.text((schema_root() / "sql" / "queries" / f"{name}.sql").read_text(encoding="utf-8"))
