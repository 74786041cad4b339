-- Give galaxies the cutouts in staged_cutout, in place of those of the same kind that they had.
--   :file_id  integer
--   :kind     text
-- A cutout that is replaced keeps its cutout_id and takes the new file, row and time: embeddings made
-- of the old pixels are older than it, and so are seen to be stale. A new version of a file with the
-- same pixels keeps the time. The time is that of the statement, which runs under a lock: now() would be
-- that of the transaction, which may have begun before others read what this replaces.
INSERT INTO skylike.cutout AS stored
    (file_id, file_row, galaxy_id, name, kind, coverage, missing_bands, is_complete, updated_at)
SELECT
    :file_id,
    staged.file_row,
    staged.galaxy_id,
    staged.name,
    :kind,
    staged.coverage,
    staged.missing_bands,
    staged.is_complete,
    CASE WHEN staged.is_same AND older.cutout_id IS NOT NULL THEN older.updated_at ELSE statement_timestamp() END
FROM staged_cutout AS staged
LEFT JOIN skylike.cutout AS older
    ON older.galaxy_id = staged.galaxy_id
    AND older.kind = :kind
    AND older.file_id = :file_id
WHERE staged.galaxy_id IS NOT NULL
ON CONFLICT (galaxy_id, kind) DO UPDATE
SET file_id = excluded.file_id,
    file_row = excluded.file_row,
    name = excluded.name,
    coverage = excluded.coverage,
    missing_bands = excluded.missing_bands,
    is_complete = excluded.is_complete,
    updated_at = excluded.updated_at
