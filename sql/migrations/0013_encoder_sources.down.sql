-- Takes back 0013_encoder_sources.up.sql, with the encoders that the version before cannot use: embeddings
-- made elsewhere, and projections; their vectors, neighbor lists and classifiers go with them.

DO $$
DECLARE
    unusable CONSTANT integer[] := ARRAY(
        SELECT encoder_id FROM skylike.encoder WHERE source = 'embeddings' OR layer = 'projection' ORDER BY encoder_id
    );
    runs CONSTANT integer[] := ARRAY(SELECT run_id FROM skylike.neighbor_run WHERE encoder_id = ANY (unusable));
    classifiers CONSTANT text[] := ARRAY(SELECT name FROM skylike.classifier WHERE encoder_id = ANY (unusable));
    leftover regclass;
BEGIN
    FOR leftover IN
        SELECT c.oid
        FROM pg_catalog.pg_class AS c
        CROSS JOIN LATERAL regexp_match(c.relname, '^(?:embedding|embedding_compact|embedding_staging|compact_staging)_e(\d+)(?:_new)?$') AS of_encoder
        CROSS JOIN LATERAL regexp_match(c.relname, '^neighbor_(?:list|similarity|statistic)_r(\d+)(?:_next)?$') AS of_run
        WHERE c.relnamespace = 'skylike'::regnamespace
            AND c.relkind = 'r'
            AND (of_encoder[1]::integer = ANY (unusable) OR of_run[1]::integer = ANY (runs))
    LOOP
        EXECUTE format('DROP TABLE %s', leftover);
    END LOOP;
    DELETE FROM skylike.classifier_score WHERE name = ANY (classifiers);
    DELETE FROM skylike.neighbor_run WHERE run_id = ANY (runs);
    DELETE FROM skylike.encoder WHERE encoder_id = ANY (unusable);
END
$$;
UPDATE skylike.encoder SET training = '{}' WHERE training IS NULL;

ALTER TABLE skylike.embedding ALTER COLUMN cutout_id SET NOT NULL;
COMMENT ON COLUMN skylike.embedding.cutout_id IS 'Cutout it was made from [unit=none; ucd=meta.id]';

ALTER TABLE skylike.encoder
    DROP CONSTRAINT encoder_origin_check,
    DROP CONSTRAINT encoder_training_check,
    DROP CONSTRAINT encoder_network_check,
    DROP CONSTRAINT encoder_source_check,
    DROP CONSTRAINT encoder_layer_check,
    ALTER COLUMN architecture SET NOT NULL,
    ALTER COLUMN width SET NOT NULL,
    ALTER COLUMN input SET NOT NULL,
    ALTER COLUMN bands SET NOT NULL,
    ALTER COLUMN pixel_scale SET NOT NULL,
    ALTER COLUMN crop_pix SET NOT NULL,
    ALTER COLUMN preprocessing SET NOT NULL,
    ALTER COLUMN training SET NOT NULL,
    ALTER COLUMN checkpoint SET NOT NULL,
    ALTER COLUMN checkpoint_sha256 SET NOT NULL,
    DROP COLUMN origin,
    DROP COLUMN source,
    DROP COLUMN layer;
COMMENT ON TABLE skylike.encoder IS 'A trained network with all that is needed to use it';
COMMENT ON COLUMN skylike.encoder.architecture IS 'Network: resnet18, resnet50, ... [unit=none; ucd=meta.code]';
COMMENT ON COLUMN skylike.encoder.training IS 'Recipe, seed, software, and what it was trained on [unit=none; ucd=meta.note]';
