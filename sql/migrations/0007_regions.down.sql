-- Takes back 0007_regions.up.sql.
DROP TABLE skylike.derived_column;
DROP FUNCTION skylike.in_polygon(double precision, double precision, double precision[]);
DROP FUNCTION skylike.in_polygon_plane(double precision, double precision, double precision[]);
DROP FUNCTION skylike.polygon_outline(double precision[]);
DROP FUNCTION skylike.polygon_plane(double precision[]);
DROP FUNCTION skylike.polygon_crosses_itself(double precision[], double precision[]);
DROP FUNCTION skylike.polygon_bounds(double precision[], double precision);
DROP FUNCTION skylike.polygon_middle(double precision[]);
DROP FUNCTION skylike.polygon_vertices(double precision[]);
DROP FUNCTION skylike.in_box(double precision, double precision, double precision, double precision, double precision, double precision);
CREATE OR REPLACE FUNCTION skylike.in_cone(
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
