-- The survey that has most of some objects, for identifiers that are unique across surveys.
--   :object_ids  bigint[]
-- One probe of galaxy_survey_object_key for each survey and object.
SELECT survey.name
FROM skylike.survey
CROSS JOIN LATERAL (
    SELECT count(*) AS n
    FROM skylike.galaxy
    WHERE galaxy.survey_id = survey.survey_id
        AND galaxy.object_id = ANY (CAST(:object_ids AS bigint[]))
) AS found
WHERE found.n > 0
ORDER BY found.n DESC, survey.name
LIMIT 1
