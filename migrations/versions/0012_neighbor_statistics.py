"""What neighbor lists tell of a galaxy: rarity, mutual neighbors, hubness, duplicates."""

from skylike.database.sql_files import run_migration_file

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    run_migration_file("0012_neighbor_statistics.up.sql")


def downgrade() -> None:
    run_migration_file("0012_neighbor_statistics.down.sql")
