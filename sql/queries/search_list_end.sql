-- How long the neighbor list of a galaxy is, and the similarity of its last member.
--   :run_id     integer
--   :galaxy_id  integer
-- Plan: primary key of the run's partition.
SELECT cardinality(neighbor_ids) AS length, similarities[cardinality(similarities)] AS last
FROM skylike.neighbor_list
WHERE run_id = :run_id AND galaxy_id = :galaxy_id
