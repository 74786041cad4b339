-- Neighbor lists in two rows that fill their pages: identifiers, and similarities in a byte each.
--
-- 999 identifiers take just under half a page; a column more would leave half of each page empty. So
-- similarities have a table of their own, seven lists a page. Measured with both keys: 5.3 kB a galaxy at
-- k = 999, where identifiers and real[] side by side take 8.2 kB.
--
-- Lists that are there, also those of a run under way, are written anew, run by run: space for both forms
-- of all of them is needed until the migration is done. Lists longer than 2,020 neighbors, which no
-- version could make, would not fit a page.

-- Similarities in codes: skylike.neighbors.similarity_codes says what they are and proves the error. The
-- same operations in the same order, so that Python and SQL read the same float32 numbers. A loop, because
-- a window function over generate_series takes twice as long (0.23 against 0.48 ms for 999 in one run).
CREATE FUNCTION skylike.decode_similarities(first real, step real, codes bytea) RETURNS real[]
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE COST 5000
AS $$
DECLARE
    highest double precision := first;
    unit double precision := step;
    similarities real[] := array_fill(first, ARRAY[length(codes) + 1]);
    steps integer := 0;
    code integer;
    rank integer := 1;
BEGIN
    IF position('\xff'::bytea IN codes) = 0 THEN
        FOR place IN 0 .. length(codes) - 1 LOOP
            steps := steps + get_byte(codes, place);
            similarities[place + 2] := highest - unit * steps;
        END LOOP;
    ELSE
        FOR place IN 0 .. length(codes) - 1 LOOP
            code := get_byte(codes, place);
            steps := steps + code;
            IF code < 255 THEN
                rank := rank + 1;
                similarities[rank] := highest - unit * steps;
            END IF;
        END LOOP;
        similarities := similarities[1:rank];
    END IF;
    -- No cosine is below -1: half a step may lead there.
    FOR place IN REVERSE cardinality(similarities) .. 1 LOOP
        EXIT WHEN similarities[place] >= -1;
        similarities[place] := -1;
    END LOOP;
    RETURN similarities;
END
$$;
COMMENT ON FUNCTION skylike.decode_similarities(real, real, bytea) IS
'Similarities of a neighbor list, most similar first, from a row of neighbor_similarity; each within step / 2.';

DROP VIEW skylike.neighbor;
CREATE TABLE skylike.neighbor_similarity (
    run_id integer NOT NULL,
    galaxy_id integer NOT NULL,
    first real,
    step real NOT NULL,
    codes bytea NOT NULL,
    CONSTRAINT neighbor_similarity_pkey PRIMARY KEY (run_id, galaxy_id)
) PARTITION BY LIST (run_id);
COMMENT ON TABLE skylike.neighbor_similarity IS 'How similar the neighbors in neighbor_list are, in a byte each; the view neighbor decodes it';
COMMENT ON COLUMN skylike.neighbor_similarity.run_id IS 'Run; each has a partition of its own [unit=none; ucd=meta.id]';
COMMENT ON COLUMN skylike.neighbor_similarity.galaxy_id IS 'Galaxy [unit=none; ucd=meta.id;meta.main]';
COMMENT ON COLUMN skylike.neighbor_similarity.first IS 'Similarity of its most similar neighbor, or NULL without neighbors [unit=none; ucd=stat.correlation]';
COMMENT ON COLUMN skylike.neighbor_similarity.step IS 'Similarity that a code of 1 stands for; decoded similarities are within half of it [unit=none; ucd=stat.error]';
COMMENT ON COLUMN skylike.neighbor_similarity.codes IS 'For each further neighbor, how many steps its similarity is below the one before; a byte of 255 means add 255 and the next byte [unit=none; ucd=stat.correlation]';

-- Neither compresses, and chunks beside the table would take more pages.
ALTER TABLE skylike.neighbor_similarity ALTER COLUMN codes SET STORAGE PLAIN;

