-- Link cutouts that showed no galaxy to galaxies that the catalog has got since.
--   :file_id  integer
-- A galaxy that has a cutout of the kind keeps it.
UPDATE skylike.cutout AS stored
SET galaxy_id = staged.galaxy_id,
    updated_at = statement_timestamp()
FROM staged_cutout AS staged
WHERE stored.file_id = :file_id
    AND stored.file_row = staged.file_row
    AND stored.galaxy_id IS NULL
    AND staged.galaxy_id IS NOT NULL
    AND NOT EXISTS (
        SELECT FROM skylike.cutout AS other
        WHERE other.galaxy_id = staged.galaxy_id
            AND other.kind = stored.kind
    )
