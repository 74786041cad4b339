-- What there is of each label: counts of galaxies by the majority of authors, and its classifier.
--   :name  text, or NULL for all
-- A label without statements is listed while its classifier is there.
WITH consensus AS (
    SELECT
        l.name,
        l.galaxy_id,
        count(*) FILTER (WHERE l.is_member) - count(*) FILTER (WHERE NOT l.is_member) AS lead,
        max(l.labeled_at) AS labeled_at
    FROM skylike.label AS l
    WHERE CAST(:name AS text) IS NULL OR l.name = CAST(:name AS text)
    GROUP BY l.name, l.galaxy_id
),
counted AS (
    SELECT
        c.name,
        (count(*) FILTER (WHERE c.lead > 0))::integer AS n_members,
        (count(*) FILTER (WHERE c.lead < 0))::integer AS n_not_members,
        (count(*) FILTER (WHERE c.lead = 0))::integer AS n_disputed,
        max(c.labeled_at) AS labeled_at
    FROM consensus AS c
    GROUP BY c.name
),
authors AS (
    SELECT l.name, array_agg(DISTINCT l.author ORDER BY l.author) AS authors
    FROM skylike.label AS l
    WHERE CAST(:name AS text) IS NULL OR l.name = CAST(:name AS text)
    GROUP BY l.name
)
SELECT
    coalesce(counted.name, classifier.name) AS name,
    coalesce(counted.n_members, 0) AS n_members,
    coalesce(counted.n_not_members, 0) AS n_not_members,
    coalesce(counted.n_disputed, 0) AS n_disputed,
    counted.labeled_at,
    coalesce(authors.authors, '{}') AS authors,
    encoder.name AS encoder,
    encoder.is_active,
    classifier.n_members AS trained_members,
    classifier.n_not_members AS trained_not_members,
    classifier.n_random,
    classifier.n_scored,
    classifier.regularization,
    classifier.average_precision,
    classifier.chance,
    classifier.roc_auc,
    classifier.top_n,
    classifier.precision_top_n,
    classifier.seed,
    classifier.version,
    classifier.trained_at,
    classifier.embedded_at IS DISTINCT FROM encoder.embedded_at AS embeddings_are_newer
FROM counted
FULL JOIN (
    SELECT * FROM skylike.classifier AS c
    WHERE CAST(:name AS text) IS NULL OR c.name = CAST(:name AS text)
) AS classifier ON classifier.name = counted.name
LEFT JOIN authors ON authors.name = counted.name
LEFT JOIN skylike.encoder ON encoder.encoder_id = classifier.encoder_id
ORDER BY 1
