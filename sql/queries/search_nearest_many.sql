-- For each of many positions the nearest galaxy with an embedding, or else without, and how far it is in degrees.
--   :ra, :dec    double precision[], ICRS degrees, equally long
--   :radius      double precision, degrees: positions with no galaxy within it have no row
--   :encoder_id  integer
-- Plan: for each position one Index Scan using galaxy_dec_ra_idx, and one probe of the encoder's primary key for each
-- galaxy in the circle (LIMIT keeps the planner from hashing all embeddings instead).
SELECT
    wanted.place::integer AS place,
    nearest.galaxy_id,
    nearest.ra,
    nearest."dec",
    nearest.separation,
    nearest.is_embedded
FROM unnest(CAST(:ra AS double precision[]), CAST(:dec AS double precision[]))
    WITH ORDINALITY AS wanted (ra, "dec", place)
CROSS JOIN LATERAL (
    SELECT
        g.galaxy_id,
        g.ra,
        g."dec",
        skylike.separation(g.ra, g."dec", wanted.ra, wanted."dec") AS separation,
        e.galaxy_id IS NOT NULL AS is_embedded
    FROM skylike.galaxy AS g
    LEFT JOIN LATERAL (
        SELECT embedding.galaxy_id
        FROM skylike.embedding
        WHERE embedding.encoder_id = :encoder_id AND embedding.galaxy_id = g.galaxy_id
        LIMIT 1
    ) AS e ON true
    WHERE skylike.in_cone(g.ra, g."dec", wanted.ra, wanted."dec", CAST(:radius AS double precision))
    ORDER BY is_embedded DESC, separation, g.galaxy_id
    LIMIT 1
) AS nearest
ORDER BY place
