-- Boxes and polygons on the sky, and columns that users derive from others.

-- As before, but no position and no radius makes it fail: the square of a very small double is an
-- error in PostgreSQL, not zero. Differences below 1e-100 deg are taken for 1e-100 deg.
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
    AND power(sind(greatest(abs("dec" - center_dec), 1e-100) / 2), 2)
        + cosd("dec") * cosd(center_dec) * power(sind(greatest(abs(ra - center_ra), 1e-100) / 2), 2)
        <= power(sind(greatest(least(radius, 180), 1e-99) / 2), 2);

CREATE FUNCTION skylike.in_box(
    ra double precision,
    "dec" double precision,
    ra_min double precision,
    ra_max double precision,
    dec_min double precision,
    dec_max double precision
) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN
    "dec" BETWEEN dec_min AND dec_max
    -- With constants only one branch is left when the planner looks for an index.
    AND CASE
        WHEN ra_min <= ra_max AND ra_max < 360 THEN ra BETWEEN ra_min AND ra_max
        WHEN ra_min <= ra_max THEN ra BETWEEN ra_min AND ra_max OR ra <= ra_max - 360
        ELSE ra >= ra_min OR ra <= ra_max
    END;
COMMENT ON FUNCTION skylike.in_box(double precision, double precision, double precision, double precision, double precision, double precision) IS
'Is ra within ra_min to ra_max and dec within dec_min to dec_max? ICRS degrees, edges included; ra_min > ra_max crosses RA 0.';

-- A polygon is seen from the center of the sphere on the plane that touches it in the middle of the
-- polygon (gnomonic projection): great circles become straight lines, so that PostgreSQL's own
-- polygon @> point answers. Its tolerance is 1e-6 units of length; ours is 1e-7 rad. Everything that
-- depends on the polygon alone is computed once, while a statement with constants is planned.
-- Adding 1 and taking it away makes very small numbers zero: their products would be errors.
CREATE FUNCTION skylike.polygon_vertices(vertices double precision[])
RETURNS TABLE (i integer, ra double precision, "dec" double precision, x double precision, y double precision, z double precision)
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$
    SELECT
        k,
        vertices[2 * k - 1],
        vertices[2 * k],
        cosd(vertices[2 * k]) * cosd(vertices[2 * k - 1]) + 1 - 1,
        cosd(vertices[2 * k]) * (sind(vertices[2 * k - 1]) + 1 - 1) + 1 - 1,
        sind(vertices[2 * k]) + 1 - 1
    FROM generate_series(1, array_length(vertices, 1) / 2) AS k
$$;
COMMENT ON FUNCTION skylike.polygon_vertices(double precision[]) IS
'The vertices of in_polygon in order, with their unit vectors.';

CREATE FUNCTION skylike.polygon_middle(vertices double precision[]) RETURNS double precision[]
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
    middle record;
    worst record;
    size double precision;
BEGIN
    SELECT sum(x) AS x, sum(y) AS y, sum(z) AS z INTO middle FROM skylike.polygon_vertices(vertices);
    -- A perceptron: from the sum of all vertices, always towards the one farthest off. Most polygons
    -- need no step, those that reach 88 deg from their middle a few hundred.
    FOR step IN 1..20000 LOOP
        size := greatest(sqrt(middle.x * middle.x + middle.y * middle.y + middle.z * middle.z), 1e-9);
        SELECT v.x, v.y, v.z, (middle.x * v.x + middle.y * v.y + middle.z * v.z) / size AS cosine INTO worst
        FROM skylike.polygon_vertices(vertices) AS v ORDER BY cosine LIMIT 1;
        IF worst.cosine > 0.01 THEN
            RETURN ARRAY[middle.x / size + 1 - 1, middle.y / size + 1 - 1, middle.z / size + 1 - 1];
        END IF;
        SELECT middle.x + worst.x AS x, middle.y + worst.y AS y, middle.z + worst.z AS z INTO middle;
    END LOOP;
    RAISE EXCEPTION 'the polygon does not fit into half of the sky; divide it'
        USING ERRCODE = 'invalid_parameter_value';
