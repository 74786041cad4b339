"""The Virtual Observatory: TAP with ADQL, cone search, VOTables."""
