-- Where some galaxies are.
--   :galaxy_ids  integer[]
SELECT galaxy.galaxy_id, galaxy.ra, galaxy."dec"
FROM skylike.galaxy
WHERE galaxy.galaxy_id = ANY (CAST(:galaxy_ids AS integer[]))
ORDER BY galaxy.galaxy_id
