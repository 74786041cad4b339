DROP FUNCTION skylike.separation(double precision, double precision, double precision, double precision);
DROP FUNCTION skylike.in_cone(double precision, double precision, double precision, double precision, double precision);
ALTER DEFAULT PRIVILEGES IN SCHEMA skylike REVOKE EXECUTE ON FUNCTIONS FROM skylike_reader, skylike_service;
ALTER DEFAULT PRIVILEGES IN SCHEMA skylike REVOKE SELECT ON TABLES FROM skylike_reader, skylike_service;
REVOKE SELECT ON skylike.alembic_version FROM skylike_reader, skylike_service;
REVOKE USAGE ON SCHEMA skylike FROM skylike_reader, skylike_service;
-- The schema itself stays: it holds Alembic's version table, which outlives every migration.
