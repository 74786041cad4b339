-- What has changed since a run read its input.
--   :encoder_id  integer
--   :started_at  timestamptz
-- Plan: one scan of the encoder's embeddings joined with the catalog by hash.
SELECT
    count(*)::integer AS embeddings,
    count(*) FILTER (WHERE e.embedded_at > :started_at)::integer AS new_embeddings,
    count(*) FILTER (WHERE g.updated_at > :started_at AND e.embedded_at <= :started_at)::integer AS changed_galaxies
FROM skylike.embedding AS e
JOIN skylike.galaxy AS g ON g.galaxy_id = e.galaxy_id
WHERE e.encoder_id = :encoder_id
