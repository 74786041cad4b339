"""Compact vectors carry the columns that cuts use most; what searches cost on this server."""

from skylike.database.sql_files import run_migration_file

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    run_migration_file("0006_compact.up.sql")


def downgrade() -> None:
    run_migration_file("0006_compact.down.sql")
