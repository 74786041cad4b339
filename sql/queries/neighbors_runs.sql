-- Neighbor runs with their encoder, oldest first.
--   :run_id      integer or NULL for all
--   :encoder_id  integer or NULL for all
SELECT
    r.run_id,
    r.encoder_id,
    e.name AS encoder,
    e.is_active,
    r.k,
    r.band,
    r.width,
    r.state,
    r.n_galaxies,
    r.n_without_magnitude,
    r.n_excluded,
    r.recall,
    r.recall_sample,
    r.wrong_in_sample,
    r.software,
    r.started_at,
    r.finished_at,
    r.published_at,
    r.base_run_id,
    r.revision,
    r.updated_at,
    coalesce(s.shards, 0) AS shards_done,
    coalesce(s.galaxies, 0) AS galaxies_done
FROM skylike.neighbor_run AS r
JOIN skylike.encoder AS e ON e.encoder_id = r.encoder_id
LEFT JOIN (
    SELECT run_id, count(*)::integer AS shards, sum(n_galaxies)::integer AS galaxies
    FROM skylike.neighbor_shard
    GROUP BY run_id
) AS s ON s.run_id = r.run_id
WHERE (CAST(:run_id AS integer) IS NULL OR r.run_id = :run_id)
  AND (CAST(:encoder_id AS integer) IS NULL OR r.encoder_id = :encoder_id)
ORDER BY r.run_id
