-- Add the cutouts in staged_cutout that show no galaxy of the catalog.
--   :file_id  integer
--   :kind     text
INSERT INTO skylike.cutout
    (file_id, file_row, galaxy_id, name, kind, coverage, missing_bands, is_complete)
SELECT :file_id, file_row, NULL, name, :kind, coverage, missing_bands, is_complete
FROM staged_cutout
WHERE galaxy_id IS NULL
