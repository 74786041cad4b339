-- The similarities of a galaxy's neighbor list, as they are coded (skylike.neighbors.similarity_codes).
--   :run_id     integer
--   :galaxy_id  integer
-- Plan: primary key of the run's partition.
SELECT first, step, codes
FROM skylike.neighbor_similarity
WHERE run_id = :run_id AND galaxy_id = :galaxy_id
