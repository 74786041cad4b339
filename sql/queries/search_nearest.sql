-- The galaxy nearest to a position, and how far it is in degrees; no row when none is within the radius.
--   :ra, :dec, :radius  double precision, ICRS degrees
--   :encoder_id         integer
--   :embedded_only      boolean: pass over galaxies that this encoder has not embedded
-- Plan: Index Scan using galaxy_dec_ra_idx for small radii.
SELECT
    g.galaxy_id,
    skylike.separation(g.ra, g."dec", :ra, :dec) AS separation
FROM skylike.galaxy AS g
LEFT JOIN skylike.embedding AS e ON e.encoder_id = :encoder_id AND e.galaxy_id = g.galaxy_id
WHERE skylike.in_cone(g.ra, g."dec", :ra, :dec, :radius)
    AND (NOT :embedded_only OR e.galaxy_id IS NOT NULL)
ORDER BY separation, g.galaxy_id
LIMIT 1
