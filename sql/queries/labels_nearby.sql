-- All galaxies of the catalog near some galaxies, those themselves included.
--   :galaxy_ids  integer[]
--   :radius      double precision, degrees
--   :limit       integer, most rows
-- Needs the index galaxy_dec_ra_idx: one probe of a thin declination strip for each galaxy.
SELECT DISTINCT
    nearby.galaxy_id,
    nearby.ra,
    nearby."dec",
    survey.name AS survey,
    nearby.object_id
FROM skylike.galaxy AS center
CROSS JOIN LATERAL (
    SELECT galaxy.galaxy_id, galaxy.ra, galaxy."dec", galaxy.survey_id, galaxy.object_id
    FROM skylike.galaxy
    WHERE skylike.in_cone(galaxy.ra, galaxy."dec", center.ra, center."dec", CAST(:radius AS double precision))
) AS nearby
JOIN skylike.survey ON survey.survey_id = nearby.survey_id
WHERE center.galaxy_id = ANY (CAST(:galaxy_ids AS integer[]))
LIMIT :limit
