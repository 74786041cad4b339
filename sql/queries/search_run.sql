-- The published neighbor run of an encoder, and whether its input has changed since; no row without one.
--   :encoder_id  integer
-- Plan: neighbor_run_published_idx and the few rows of catalog_load: the galaxies themselves, which
-- `skylike neighbors status` counts, would take seconds to read.
SELECT
    r.run_id,
    EXISTS (
        SELECT
        FROM skylike.catalog_load AS l
        WHERE l.loaded_at > r.started_at AND l.rows_inserted + l.rows_updated > 0
    ) AS catalog_is_newer,
    coalesce(n.embedded_at > r.started_at, false) AS embeddings_are_newer
FROM skylike.neighbor_run AS r
JOIN skylike.encoder AS n ON n.encoder_id = r.encoder_id
WHERE r.encoder_id = :encoder_id AND r.state = 'published'
