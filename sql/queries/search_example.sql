-- A galaxy with its embedding and compact vector (NULL without them), and whether there is an image to make one from.
--   :encoder_id  integer
--   :galaxy_id   bigint: an identifier beyond integer is simply not found
-- Plan: primary keys of galaxy and of the encoder's partitions.
SELECT
    g.galaxy_id,
    g.ra,
    g."dec",
    halfvec_send(e.embedding) AS embedding,
    halfvec_send(c.compact) AS compact,
    EXISTS (SELECT FROM skylike.cutout AS t WHERE t.galaxy_id = g.galaxy_id) AS has_cutout
FROM skylike.galaxy AS g
LEFT JOIN skylike.embedding AS e ON e.encoder_id = :encoder_id AND e.galaxy_id = g.galaxy_id
LEFT JOIN skylike.embedding_compact AS c ON c.encoder_id = :encoder_id AND c.galaxy_id = g.galaxy_id
WHERE g.galaxy_id = :galaxy_id