END
$$;
COMMENT ON FUNCTION skylike.polygon_middle(double precision[]) IS
'A direction (unit vector) with all vertices of a polygon in its half of the sky.';

CREATE FUNCTION skylike.polygon_bounds(vertices double precision[], middle_z double precision) RETURNS double precision[]
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$
    WITH edge AS (
        SELECT
            a.i,
            a."dec",
            a.z + b.z AS side,
            b.ra - a.ra - 360 * round((b.ra - a.ra) / 360) AS turn,
            -- Of its great circle: how near it comes to a pole, and whether that is between the ends.
            sqrt((a.y * b.z - a.z * b.y) ^ 2 + (a.z * b.x - a.x * b.z) ^ 2) AS slope,
            a.x * b.y - a.y * b.x AS rise,
            ((a.y * b.z - a.z * b.y) * a.y - (a.z * b.x - a.x * b.z) * a.x)
                * ((a.y * b.z - a.z * b.y) * b.y - (a.z * b.x - a.x * b.z) * b.x) <= 0 AS has_top
        FROM skylike.polygon_vertices(vertices) AS a
        JOIN skylike.polygon_vertices(vertices) AS b ON b.i = a.i % (array_length(vertices, 1) / 2) + 1
    ),
    turned AS (
        SELECT *, sum(turn) OVER (ORDER BY i) AS so_far, CASE WHEN has_top THEN atan2d(slope, abs(rise)) ELSE 0 END AS top
        FROM edge
    ),
    bounds AS (
        SELECT
            min(least("dec", CASE WHEN side < 0 AND has_top THEN -top END)) AS dec_min,
            max(greatest("dec", CASE WHEN side > 0 AND has_top THEN top END)) AS dec_max,
            vertices[1] + least(min(so_far), 0) AS ra_min,
            vertices[1] + greatest(max(so_far), 0) AS ra_max,
            -- Once around the sky, or over a pole: then the pole of its half of the sky is in it.
            abs(sum(turn)) > 1 OR max(abs(turn)) > 179.999999 AS has_pole
        FROM turned
    )
    SELECT
        ARRAY[
            CASE WHEN has_pole AND middle_z < 0 THEN -90 ELSE dec_min END - 1e-9,
            CASE WHEN has_pole AND middle_z > 0 THEN 90 ELSE dec_max END + 1e-9
        ]
        || CASE
            WHEN has_pole OR ra_max - ra_min > 359.999999 THEN ARRAY[0, 360, 0, 360]
            WHEN ra_min < 0 THEN ARRAY[ra_min - 1e-9, ra_max + 1e-9, ra_min + 360 - 1e-9, ra_max + 360 + 1e-9]
            ELSE ARRAY[ra_min - 1e-9, ra_max + 1e-9, ra_min - 360 - 1e-9, ra_max - 360 + 1e-9]
        END
    FROM bounds
$$;
COMMENT ON FUNCTION skylike.polygon_bounds(double precision[], double precision) IS
'Range of declination and two ranges of right ascension, together around a polygon: dec_min, dec_max, ra_min, ra_max, ra_min, ra_max.';

