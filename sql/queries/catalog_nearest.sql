-- The nearest galaxy within a radius of each of many positions.
--   :ra, :dec  double precision[], ICRS degrees, equally long
--   :radius    double precision, degrees
-- Needs the index galaxy_dec_ra_idx: one probe of a thin declination strip for each position.
SELECT
    wanted.place::integer AS place,
    nearest.galaxy_id,
    nearest.separation
FROM unnest(CAST(:ra AS double precision[]), CAST(:dec AS double precision[]))
    WITH ORDINALITY AS wanted (ra, "dec", place)
CROSS JOIN LATERAL (
    SELECT
        galaxy.galaxy_id,
        skylike.separation(galaxy.ra, galaxy."dec", wanted.ra, wanted."dec") AS separation
    FROM skylike.galaxy
    WHERE skylike.in_cone(galaxy.ra, galaxy."dec", wanted.ra, wanted."dec", CAST(:radius AS double precision))
    ORDER BY separation, galaxy.galaxy_id
    LIMIT 1
) AS nearest
