-- Galaxies that have a picture but no flux cutout.
SELECT count(*)
FROM skylike.cutout AS p
WHERE p.kind = 'rgb'
  AND p.galaxy_id IS NOT NULL
  AND NOT EXISTS (
      SELECT FROM skylike.cutout AS f WHERE f.galaxy_id = p.galaxy_id AND f.kind = 'flux'
  )
