-- Neighbor lists in two rows that fill their pages: identifiers, and similarities in a byte each.
--
-- Back to lists of numbers, as 0005 has them: the decoded ones.

DROP VIEW skylike.neighbor;

DO $$
DECLARE
    run record;
    complete integer[];
BEGIN
    SELECT array_agg(r.run_id) INTO complete
    FROM skylike.neighbor_run AS r
    JOIN pg_class AS c ON c.oid = to_regclass(format('skylike.neighbor_list_r%s', r.run_id)) AND c.relispartition;
    FOR run IN
        SELECT r.run_id, format('neighbor_list_r%s', r.run_id) AS lists
        FROM skylike.neighbor_run AS r
        WHERE to_regclass(format('skylike.neighbor_list_r%s', r.run_id)) IS NOT NULL
    LOOP
        IF run.run_id = ANY (complete) THEN
            EXECUTE format('ALTER TABLE skylike.neighbor_list DETACH PARTITION skylike.%I', run.lists);
        END IF;
        EXECUTE format('ALTER TABLE skylike.%I RENAME TO %I', run.lists, format('neighbor_list_before_r%s', run.run_id));
    END LOOP;
    ALTER TABLE skylike.neighbor_list ADD COLUMN similarities real[] NOT NULL;
    ALTER TABLE skylike.neighbor_list ALTER COLUMN neighbor_ids SET STORAGE EXTERNAL;
    ALTER TABLE skylike.neighbor_list ALTER COLUMN similarities SET STORAGE EXTERNAL;
    COMMENT ON COLUMN skylike.neighbor_list.similarities IS 'Cosine of the embeddings, in the same order [unit=none; ucd=stat.correlation]';
    FOR run IN
        SELECT
            r.run_id,
            r.run_id = ANY (complete) AS is_complete,
            format('neighbor_list_before_r%s', r.run_id) AS before,
            format('neighbor_list_r%s', r.run_id) AS lists,
            format('neighbor_similarity_r%s', r.run_id) AS similarities
        FROM skylike.neighbor_run AS r
        WHERE to_regclass(format('skylike.neighbor_list_before_r%s', r.run_id)) IS NOT NULL
        ORDER BY r.run_id
    LOOP
        EXECUTE format(
            'CREATE TABLE skylike.%I (LIKE skylike.neighbor_list INCLUDING DEFAULTS INCLUDING COMMENTS INCLUDING STORAGE,'
            ' CONSTRAINT %I CHECK (run_id = %s)) WITH (toast_tuple_target = 8160)',
            run.lists, run.lists || '_run_check', run.run_id
        );
        EXECUTE format('REVOKE ALL ON skylike.%I FROM skylike_reader, skylike_service', run.lists);
        EXECUTE format(
            'INSERT INTO skylike.%I (run_id, galaxy_id, neighbor_ids, similarities)'
            ' SELECT list.run_id, list.galaxy_id, list.neighbor_ids,'
            ' coalesce(skylike.decode_similarities(coded.first, coded.step, coded.codes), ''{}'')'
            ' FROM skylike.%I AS list'
            ' JOIN skylike.%I AS coded ON coded.run_id = list.run_id AND coded.galaxy_id = list.galaxy_id',
            run.lists, run.before, run.similarities
        );
        EXECUTE format('DROP TABLE skylike.%I', run.before);
        EXECUTE format('DROP TABLE skylike.%I', run.similarities);
        IF run.is_complete THEN
            EXECUTE format(
                'ALTER TABLE skylike.%I ADD CONSTRAINT %I PRIMARY KEY (run_id, galaxy_id)',
                run.lists, run.lists || '_pkey'
            );
            EXECUTE format(
                'ALTER TABLE skylike.neighbor_list ATTACH PARTITION skylike.%I FOR VALUES IN (%s)',
                run.lists, run.run_id
            );
        END IF;
    END LOOP;
END
$$;
DROP TABLE skylike.neighbor_similarity;
DROP FUNCTION skylike.decode_similarities;

CREATE VIEW skylike.neighbor AS
SELECT
    list.galaxy_id,
    entry.rank::integer AS rank,
    entry.neighbor_id,
    entry.similarity
FROM skylike.neighbor_list AS list
JOIN skylike.neighbor_run AS run ON run.run_id = list.run_id AND run.state = 'published'
JOIN skylike.encoder ON encoder.encoder_id = run.encoder_id AND encoder.is_active
CROSS JOIN LATERAL unnest(list.neighbor_ids, list.similarities)
    WITH ORDINALITY AS entry (neighbor_id, similarity, rank);
COMMENT ON VIEW skylike.neighbor IS 'The published neighbors of the active encoder, one row each';
COMMENT ON COLUMN skylike.neighbor.galaxy_id IS 'Galaxy whose neighbors these are [unit=none; ucd=meta.id;meta.main]';
COMMENT ON COLUMN skylike.neighbor.rank IS 'Rank, 1 is the most similar [unit=none; ucd=meta.number]';
COMMENT ON COLUMN skylike.neighbor.neighbor_id IS 'Galaxy that looks like it [unit=none; ucd=meta.id]';
COMMENT ON COLUMN skylike.neighbor.similarity IS 'Cosine of the two embeddings [unit=none; ucd=stat.correlation]';
