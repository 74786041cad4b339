-- The last loads of the catalog, newest first.
--   :limit  integer
SELECT
    loaded.load_id,
    survey.name AS survey,
    loaded.file,
    loaded.magnitudes,
    loaded.selection,
    loaded.rows_read,
    loaded.rows_inserted,
    loaded.rows_updated,
    loaded.rows_unchanged,
    loaded.rows_rejected,
    loaded.loaded_at
FROM skylike.catalog_load AS loaded
JOIN skylike.survey ON survey.survey_id = loaded.survey_id
ORDER BY loaded.load_id DESC
LIMIT :limit
