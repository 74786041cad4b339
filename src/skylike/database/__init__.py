"""The database: connections, roles, migrations, tables, binary COPY."""
