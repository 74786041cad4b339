-- Add the cutouts in staged_cutout that show no galaxy of the catalog.
--   :file_id  integer
--   :kind     text
INSERT INTO skylike.cutout
    (file_id, file_row, galaxy_id, name, kind, coverage, missing_bands, is_complete, updated_at)
SELECT :file_id, file_row, NULL, name, :kind, coverage, missing_bands, is_complete, statement_timestamp()
FROM staged_cutout
WHERE galaxy_id IS NULL
