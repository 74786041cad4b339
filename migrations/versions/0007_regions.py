"""Boxes and polygons on the sky, and columns that users derive from others."""

from skylike.database.sql_files import run_migration_file

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    run_migration_file("0007_regions.up.sql")


def downgrade() -> None:
    run_migration_file("0007_regions.down.sql")
