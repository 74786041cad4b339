-- Encoders that were not trained here, embeddings that were made elsewhere, and the layer they are read from.

ALTER TABLE skylike.encoder
    ADD COLUMN layer text NOT NULL DEFAULT 'features',
    ADD COLUMN source text NOT NULL DEFAULT 'trained',
    ADD COLUMN origin jsonb,
    ALTER COLUMN architecture DROP NOT NULL,
    ALTER COLUMN width DROP NOT NULL,
    ALTER COLUMN input DROP NOT NULL,
    ALTER COLUMN bands DROP NOT NULL,
    ALTER COLUMN pixel_scale DROP NOT NULL,
    ALTER COLUMN crop_pix DROP NOT NULL,
    ALTER COLUMN preprocessing DROP NOT NULL,
    ALTER COLUMN training DROP NOT NULL,
    ALTER COLUMN checkpoint DROP NOT NULL,
    ALTER COLUMN checkpoint_sha256 DROP NOT NULL,
    ADD CONSTRAINT encoder_layer_check CHECK (layer IN ('features', 'projection')),
    ADD CONSTRAINT encoder_source_check CHECK (source IN ('trained', 'imported', 'shipped', 'embeddings')),
    ADD CONSTRAINT encoder_network_check CHECK (
        CASE
            WHEN source = 'embeddings' THEN num_nonnulls(architecture, width, input, bands, pixel_scale, crop_pix, preprocessing, checkpoint, checkpoint_sha256) = 0
            ELSE num_nulls(architecture, width, input, bands, pixel_scale, crop_pix, preprocessing, checkpoint, checkpoint_sha256) = 0
        END
    ),
    ADD CONSTRAINT encoder_training_check CHECK (training IS NOT NULL OR source IN ('imported', 'embeddings')),
    ADD CONSTRAINT encoder_origin_check CHECK (origin IS NOT NULL OR source IN ('trained', 'shipped'));
COMMENT ON TABLE skylike.encoder IS 'A network with all that is needed to use it, or the name of one whose embeddings were made elsewhere';
COMMENT ON COLUMN skylike.encoder.layer IS 'Layer of the network that embeddings are read from: features (before fc) or projection (the outputs of fc) [unit=none; ucd=meta.code]';
COMMENT ON COLUMN skylike.encoder.source IS 'Where it comes from: trained here, imported from a file, shipped with the package, or embeddings made elsewhere (no network) [unit=none; ucd=meta.code]';
COMMENT ON COLUMN skylike.encoder.origin IS 'The file it was imported from, and what was found in it; NULL where trained here [unit=none; ucd=meta.note]';
COMMENT ON COLUMN skylike.encoder.architecture IS 'Network: resnet18, resnet50, ...; NULL, as all that describes a network, for embeddings made elsewhere [unit=none; ucd=meta.code]';
COMMENT ON COLUMN skylike.encoder.training IS 'Recipe, seed, software, and what it was trained on; NULL where a file from elsewhere does not say [unit=none; ucd=meta.note]';

ALTER TABLE skylike.embedding ALTER COLUMN cutout_id DROP NOT NULL;
COMMENT ON COLUMN skylike.embedding.cutout_id IS 'Cutout it was made from; NULL where it was made elsewhere [unit=none; ucd=meta.id]';
