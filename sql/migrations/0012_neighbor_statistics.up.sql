-- What neighbor lists tell of a galaxy: rarity, mutual neighbors, hubness, duplicates.
--
-- Computed when a run is complete, into a partition that is attached in the same transaction as its lists.
-- Runs that were complete before this migration have no statistics: they are built anew.

CREATE TABLE skylike.neighbor_statistic (
    run_id integer NOT NULL,
    galaxy_id integer NOT NULL,
    input_hash bigint NOT NULL,
    distance real,
    rarity real,
    hubness integer NOT NULL,
    n_mutual smallint NOT NULL,
    duplicate_group integer,
    CONSTRAINT neighbor_statistic_pkey PRIMARY KEY (run_id, galaxy_id)
) PARTITION BY LIST (run_id);
COMMENT ON TABLE skylike.neighbor_statistic IS 'What the neighbor lists of a run tell of each galaxy; none of galaxies without a list';
COMMENT ON COLUMN skylike.neighbor_statistic.run_id IS 'Run; each has a partition of its own [unit=none; ucd=meta.id]';
COMMENT ON COLUMN skylike.neighbor_statistic.galaxy_id IS 'Galaxy [unit=none; ucd=meta.id;meta.main]';
COMMENT ON COLUMN skylike.neighbor_statistic.input_hash IS 'Hash of the embedding and the magnitude that the run compared; tells an update what has changed [unit=none; ucd=meta.id]';
COMMENT ON COLUMN skylike.neighbor_statistic.distance IS 'Distance of the unit vectors, sqrt(2 - 2 cos), to the 20th neighbor (to the k-th where k is less); NULL where the list is shorter [unit=none; ucd=stat.value]';
COMMENT ON COLUMN skylike.neighbor_statistic.rarity IS 'Distance divided by its median among galaxies of like magnitude: 1 is usual, more is rarer; NULL without a distance [unit=none; ucd=stat.value;arith.ratio]';
COMMENT ON COLUMN skylike.neighbor_statistic.hubness IS 'Lists of other galaxies that it is among the first 10 of [unit=none; ucd=meta.number]';
COMMENT ON COLUMN skylike.neighbor_statistic.n_mutual IS 'How many of its first 10 neighbors have it among their first 10 [unit=none; ucd=meta.number]';
COMMENT ON COLUMN skylike.neighbor_statistic.duplicate_group IS 'Smallest galaxy_id of the rows that seem to be one source: closer than 25.152 arcsec, and 1 - cos at most 0.1 of its mean over all pairs; NULL for most [unit=none; ucd=meta.id]';

CREATE INDEX neighbor_statistic_rarity_idx ON skylike.neighbor_statistic (rarity DESC NULLS LAST, galaxy_id);
CREATE INDEX neighbor_statistic_duplicate_group_idx ON skylike.neighbor_statistic (duplicate_group)
    WHERE duplicate_group IS NOT NULL;

-- The run is looked up once (an InitPlan), and all other partitions are left out when the query begins.
CREATE VIEW skylike.neighborhood AS
SELECT s.galaxy_id, s.distance, s.rarity, s.hubness, s.n_mutual, s.duplicate_group
FROM skylike.neighbor_statistic AS s
WHERE s.run_id = (
    SELECT run.run_id
    FROM skylike.neighbor_run AS run
    JOIN skylike.encoder ON encoder.encoder_id = run.encoder_id AND encoder.is_active
    WHERE run.state = 'published'
);
COMMENT ON VIEW skylike.neighborhood IS 'What the published neighbor lists of the active encoder tell of each galaxy';
COMMENT ON COLUMN skylike.neighborhood.galaxy_id IS 'Galaxy [unit=none; ucd=meta.id;meta.main]';
COMMENT ON COLUMN skylike.neighborhood.distance IS 'Distance of the unit vectors, sqrt(2 - 2 cos), to the 20th neighbor (to the k-th where k is less); NULL where the list is shorter [unit=none; ucd=stat.value]';
COMMENT ON COLUMN skylike.neighborhood.rarity IS 'Distance divided by its median among galaxies of like magnitude: 1 is usual, more is rarer; NULL without a distance [unit=none; ucd=stat.value;arith.ratio]';
COMMENT ON COLUMN skylike.neighborhood.hubness IS 'Lists of other galaxies that it is among the first 10 of [unit=none; ucd=meta.number]';
COMMENT ON COLUMN skylike.neighborhood.n_mutual IS 'How many of its first 10 neighbors have it among their first 10 [unit=none; ucd=meta.number]';
COMMENT ON COLUMN skylike.neighborhood.duplicate_group IS 'group_id in duplicate_group where it seems to be a duplicate or a piece, else NULL [unit=none; ucd=meta.id]';