CREATE FUNCTION skylike.polygon_crosses_itself(u double precision[], v double precision[]) RETURNS boolean
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$
    WITH edge AS (
        SELECT
            i, u[i] AS u1, v[i] AS v1, u[i % cardinality(u) + 1] AS u2, v[i % cardinality(u) + 1] AS v2
        FROM generate_series(1, cardinality(u)) AS i
    ),
    pair AS (
        SELECT
            b.i - a.i IN (1, cardinality(u) - 1) AS are_neighbors,
            a.u1 = b.u1 AND a.v1 = b.v1 OR a.u1 = a.u2 AND a.v1 = a.v2 OR b.u1 = b.u2 AND b.v1 = b.v2 AS is_empty,
            -- On which side of one edge the ends of the other lie.
            sign((a.u2 - a.u1) * (b.v1 - a.v1) - (a.v2 - a.v1) * (b.u1 - a.u1)) AS b1,
            sign((a.u2 - a.u1) * (b.v2 - a.v1) - (a.v2 - a.v1) * (b.u2 - a.u1)) AS b2,
            sign((b.u2 - b.u1) * (a.v1 - b.v1) - (b.v2 - b.v1) * (a.u1 - b.u1)) AS a1,
            sign((b.u2 - b.u1) * (a.v2 - b.v1) - (b.v2 - b.v1) * (a.u2 - b.u1)) AS a2,
            (a.u2 - a.u1) * (b.u2 - b.u1) + (a.v2 - a.v1) * (b.v2 - b.v1) < 0 AS turns_back
        FROM edge AS a
        JOIN edge AS b ON a.i < b.i
            AND least(a.u1, a.u2) <= greatest(b.u1, b.u2) AND least(b.u1, b.u2) <= greatest(a.u1, a.u2)
            AND least(a.v1, a.v2) <= greatest(b.v1, b.v2) AND least(b.v1, b.v2) <= greatest(a.v1, a.v2)
    )
    SELECT coalesce(
        bool_or(
            is_empty
            OR CASE WHEN are_neighbors THEN b1 = 0 AND b2 = 0 AND turns_back ELSE b1 * b2 <= 0 AND a1 * a2 <= 0 END
        ),
        false
    )
    FROM pair
$$;
COMMENT ON FUNCTION skylike.polygon_crosses_itself(double precision[], double precision[]) IS
'Does a closed line through points of a plane touch or cross itself?';

CREATE FUNCTION skylike.polygon_plane(vertices double precision[]) RETURNS double precision[]
-- The cost keeps the planner from plans that would compute it again for each row.
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE COST 100000
AS $$
DECLARE
    unit CONSTANT double precision := 1e7;
    n integer := cardinality(vertices);
    middle double precision[];
    center_ra double precision;
    center_sin double precision;
    center_cos double precision;
    seen record;
BEGIN
    IF array_ndims(vertices) IS DISTINCT FROM 1 OR n % 2 <> 0 OR array_position(vertices, NULL) IS NOT NULL THEN
        RAISE EXCEPTION 'a polygon is an array of right ascension and declination of each vertex in turn, degrees'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF vertices[1:2] = vertices[n - 1:n] THEN
        n := n - 2;  -- closed by its first vertex
    END IF;
    vertices := vertices[1:n];
    IF n < 6 OR EXISTS (
        SELECT FROM generate_series(1, n) AS k
        WHERE CASE WHEN k % 2 = 1 THEN vertices[k] NOT BETWEEN 0 AND 360 ELSE vertices[k] NOT BETWEEN -90 AND 90 END
    ) THEN
        RAISE EXCEPTION 'a polygon has 3 vertices or more, right ascensions within 0 to 360 and declinations within -90 to 90'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    middle := skylike.polygon_middle(vertices);
    center_ra := atan2d(middle[2], middle[1]);
    center_sin := middle[3];
    center_cos := sqrt(middle[1] ^ 2 + middle[2] ^ 2);
    SELECT array_agg(unit * u / front + 1 - 1 ORDER BY i) AS u, array_agg(unit * v / front + 1 - 1 ORDER BY i) AS v INTO seen
    FROM skylike.polygon_vertices(vertices), LATERAL (
        SELECT
            cosd("dec") * (sind(ra - center_ra) + 1 - 1) AS u,
            center_cos * (sind("dec") + 1 - 1) - center_sin * cosd("dec") * cosd(ra - center_ra) AS v,
            center_sin * (sind("dec") + 1 - 1) + center_cos * cosd("dec") * cosd(ra - center_ra) AS front
    ) AS projected;
    IF skylike.polygon_crosses_itself(seen.u, seen.v) THEN
        RAISE EXCEPTION 'the polygon touches or crosses itself; give the vertices in order along its edge'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN skylike.polygon_bounds(vertices, middle[3])
        || ARRAY[center_ra, center_sin, center_cos, unit * center_sin, unit * center_cos]
        || (SELECT array_agg(c ORDER BY i, k) FROM unnest(seen.u, seen.v) WITH ORDINALITY AS p (u, v, i),
            LATERAL (VALUES (1, u), (2, v)) AS one (k, c));
