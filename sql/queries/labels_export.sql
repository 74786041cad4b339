-- Everything that was said under some labels, with the galaxies it was said of.
--   :names  text[]
SELECT
    l.galaxy_id,
    survey.name AS survey,
    galaxy.object_id,
    galaxy.ra,
    galaxy."dec",
    l.name AS label,
    l.is_member,
    l.author,
    l.note,
    l.labeled_at
FROM skylike.label AS l
JOIN skylike.galaxy ON galaxy.galaxy_id = l.galaxy_id
JOIN skylike.survey ON survey.survey_id = galaxy.survey_id
WHERE l.name = ANY (CAST(:names AS text[]))
ORDER BY l.name, l.galaxy_id, l.author
