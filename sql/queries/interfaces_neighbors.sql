-- Published neighbors of a galaxy by the active encoder, most similar first.
--   :galaxy_id  integer
--   :k          integer, how many at most, or NULL for all
-- Plan: the primary key of the run's partition; one row is read and unnested.
SELECT n.neighbor_id, n.similarity
FROM skylike.neighbor AS n
WHERE n.galaxy_id = :galaxy_id AND (CAST(:k AS integer) IS NULL OR n.rank <= :k)
ORDER BY n.rank
