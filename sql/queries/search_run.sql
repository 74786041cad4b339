-- The published neighbor run of an encoder, and whether its input has changed since; no row without one.
--   :encoder_id  integer
-- Both times and snapshots must agree: a transaction that ends after the run has read may bear an earlier
-- time, and transaction numbers of another server, from which this database was restored, mean nothing.
-- Plan: neighbor_run_published_idx and the few rows of catalog_load: the galaxies themselves, which
-- `skylike neighbors status` counts, would take seconds to read.
SELECT
    r.run_id,
    r.k,
    r.band,
    r.width,
    coalesce(r.recall, 0) AS recall,
    EXISTS (
        SELECT
        FROM skylike.catalog_load AS l
        WHERE l.rows_inserted + l.rows_updated > 0
            AND (l.loaded_at > r.started_at OR NOT pg_visible_in_snapshot(l.load_xact, r.input_snapshot))
    ) AS catalog_is_newer,
    n.embedded_at > r.started_at OR NOT coalesce(pg_visible_in_snapshot(n.embedded_xact, r.input_snapshot), true)
        AS embeddings_are_newer,
    n.embedded_xact IS NOT NULL AND r.input_snapshot IS NOT NULL AS is_certain
FROM skylike.neighbor_run AS r
JOIN skylike.encoder AS n ON n.encoder_id = r.encoder_id
WHERE r.encoder_id = :encoder_id AND r.state = 'published'
