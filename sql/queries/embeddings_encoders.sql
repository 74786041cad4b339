-- Encoders, the newest last, with the number of galaxies that each has embedded.
--   :name       text, or NULL for all
--   :is_active  true for the active one only, or NULL
-- Plan: a scan of the (short) table; the counts come from the planner's statistics, which the embedding
-- stage refreshes when it publishes.
SELECT e.encoder_id, e.name, e.architecture, e.width, e.dimension, e.input, e.bands, e.pixel_scale, e.crop_pix,
       e.preprocessing, e.training, e.checkpoint, e.checkpoint_sha256, e.layer, e.source, e.origin,
       e.is_active, e.created_at,
       e.compact_components, e.compact_slack, e.embedded_at,
       coalesce((
           SELECT c.reltuples::bigint
           FROM pg_catalog.pg_class AS c
           WHERE c.oid = to_regclass('skylike.embedding_e' || e.encoder_id)
       ), 0) AS n_embedded
FROM skylike.encoder AS e
WHERE (cast(:name AS text) IS NULL OR e.name = cast(:name AS text))
    AND (cast(:is_active AS boolean) IS NULL OR e.is_active)
ORDER BY e.encoder_id
