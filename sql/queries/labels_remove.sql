-- Take back what was said of galaxies.
--   :name        text
--   :galaxy_ids  integer[], or NULL for all
--   :author      text, or NULL for all
-- Rows are locked in order of galaxy_id first, as labels_add.sql does.
WITH taken AS (
    SELECT l.name, l.galaxy_id, l.author
    FROM skylike.label AS l
    WHERE l.name = :name
        AND (CAST(:galaxy_ids AS integer[]) IS NULL OR l.galaxy_id = ANY (CAST(:galaxy_ids AS integer[])))
        AND (CAST(:author AS text) IS NULL OR l.author = CAST(:author AS text))
    ORDER BY l.galaxy_id, l.author
    FOR UPDATE
)
DELETE FROM skylike.label AS stored
USING taken
WHERE stored.name = taken.name AND stored.galaxy_id = taken.galaxy_id AND stored.author = taken.author
