"""Neighbor runs and lists, and the view that readers join."""

from skylike.database.sql_files import run_migration_file

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    run_migration_file("0005_neighbors.up.sql")


def downgrade() -> None:
    run_migration_file("0005_neighbors.down.sql")
