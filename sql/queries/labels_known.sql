-- Which of some galaxies are in the catalog.
--   :galaxy_ids  integer[]
SELECT galaxy.galaxy_id
FROM skylike.galaxy
WHERE galaxy.galaxy_id = ANY (CAST(:galaxy_ids AS integer[]))