END
$$;
COMMENT ON FUNCTION skylike.polygon_plane(double precision[]) IS
'What in_polygon needs to know of a polygon: 6 bounds; the middle of its projection: ra, sine and cosine of dec, both times 1e7; its vertices there (1e-7 rad).';

CREATE FUNCTION skylike.polygon_outline(plane double precision[]) RETURNS polygon
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
BEGIN
    RETURN ('(' || array_to_string(plane[12:], ',') || ')')::polygon;
END
$$;
COMMENT ON FUNCTION skylike.polygon_outline(double precision[]) IS 'The projected polygon of polygon_plane.';

CREATE FUNCTION skylike.in_polygon_plane(
    ra double precision,
    "dec" double precision,
    plane double precision[]
) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN
    "dec" BETWEEN plane[1] AND plane[2]
    AND (ra BETWEEN plane[3] AND plane[4] OR ra BETWEEN plane[5] AND plane[6])
    -- In the half of the sky around its middle, where no quotient is too large.
    AND plane[8] * (sind("dec") + 1 - 1) + plane[9] * cosd("dec") * cosd(ra - plane[7]) > 0.001
    -- A point is a complex number to PostgreSQL: divided by a real one, both parts are.
    AND skylike.polygon_outline(plane) @> (
        point(
            1e7 * cosd("dec") * (sind(ra - plane[7]) + 1 - 1),
            plane[11] * (sind("dec") + 1 - 1) - plane[10] * cosd("dec") * cosd(ra - plane[7])
        )
        / point(
            greatest(plane[8] * (sind("dec") + 1 - 1) + plane[9] * cosd("dec") * cosd(ra - plane[7]), 0.001),
            0
        )
    );
COMMENT ON FUNCTION skylike.in_polygon_plane(double precision, double precision, double precision[]) IS
'in_polygon with what polygon_plane tells of the polygon.';

CREATE FUNCTION skylike.in_polygon(
    ra double precision,
    "dec" double precision,
    vertices double precision[]
) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN skylike.in_polygon_plane(ra, "dec", skylike.polygon_plane(vertices));
COMMENT ON FUNCTION skylike.in_polygon(double precision, double precision, double precision[]) IS
'Is (ra, dec) in the polygon with these vertices, ra and dec of each in turn? ICRS degrees; edges are great circles; it fits into half of the sky and may be concave.';

CREATE TABLE skylike.derived_column (
    name text NOT NULL,
    expression text NOT NULL,
    description text NOT NULL DEFAULT '',
    unit text,
    -- Later than every definition that it may use, in one transaction too.
    created_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT derived_column_pkey PRIMARY KEY (name)
);
COMMENT ON TABLE skylike.derived_column IS 'Columns that users have derived from others; cuts may name them';
COMMENT ON COLUMN skylike.derived_column.name IS 'Name in cuts [unit=none; ucd=meta.id;meta.main]';
COMMENT ON COLUMN skylike.derived_column.expression IS 'What it stands for, as it was typed [unit=none; ucd=meta.code]';
COMMENT ON COLUMN skylike.derived_column.description IS 'One phrase for people [unit=none; ucd=meta.note]';
COMMENT ON COLUMN skylike.derived_column.unit IS 'Unit as astropy reads it, or NULL [unit=none; ucd=meta.unit]';
COMMENT ON COLUMN skylike.derived_column.created_at IS 'When it was defined; it may use what was defined before [unit=none; ucd=time.creation]';
