-- Where galaxies are on the sky.
--   :galaxy_ids  integer[]
-- Plan: primary key of galaxy.
SELECT galaxy_id, ra, "dec"
FROM skylike.galaxy
WHERE galaxy_id = ANY(:galaxy_ids)
ORDER BY galaxy_id
