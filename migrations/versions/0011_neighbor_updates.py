"""Neighbor runs that are brought up to date without a rebuild, and what their samples found."""

from skylike.database.sql_files import run_migration_file

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    run_migration_file("0011_neighbor_updates.up.sql")


def downgrade() -> None:
    run_migration_file("0011_neighbor_updates.down.sql")
