"""Surveys, loads and galaxies."""

from skylike.database.sql_files import run_migration_file

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    run_migration_file("0002_catalog.up.sql")


def downgrade() -> None:
    run_migration_file("0002_catalog.down.sql")
