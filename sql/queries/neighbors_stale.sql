-- What has changed since a run read its input.
--   :run_id      integer
--   :encoder_id  integer  that of the run
-- Embeddings bear the time at which they were published. A publication that was under way when the run read
-- bears an earlier time than the run, which has not seen it: the snapshot tells. (Where the run has none, or
-- is of another server, from which this database was restored, only times are compared.)
-- Plan: one scan of the encoder's embeddings joined with the catalog by hash.
SELECT
    count(*)::integer AS embeddings,
    count(*) FILTER (WHERE s.is_new)::integer AS new_embeddings,
    count(*) FILTER (WHERE g.updated_at > r.started_at AND NOT s.is_new)::integer AS changed_galaxies
FROM skylike.neighbor_run AS r
JOIN skylike.encoder AS n ON n.encoder_id = r.encoder_id
JOIN skylike.embedding AS e ON e.encoder_id = :encoder_id
JOIN skylike.galaxy AS g ON g.galaxy_id = e.galaxy_id
CROSS JOIN LATERAL (
    SELECT
        e.embedded_at > r.started_at
        OR (
            e.embedded_at = n.embedded_at
            AND NOT coalesce(pg_visible_in_snapshot(n.embedded_xact, r.input_snapshot), true)
        ) AS is_new
) AS s
WHERE r.run_id = :run_id
