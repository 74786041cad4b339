-- Write what an author says of galaxies; what is the same already is not written again.
--   :name        text
--   :galaxy_ids  integer[]
--   :is_member   boolean[], as long
--   :author      text
--   :note        text, or NULL to keep the one that is there
-- Returns a row for each statement written; is_new tells new from changed. In order of galaxy_id, so that
-- two authors who label the same galaxies at once wait for each other and never lock each other out.
INSERT INTO skylike.label AS stored (name, galaxy_id, is_member, author, note, labeled_at)
SELECT :name, given.galaxy_id, given.is_member, :author, CAST(:note AS text), statement_timestamp()
FROM unnest(CAST(:galaxy_ids AS integer[]), CAST(:is_member AS boolean[])) AS given (galaxy_id, is_member)
ORDER BY given.galaxy_id
ON CONFLICT (name, galaxy_id, author) DO UPDATE
SET is_member = excluded.is_member,
    note = coalesce(excluded.note, stored.note),
    labeled_at = excluded.labeled_at
WHERE stored.is_member <> excluded.is_member
    OR (excluded.note IS NOT NULL AND stored.note IS DISTINCT FROM excluded.note)
RETURNING xmax = 0 AS is_new