-- The list of a galaxy, and the list of each galaxy in it. OFFSET 0 keeps the subquery as it is, looked up
-- by the primary key for each neighbor: a hash of all lists, which the planner likes in small catalogs,
-- would take gigabytes in large ones.
CREATE VIEW skylike.mutual_neighbor AS
SELECT mine.galaxy_id, mine.neighbor_id, mine.rank, back.reverse_rank, mine.similarity
FROM skylike.neighbor AS mine
CROSS JOIN LATERAL (
    SELECT array_position(theirs.neighbor_ids, mine.galaxy_id) AS reverse_rank
    FROM skylike.neighbor_list AS theirs
    WHERE theirs.galaxy_id = mine.neighbor_id
        AND theirs.run_id = (
            SELECT run.run_id
            FROM skylike.neighbor_run AS run
            JOIN skylike.encoder ON encoder.encoder_id = run.encoder_id AND encoder.is_active
            WHERE run.state = 'published'
        )
    OFFSET 0
) AS back
WHERE back.reverse_rank IS NOT NULL;
COMMENT ON VIEW skylike.mutual_neighbor IS 'Published neighbors that are in each other''s lists; one row for each of the two';
COMMENT ON COLUMN skylike.mutual_neighbor.galaxy_id IS 'Galaxy whose neighbors these are [unit=none; ucd=meta.id;meta.main]';
COMMENT ON COLUMN skylike.mutual_neighbor.neighbor_id IS 'Galaxy in its list that has it in its own [unit=none; ucd=meta.id]';
COMMENT ON COLUMN skylike.mutual_neighbor.rank IS 'Rank of the neighbor in the list of the galaxy, 1 is the most similar [unit=none; ucd=meta.number]';
COMMENT ON COLUMN skylike.mutual_neighbor.reverse_rank IS 'Rank of the galaxy in the list of the neighbor [unit=none; ucd=meta.number]';
COMMENT ON COLUMN skylike.mutual_neighbor.similarity IS 'Cosine of the two embeddings [unit=none; ucd=stat.correlation]';

CREATE VIEW skylike.duplicate_group AS
SELECT
    s.duplicate_group AS group_id,
    s.galaxy_id,
    (
        SELECT count(*)::integer
        FROM skylike.neighbor_statistic AS other
        WHERE other.run_id = s.run_id AND other.duplicate_group = s.duplicate_group
    ) AS n_members,
    skylike.separation(g.ra, g."dec", first.ra, first."dec") AS separation,
    skylike.similarity(s.galaxy_id, s.duplicate_group) AS similarity
FROM skylike.neighbor_statistic AS s
LEFT JOIN skylike.galaxy AS g ON g.galaxy_id = s.galaxy_id
LEFT JOIN skylike.galaxy AS first ON first.galaxy_id = s.duplicate_group
WHERE s.duplicate_group IS NOT NULL
    AND s.run_id = (
        SELECT run.run_id
        FROM skylike.neighbor_run AS run
        JOIN skylike.encoder ON encoder.encoder_id = run.encoder_id AND encoder.is_active
        WHERE run.state = 'published'
    );
COMMENT ON VIEW skylike.duplicate_group IS 'Rows of the catalog that seem to be one source: duplicates, and pieces of a shredded galaxy; one row each';
COMMENT ON COLUMN skylike.duplicate_group.group_id IS 'Smallest galaxy_id of the group, which names it [unit=none; ucd=meta.id]';
COMMENT ON COLUMN skylike.duplicate_group.galaxy_id IS 'Galaxy of the group [unit=none; ucd=meta.id;meta.main]';
COMMENT ON COLUMN skylike.duplicate_group.n_members IS 'Galaxies in the group [unit=none; ucd=meta.number]';
COMMENT ON COLUMN skylike.duplicate_group.separation IS 'Separation on the sky from the galaxy that names the group [unit=deg; ucd=pos.angDistance]';
COMMENT ON COLUMN skylike.duplicate_group.similarity IS 'Cosine of its embedding, as it is now, and that galaxy''s [unit=none; ucd=stat.correlation]';
