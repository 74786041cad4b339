-- How many authors call each galaxy of a label a member, and how many say that it is none.
--   :name  text
SELECT
    l.galaxy_id,
    count(*) FILTER (WHERE l.is_member)::integer AS n_for,
    count(*) FILTER (WHERE NOT l.is_member)::integer AS n_against
FROM skylike.label AS l
WHERE l.name = :name
GROUP BY l.galaxy_id
ORDER BY l.galaxy_id
