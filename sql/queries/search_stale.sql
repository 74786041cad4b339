-- How many galaxies have an embedding that their image has outlived: changed since, shows another galaxy
-- by now, or gone. Those that were made elsewhere are of no cutout, and never counted.
--   :encoder_id  integer
--   :galaxy_ids  integer[]
-- Plan: primary keys of the encoder's partition and of cutout.
SELECT count(*)
FROM skylike.embedding AS e
LEFT JOIN skylike.cutout AS c ON c.cutout_id = e.cutout_id
WHERE e.encoder_id = :encoder_id
    AND e.galaxy_id = ANY(:galaxy_ids)
    AND e.cutout_id IS NOT NULL
    AND (c.cutout_id IS NULL OR c.updated_at > e.embedded_at OR c.galaxy_id IS DISTINCT FROM e.galaxy_id)
