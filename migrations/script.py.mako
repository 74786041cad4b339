"""${message}."""

from skylike.database.sql_files import run_migration_file

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    run_migration_file("${up_revision}_NAME.up.sql")


def downgrade() -> None:
    run_migration_file("${up_revision}_NAME.down.sql")