DO $$
DECLARE
    run record;
    half text;
    -- Lists of a run under way are no partition, and open to nobody.
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
    IF EXISTS (SELECT FROM pg_inherits WHERE inhparent = 'skylike.neighbor_list'::regclass) THEN
        RAISE EXCEPTION 'neighbor_list has partitions that no run of neighbor_run owns; drop them or give them a run';
    END IF;
    ALTER TABLE skylike.neighbor_list DROP COLUMN similarities;
    ALTER TABLE skylike.neighbor_list ALTER COLUMN neighbor_ids SET STORAGE PLAIN;
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
        FOREACH half IN ARRAY ARRAY['neighbor_list', 'neighbor_similarity'] LOOP
            EXECUTE format(
                'CREATE TABLE skylike.%1$I (LIKE skylike.%2$I INCLUDING DEFAULTS INCLUDING COMMENTS INCLUDING STORAGE,'
                ' CONSTRAINT %3$I CHECK (run_id = %4$s))',
                format('%s_r%s', half, run.run_id), half, format('%s_r%s_run_check', half, run.run_id), run.run_id
            );
            EXECUTE format('REVOKE ALL ON skylike.%I FROM skylike_reader, skylike_service', format('%s_r%s', half, run.run_id));
        END LOOP;
        EXECUTE format(
            'INSERT INTO skylike.%I (run_id, galaxy_id, neighbor_ids)'
            ' SELECT run_id, galaxy_id, neighbor_ids FROM skylike.%I', run.lists, run.before
        );
        -- As skylike.neighbors.similarity_codes.encode does it.
        EXECUTE format(
            $insert$
            INSERT INTO skylike.%I (run_id, galaxy_id, first, step, codes)
            SELECT list.run_id, list.galaxy_id, list.similarities[1], grain.step, coalesce(coded.codes, '')
            FROM skylike.%I AS list
            CROSS JOIN LATERAL (
                SELECT least(greatest(coalesce(max(fall.size), 0) / 253, 2.0 ^ -24), 9.8e-4)::real AS step
                FROM (
                    SELECT lag(entry.similarity) OVER (ORDER BY entry.rank) - entry.similarity AS size
                    FROM unnest(list.similarities) WITH ORDINALITY AS entry (similarity, rank)
                ) AS fall
            ) AS grain
            CROSS JOIN LATERAL (
                SELECT
                    string_agg(
                        decode(repeat('ff', jump.size / 255), 'hex') || substring(int4send(jump.size %% 255) FROM 4),
                        '' ORDER BY jump.rank
                    ) AS codes
                FROM (
                    SELECT place.rank, place.steps - lag(place.steps) OVER (ORDER BY place.rank) AS size
                    FROM (
                        SELECT
                            entry.rank,
                            max(
                                round(
                                    (list.similarities[1]::double precision - entry.similarity) / grain.step::double precision
                                )::integer
                            ) OVER (ORDER BY entry.rank) AS steps
                        FROM unnest(list.similarities) WITH ORDINALITY AS entry (similarity, rank)
                    ) AS place
                ) AS jump
                WHERE jump.rank > 1
            ) AS coded
            $insert$, run.similarities, run.before
        );
        EXECUTE format('DROP TABLE skylike.%I', run.before);
        IF run.is_complete THEN
            FOREACH half IN ARRAY ARRAY['neighbor_list', 'neighbor_similarity'] LOOP
                EXECUTE format(
                    'ALTER TABLE skylike.%I ADD CONSTRAINT %I PRIMARY KEY (run_id, galaxy_id)',
                    format('%s_r%s', half, run.run_id), format('%s_r%s_pkey', half, run.run_id)
                );
                EXECUTE format(
                    'ALTER TABLE skylike.%I ATTACH PARTITION skylike.%I FOR VALUES IN (%s)',
                    half, format('%s_r%s', half, run.run_id), run.run_id
                );
            END LOOP;
        END IF;
    END LOOP;
END
$$;

-- The run as a subquery that is evaluated once, and the similarities as one that is evaluated for each
-- list: the planner then knows one list for each galaxy and partition, goes from galaxies to lists through
-- the primary keys, and does not start parallel workers for a single list (10 ms, measured, where the two
-- tables are joined).
CREATE VIEW skylike.neighbor AS
SELECT
    list.galaxy_id,
    entry.rank::integer AS rank,
    entry.neighbor_id,
    entry.similarity
FROM skylike.neighbor_list AS list
CROSS JOIN LATERAL ROWS FROM (
    unnest(list.neighbor_ids),
    unnest((
        SELECT skylike.decode_similarities(coded.first, coded.step, coded.codes)
        FROM skylike.neighbor_similarity AS coded
        WHERE coded.run_id = list.run_id AND coded.galaxy_id = list.galaxy_id
    ))
) WITH ORDINALITY AS entry (neighbor_id, similarity, rank)
WHERE list.run_id = (
    SELECT run.run_id
    FROM skylike.neighbor_run AS run
    WHERE run.state = 'published'
        AND run.encoder_id = (SELECT encoder.encoder_id FROM skylike.encoder WHERE encoder.is_active)
);
COMMENT ON VIEW skylike.neighbor IS 'The published neighbors of the active encoder, one row each';
COMMENT ON COLUMN skylike.neighbor.galaxy_id IS 'Galaxy whose neighbors these are [unit=none; ucd=meta.id;meta.main]';
COMMENT ON COLUMN skylike.neighbor.rank IS 'Rank, 1 is the most similar [unit=none; ucd=meta.number]';
COMMENT ON COLUMN skylike.neighbor.neighbor_id IS 'Galaxy that looks like it [unit=none; ucd=meta.id]';
COMMENT ON COLUMN skylike.neighbor.similarity IS 'Cosine of the two embeddings, to 0.0005 or better; similarity() has all digits [unit=none; ucd=stat.correlation]';

ANALYZE skylike.neighbor_list;
ANALYZE skylike.neighbor_similarity;
