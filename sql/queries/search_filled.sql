-- Is there anything to search?
--   :encoder_id  integer
-- Plan: one row of each table.
SELECT
    EXISTS (SELECT FROM skylike.galaxy) AS has_galaxies,
    EXISTS (SELECT FROM skylike.embedding WHERE encoder_id = :encoder_id) AS has_embeddings
