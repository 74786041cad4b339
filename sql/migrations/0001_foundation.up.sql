-- The schema, who may use it, and the cone on the sky.
-- Needs: the roles skylike_reader and skylike_service and the extension vector, which
-- `skylike db upgrade` ensures before the first migration (roles belong to the whole cluster).

CREATE SCHEMA IF NOT EXISTS skylike;
COMMENT ON SCHEMA skylike IS 'Galaxies that look alike: catalog, cutouts, embeddings, neighbors';

GRANT USAGE ON SCHEMA skylike TO skylike_reader, skylike_service;
ALTER DEFAULT PRIVILEGES IN SCHEMA skylike GRANT SELECT ON TABLES TO skylike_reader, skylike_service;
ALTER DEFAULT PRIVILEGES IN SCHEMA skylike GRANT EXECUTE ON FUNCTIONS TO skylike_reader, skylike_service;

-- Made by Alembic just before this file.
GRANT SELECT ON skylike.alembic_version TO skylike_reader, skylike_service;
COMMENT ON TABLE skylike.alembic_version IS 'Revision of these tables; `skylike db upgrade` moves it';
COMMENT ON COLUMN skylike.alembic_version.version_num IS 'Number of the last migration [unit=none; ucd=meta.version]';

-- One expression without subqueries or SET, so that PostgreSQL inlines it and an index on (dec, ra)
-- serves its first two conditions. The box is wider than the cone by 1e-9 deg (4 microarcsec):
-- rounding must never lose a galaxy that the haversine would keep.
CREATE FUNCTION skylike.in_cone(
    ra double precision,
    "dec" double precision,
    center_ra double precision,
    center_dec double precision,
    radius double precision
) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN
    "dec" BETWEEN center_dec - radius - 1e-9 AND center_dec + radius + 1e-9
    AND (
        -- A cone over a pole holds every right ascension.
        abs(center_dec) + radius >= 89.9999
        OR ra BETWEEN
            center_ra - degrees(asin(least(1, sind(radius) / greatest(cosd(center_dec), 1e-9)))) - 1e-9
            AND center_ra + degrees(asin(least(1, sind(radius) / greatest(cosd(center_dec), 1e-9)))) + 1e-9
        OR ra BETWEEN
            center_ra + 360 - degrees(asin(least(1, sind(radius) / greatest(cosd(center_dec), 1e-9)))) - 1e-9
            AND center_ra + 360 + degrees(asin(least(1, sind(radius) / greatest(cosd(center_dec), 1e-9)))) + 1e-9
        OR ra BETWEEN
            center_ra - 360 - degrees(asin(least(1, sind(radius) / greatest(cosd(center_dec), 1e-9)))) - 1e-9
            AND center_ra - 360 + degrees(asin(least(1, sind(radius) / greatest(cosd(center_dec), 1e-9)))) + 1e-9
    )
    AND power(sin(radians("dec" - center_dec) / 2), 2)
        + cos(radians("dec")) * cos(radians(center_dec)) * power(sin(radians(ra - center_ra) / 2), 2)
        <= power(sin(radians(least(radius, 180)) / 2), 2);

COMMENT ON FUNCTION skylike.in_cone(double precision, double precision, double precision, double precision, double precision) IS
'Is (ra, dec) within radius of (center_ra, center_dec)? ICRS degrees; haversine, edge included; right at the poles and across RA 0.';

CREATE FUNCTION skylike.separation(
    ra1 double precision,
    dec1 double precision,
    ra2 double precision,
    dec2 double precision
) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN degrees(2 * asin(least(1, sqrt(
    power(sin(radians(dec1 - dec2) / 2), 2)
    + cos(radians(dec1)) * cos(radians(dec2)) * power(sin(radians(ra1 - ra2) / 2), 2)
))));

COMMENT ON FUNCTION skylike.separation(double precision, double precision, double precision, double precision) IS
'Great-circle separation of two ICRS positions, degrees (haversine).';
