-- Similarity search in SQL: functions for psql, TOPCAT and pandas.
--
-- All run with the caller's rights. Those that rank are STABLE: every statement inside sees the moment
-- of the statement that called. Not PARALLEL SAFE: a cut may call anything, and their own scans run in
-- parallel, which they could not inside a worker (EXECUTE ... INTO may; SELECT ... INTO and FOR ... IN
-- may not).

CREATE FUNCTION skylike.embedding_of(galaxy_id integer) RETURNS halfvec
LANGUAGE sql STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT e.embedding
    FROM skylike.embedding AS e
    WHERE e.encoder_id = (SELECT n.encoder_id FROM skylike.encoder AS n WHERE n.is_active)
        AND e.galaxy_id = embedding_of.galaxy_id;
END;
COMMENT ON FUNCTION skylike.embedding_of(integer) IS
'Embedding of a galaxy by the active encoder, or NULL where there is none.';

-- Cosine in float64. Two ways to the same number, for products of float16 numbers are exact in float32.
-- The slow way adds them up in float64. The fast one, for vectors no longer than rounded unit vectors
-- are, is 2 a.b = |a + b|^2 - |a|^2 - |b|^2 with lengths by pgvector, which sums squares in float64
-- (10 times as fast). Nothing is lost:
--   * float16 numbers are multiples of 2^-24, so squares of their sums are multiples of 2^-48. All sums of
--     squares here are below 4.01, hence exact; the root and its square err by less than 1.4e-15, and
--     rounding to a multiple of 2^-48, 3.6e-15 apart, takes that back.
--   * float32 keeps the 24 bits of a sum of two entries unless it is 1 or more and its last bit is set: one
--     entry below 2^-13, the other at least 1 (no float16 number lies between 1 - 2^-13 and 1). What is
--     left of a vector up to 1.001 long that has an entry of 1 is at most 0.045 long: |a.b| < 0.05.
CREATE FUNCTION skylike.similarity(a halfvec, b halfvec) RETURNS double precision
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = skylike, public, pg_temp
AS $$
DECLARE
    wide_a vector := a::vector;
    wide_b vector := b::vector;
    length_a double precision := vector_norm(wide_a);
    length_b double precision := vector_norm(wide_b);
    length_sum double precision;
    unit double precision := power(2::double precision, 48);
    product double precision;
BEGIN
    IF length_a = 0 OR length_b = 0 THEN
        RETURN NULL;
    ELSIF length_a <= 1.001 AND length_b <= 1.001 THEN
        length_sum := vector_norm(wide_a + wide_b);
        product := (
            round(unit * length_sum * length_sum) - round(unit * length_a * length_a) - round(unit * length_b * length_b)
        ) / (2 * unit);
    END IF;
    IF product IS NULL OR abs(product) < 0.05 THEN
        -- Faster than unnest after FROM.
        SELECT sum(entry::double precision) INTO product
        FROM (SELECT unnest((wide_a * wide_b)::real[]) AS entry) AS products;
    END IF;
    RETURN least(1, greatest(-1, product / (length_a * length_b)));
END
$$;
COMMENT ON FUNCTION skylike.similarity(halfvec, halfvec) IS
'Cosine of two embeddings in float64; NULL where one is zero and has no direction.';

CREATE FUNCTION skylike.similarity(a integer, b integer) RETURNS double precision
LANGUAGE sql STABLE STRICT PARALLEL SAFE
RETURN skylike.similarity(skylike.embedding_of(a), skylike.embedding_of(b));
COMMENT ON FUNCTION skylike.similarity(integer, integer) IS
'Cosine of the embeddings of two galaxies by the active encoder, in float64; NULL where one has none.';

-- The words of cuts on the command line, for conditions anywhere: dear, so that the planner looks at them
-- last.
CREATE FUNCTION skylike.has_label(galaxy_id integer, name text) RETURNS boolean
LANGUAGE sql STABLE STRICT PARALLEL SAFE COST 1000
RETURN EXISTS (
    SELECT FROM skylike.label AS l
    WHERE l.galaxy_id = has_label.galaxy_id AND l.name = has_label.name AND l.is_member
);
COMMENT ON FUNCTION skylike.has_label(integer, text) IS
'Did anybody say that a galaxy is a member of a label? As has_label of the command line.';

CREATE FUNCTION skylike.score(galaxy_id integer, name text) RETURNS real
LANGUAGE sql STABLE STRICT PARALLEL SAFE COST 1000
RETURN (
    SELECT s.score FROM skylike.classifier_score AS s
    WHERE s.galaxy_id = score.galaxy_id AND s.name = score.name
);
COMMENT ON FUNCTION skylike.score(integer, text) IS
'Score of a galaxy by the classifier of a label, from 0 to 1, or NULL: the column score_<name> of the command line.';

CREATE FUNCTION skylike.active_encoder() RETURNS skylike.encoder
LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
DECLARE
    active skylike.encoder;
BEGIN
    SELECT n.* INTO active FROM skylike.encoder AS n WHERE n.is_active;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no encoder is active'
            USING ERRCODE = 'no_data_found', HINT = 'Whoever runs this database does `skylike encoder activate NAME`.';
    ELSIF active.compact_slack IS NULL THEN
        RAISE EXCEPTION 'encoder % has embedded no galaxy yet', active.name
            USING ERRCODE = 'no_data_found',
                HINT = format('Whoever runs this database does `skylike embed --encoder %s`.', active.name);
    END IF;
    RETURN active;
END
$$;
COMMENT ON FUNCTION skylike.active_encoder() IS
'The encoder that searches use; raises where there is none, or where it has embedded nothing.';

-- The server's own parser has the last word on a cut; this only sees to it that what comes to stand
-- between our parentheses cannot end before them or reach beyond them.
CREATE FUNCTION skylike.check_cut(cut text) RETURNS void
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
    -- The cut without what is quoted.
    bare text := regexp_replace(
        cut, $re$\m[eE]'(?:[^'\\]|''|\\.)*'|'(?:[^']|'')*'|"(?:[^"]|"")*"$re$, ' quoted ', 'g'
    );
    depth integer := 0;
    wrong text;
    parenthesis text;
BEGIN
    wrong := CASE
        WHEN bare ~ '^\s*$' THEN 'is empty'
        WHEN bare ~ '[''"]' THEN 'has a quote that is not closed'
        WHEN bare ~ ';' THEN 'has a semicolon'
        WHEN bare ~ '--|/\*' THEN 'has a comment'
        WHEN bare ~ '\$' THEN 'has a dollar sign'
    END;
    FOR parenthesis IN SELECT m[1] FROM regexp_matches(bare, '[()]', 'g') AS m LOOP
        depth := depth + CASE parenthesis WHEN '(' THEN 1 ELSE -1 END;
        wrong := coalesce(wrong, CASE WHEN depth < 0 THEN 'closes a parenthesis that it did not open' END);
    END LOOP;
    wrong := coalesce(wrong, CASE WHEN depth > 0 THEN 'does not close a parenthesis' END);
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'the cut % %', quote_literal(cut), wrong
            USING ERRCODE = 'syntax_error',
                HINT = 'A cut is one condition, as after WHERE: ''mag_r < 18 AND mag_g - mag_r < 0.6''. NULL takes every galaxy.';
    END IF;
END
$$;
COMMENT ON FUNCTION skylike.check_cut(text) IS
'Raises unless a cut is one expression by its quotes and parentheses: no comment, no second statement.';

-- The columns copied beside the compact vectors where the cut needs no other, else galaxy.
CREATE FUNCTION skylike.rows_of_cut(encoder_id integer, cut text) RETURNS text
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    -- The planner leaves this join out where the cut does not name the survey.
    survey text := ' LEFT JOIN (SELECT survey_id, name AS survey FROM skylike.survey) AS named USING (survey_id)';
    copied text := 'skylike.embedding_compact AS galaxy' || survey;
    joined text := format(
        '(SELECT galaxy_id, compact FROM skylike.embedding_compact WHERE encoder_id = %s) AS compact'
        ' JOIN skylike.galaxy AS galaxy USING (galaxy_id)', encoder_id
    ) || survey;
    -- On lines of its own: an error shows it as it was written.
    condition text := coalesce(E'(\n' || cut || E'\n)', 'true');
    tried text;
    hint text;
BEGIN
    PERFORM skylike.check_cut(cut);
    FOREACH tried IN ARRAY ARRAY[
        format('%s WHERE encoder_id = %s AND %s', copied, encoder_id, condition),
        format('%s WHERE %s', joined, condition)
    ] LOOP
        BEGIN
            EXECUTE 'SELECT FROM ' || tried || ' LIMIT 0';
            RETURN tried;
        EXCEPTION
            WHEN undefined_column THEN
                CONTINUE WHEN NOT starts_with(tried, '(');
                GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
                RAISE EXCEPTION '% (in the cut %)', SQLERRM, quote_literal(cut)
                    USING ERRCODE = SQLSTATE,
                        HINT = coalesce(nullif(hint, ''), 'Its columns are those of skylike.galaxy, and survey.');
            WHEN syntax_error_or_access_rule_violation THEN
                GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
                RAISE EXCEPTION '% (in the cut %)', SQLERRM, quote_literal(cut)
                    USING ERRCODE = SQLSTATE,
                        HINT = coalesce(nullif(hint, ''), 'A cut is one condition, as after WHERE: ''mag_r < 18 AND mag_g - mag_r < 0.6''.');
        END;
    END LOOP;
END
$$;
COMMENT ON FUNCTION skylike.rows_of_cut(integer, text) IS
'FROM and WHERE of the rows of embedding_compact that meet a cut; raises with the words of the cut where it is wrong.';

-- As embeddings/compact.py projects, with float32 vectors whose lengths pgvector sums in float64: in 2 ms
-- where sums in SQL take 20. y = (|x + axis|^2 - |x - axis|^2) / 4. With u = 2^-24 and |x| <= 2:
--   x and an axis are rounded by 2u and 4u, their sum and difference by u: each of the m entries of y
--   errs by at most 15u;
--   what the axes leave of x is off by what that makes, 15u sqrt(m), by 12u sqrt(m) from the axes, their
--   products with y and the rounding of y (avg sums in float64), and by less than 10u from x and the end.
-- Together less than (40 sqrt(m) + 10) u. Axes that are not quite orthonormal stretch a distance by what
-- compact_slack grants; the rest is measured with the same axes, so that nothing else depends on it.
CREATE FUNCTION skylike.project_query(
    query double precision[], OUT compact halfvec, OUT slack double precision
)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = skylike, public, pg_temp
AS $$
DECLARE
    active skylike.encoder := skylike.active_encoder();
    m integer := active.compact_components;
    u double precision := power(2::double precision, -24);
    -- Adding it and taking it away rounds to multiples of 2^-33: a product of two numbers that are next to
    -- nothing would vanish, and pgvector fails where one does.
    coarse vector := array_fill(power(2::double precision, -10)::real, ARRAY[active.dimension]);
    x vector;
    y double precision[];
BEGIN
    SELECT array_agg(entry.x / length.l - mean ORDER BY n)::vector
    INTO x
    FROM unnest(query, active.mean) WITH ORDINALITY AS entry (x, mean, n)
    CROSS JOIN (SELECT sqrt(sum(q * q)) AS l FROM unnest(query) AS q) AS length;
    SELECT
        array_agg(along.y ORDER BY along.component)
        || vector_norm(x - avg(array_fill((m * along.y)::real, ARRAY[active.dimension])::vector * along.axis))
    INTO y
    FROM (
        SELECT component, axis, CASE WHEN abs(entry) > 1e-9 THEN entry ELSE 0 END AS y
        FROM (
            SELECT c.component, c.direction::vector + coarse - coarse AS axis
            FROM skylike.encoder_component AS c
            WHERE c.encoder_id = active.encoder_id
            OFFSET 0
        ) AS basis
        CROSS JOIN LATERAL (
            SELECT (power(vector_norm(x + axis), 2) - power(vector_norm(x - axis), 2)) / 4 AS entry OFFSET 0
        ) AS projected
        OFFSET 0
    ) AS along;
    compact := y::halfvec;
    SELECT sqrt(sum(power(exact - rounded, 2))) INTO slack
    FROM unnest(y, compact::real[]) AS entry (exact, rounded);
    -- The last term: pgvector sums m + 1 squares in float32.
    slack := slack + (40 * sqrt(m) + 10) * u + 2 * (m + 4) * u;
END
$$;
COMMENT ON FUNCTION skylike.project_query(double precision[]) IS
'Compact vector of a vector from outside, and the bound of its rounding, as encoder.compact_slack bounds it for stored ones.';

-- Bands of declination a little wider than the separation: what is close lies in the same or the next.
CREATE FUNCTION skylike.close_pairs(
    ras double precision[],
    decs double precision[],
    other_ras double precision[],
    other_decs double precision[],
    min_separation double precision
) RETURNS TABLE (place integer, other integer)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    WITH point AS MATERIALIZED (
        SELECT ra, "dec", n, floor("dec" / greatest(1.000001 * min_separation, 1e-9)) AS band
        FROM unnest(ras, decs) WITH ORDINALITY AS given (ra, "dec", n)
    ),
    near AS MATERIALIZED (
        SELECT ra, "dec", n, floor("dec" / greatest(1.000001 * min_separation, 1e-9)) AS band
        FROM unnest(other_ras, other_decs) WITH ORDINALITY AS given (ra, "dec", n)
    )
    SELECT point.n::integer, near.n::integer
    FROM point
    CROSS JOIN (VALUES (-1), (0), (1)) AS neighboring (step)
    JOIN near ON near.band = point.band + neighboring.step
    WHERE skylike.separation(point.ra, point."dec", near.ra, near."dec") < min_separation
$$;
COMMENT ON FUNCTION skylike.close_pairs(double precision[], double precision[], double precision[], double precision[], double precision) IS
'Pairs of places, from 1, in two lists of ICRS positions that lie closer than min_separation, all in degrees.';

-- As search/separate.py does.
CREATE FUNCTION skylike.keep_separated(
    ras double precision[],
    decs double precision[],
    taken_ras double precision[],
    taken_decs double precision[],
    min_separation double precision
) RETURNS integer[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    is_dropped boolean[] := array_fill(false, ARRAY[cardinality(ras)]);
    pair record;
BEGIN
    IF min_separation > 0 THEN
        FOR pair IN SELECT DISTINCT c.place FROM skylike.close_pairs(ras, decs, taken_ras, taken_decs, min_separation) AS c LOOP
            is_dropped[pair.place] := true;
        END LOOP;
        -- In this order it is settled whether the better one of a pair is kept.
        FOR pair IN
            SELECT c.place, c.other
            FROM skylike.close_pairs(ras, decs, ras, decs, min_separation) AS c
            WHERE c.other < c.place
            ORDER BY c.place, c.other
        LOOP
            is_dropped[pair.place] := is_dropped[pair.place] OR NOT is_dropped[pair.other];
        END LOOP;
    END IF;
    RETURN ARRAY(SELECT n FROM unnest(is_dropped) WITH ORDINALITY AS entry (dropped, n) WHERE NOT dropped ORDER BY n);
END
$$;
COMMENT ON FUNCTION skylike.keep_separated(double precision[], double precision[], double precision[], double precision[], double precision) IS
'Places, from 1, of the positions that are not closer than min_separation (degrees) to a taken one or to an earlier one that is kept.';

-- The search itself. Scores are cosines, or their negatives for the least similar, so that the best is
-- always the largest. Three numbers, each dearer and better than the one before:
--   ceiling   from the compact vector, of every row that meets the cut: its score is not above it;
--   score     by pgvector in float32, of the rows with the highest ceilings: true to within an error;
--   exact     in float64, of the rows about to be placed.
-- A row is placed once its exact score is above what any row not placed can have: strictly above, as a
-- row with the same score could have the lower galaxy_id.
CREATE FUNCTION skylike.rank_by_similarity(
    query halfvec,
    query_rest vector,
    query_compact halfvec,
    slack double precision,
    query_galaxy integer,
    k integer,
    cut text,
    min_separation double precision,
    least_similar boolean
) RETURNS TABLE (rank integer, galaxy_id integer, similarity double precision, separation double precision)
LANGUAGE plpgsql STABLE ROWS 100
SET search_path = skylike, public, pg_temp
SET jit = off
SET standard_conforming_strings = on
AS $$
#variable_conflict use_column
DECLARE
    active skylike.encoder := skylike.active_encoder();
    sign integer := CASE WHEN least_similar THEN -1 ELSE 1 END;
    apart double precision := min_separation / 3600;
    length double precision;
    error double precision;
    scan text;
    -- The rows with the highest ceilings, best first; a longer list begins with the shorter one.
    n_fetched integer := 0;
    ids integer[] := '{}';
    ceilings double precision[];
    ras double precision[];
    decs double precision[];
    is_all boolean := false;
    ceiling double precision;
    -- Places in that list: refined is how many have a score; pending are those that may yet be placed.
    refined integer := 0;
    wanted integer := k + k / 8 + 24;
    pending integer[] := '{}';
    scores double precision[] := '{}';
    n_certain integer;
    lowest double precision;
    highest_left double precision;
    placed integer[];
    placed_scores double precision[];
    chosen integer[];
    n_exact integer := 0;
    -- The answer, and all positions that a result must keep away from.
    kept integer[] := '{}';
    kept_scores double precision[] := '{}';
    taken_ras double precision[] := '{}';
    taken_decs double precision[] := '{}';
    query_ra double precision;
    query_dec double precision;
BEGIN
    IF k IS NULL OR k NOT BETWEEN 1 AND 10000 THEN
        RAISE EXCEPTION 'k is %; ask for 1 to 10000 galaxies', coalesce(k::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value';
    ELSIF min_separation IS NULL OR min_separation NOT BETWEEN 0 AND 648000 THEN
        RAISE EXCEPTION 'min_separation is %; it is an angle from 0 to 648000 arcsec', coalesce(min_separation::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value', HINT = '0 keeps results however near they are.';
    END IF;

    SELECT g.ra, g."dec" INTO query_ra, query_dec FROM skylike.galaxy AS g WHERE g.galaxy_id = query_galaxy;
    IF query_ra IS NOT NULL THEN
        taken_ras := ARRAY[query_ra];
        taken_decs := ARRAY[query_dec];
    END IF;

    -- cosine_error_bound of search/exact.py, and how far rounding to float16 turns the query:
    -- |a / |a| - b / |b|| is at most 2 |a - b| / |b|.
    error := active.dimension * power(2::double precision, -24);
    error := 2 * (error / (1 - error)) / (1 - error / (1 - error)) + 1e-12;
    IF query_rest IS NOT NULL THEN
        length := vector_norm(query::vector + query_rest);
        error := error + 2 * vector_norm(query_rest) / length;
    END IF;

    -- With the rest negated, no two rests differ more: the distance is never below the true one.
    IF least_similar THEN
        query_compact := subvector(query_compact, 1, active.compact_components)
            || ARRAY[-(query_compact::real[])[active.compact_components + 1]]::halfvec;
    END IF;
    -- The + 0 keeps approximate indexes out, whoever made them.
    scan := format(
        'SELECT array_agg(galaxy_id), array_agg(%s), array_agg(ra), array_agg("dec") FROM ('
        'SELECT galaxy.galaxy_id, (compact <-> $1) + 0 AS distance, galaxy.ra, galaxy."dec" FROM %s'
        ' AND galaxy.galaxy_id IS DISTINCT FROM $2 ORDER BY distance %s, galaxy.galaxy_id LIMIT $3) AS nearest',
        CASE
            WHEN least_similar THEN 'power(distance + $4, 2) / 2 - 1'
            ELSE '1 - power(greatest(distance - $4, 0), 2) / 2'
        END,
        skylike.rows_of_cut(active.encoder_id, cut),
        CASE WHEN least_similar THEN 'DESC' ELSE 'ASC' END
    );

    WHILE cardinality(kept) < k LOOP
        SELECT count(*) INTO n_certain FROM unnest(scores) AS s WHERE s - error > ceiling;
        IF n_certain >= k - cardinality(kept) OR (n_certain > 0 AND ceiling = '-infinity') THEN
            -- The scores of as many certain rows as are missing, and of all that may rank among them.
            SELECT min(s) INTO lowest
            FROM (
                SELECT s FROM unnest(scores) AS s
                WHERE s - error > ceiling ORDER BY s DESC LIMIT k - cardinality(kept)
            ) AS best;
            SELECT greatest(ceiling, max(s) + error) INTO highest_left
            FROM unnest(scores) AS s
            WHERE s < lowest - 2 * error;
            SELECT
                array_agg(compared.place ORDER BY compared.exact DESC, compared.id),
                array_agg(compared.exact ORDER BY compared.exact DESC, compared.id),
                n_exact + count(*)
            INTO placed, placed_scores, n_exact
            FROM (
                SELECT entry.place, e.galaxy_id AS id, sign * CASE
                    WHEN query_rest IS NULL THEN skylike.similarity(e.embedding, query)
                    ELSE least(1, greatest(-1, skylike.similarity(e.embedding, query) * l2_norm(query) / length + (
                        SELECT sum(entry::double precision)
                        FROM (SELECT unnest((e.embedding::vector * query_rest)::real[]) AS entry) AS products
                    ) / (l2_norm(e.embedding) * length)))
                END AS exact
                FROM unnest(pending, scores) AS entry (place, score)
                JOIN skylike.embedding AS e
                    ON e.encoder_id = active.encoder_id AND e.galaxy_id = ids[entry.place]
                WHERE entry.score >= lowest - 2 * error
                OFFSET 0
            ) AS compared
            WHERE compared.exact > highest_left;

            chosen := (skylike.keep_separated(
                ARRAY(SELECT ras[p] FROM unnest(placed) WITH ORDINALITY AS entry (p, n) ORDER BY n),
                ARRAY(SELECT decs[p] FROM unnest(placed) WITH ORDINALITY AS entry (p, n) ORDER BY n),
                taken_ras, taken_decs, apart
            ))[:k - cardinality(kept)];
            kept_scores := kept_scores
                || ARRAY(SELECT placed_scores[c] FROM unnest(chosen) WITH ORDINALITY AS entry (c, n) ORDER BY n);
            chosen := ARRAY(SELECT placed[c] FROM unnest(chosen) WITH ORDINALITY AS entry (c, n) ORDER BY n);
            kept := kept || chosen;
            taken_ras := taken_ras || ARRAY(SELECT ras[p] FROM unnest(chosen) AS p);
            taken_decs := taken_decs || ARRAY(SELECT decs[p] FROM unnest(chosen) AS p);
        ELSIF ceiling = '-infinity' THEN
            EXIT;
        ELSE
            -- With enough scores it is known which ceilings still matter.
            IF cardinality(scores) >= k - cardinality(kept) AND refined > 0 THEN
                SELECT s INTO lowest FROM unnest(scores) AS s ORDER BY s DESC LIMIT 1 OFFSET k - cardinality(kept) - 1;
                SELECT count(*) INTO wanted FROM unnest(ceilings) AS c WHERE c >= lowest - error;
            ELSIF refined > 0 THEN
                wanted := 2 * refined;
            END IF;
            IF refined = cardinality(ids) THEN
                n_fetched := greatest(16 * k + 3000, 8 * n_fetched);
                EXECUTE scan INTO ids, ceilings, ras, decs USING query_compact, query_galaxy, n_fetched, slack;
                ids := coalesce(ids, '{}');
                is_all := cardinality(ids) < n_fetched;
            END IF;
            wanted := least(greatest(wanted, refined + 1), cardinality(ids));
            placed := '{}';
            SELECT pending || coalesce(array_agg(compared.place), '{}'), scores || coalesce(array_agg(compared.score), '{}')
            INTO pending, scores
            FROM (
                SELECT entry.n + refined AS place, sign * (1 - (e.embedding <=> query)) AS score
                FROM unnest(ids[refined + 1:wanted]) WITH ORDINALITY AS entry (id, n)
                JOIN skylike.embedding AS e ON e.encoder_id = active.encoder_id AND e.galaxy_id = entry.id
            ) AS compared
            WHERE compared.score <> 'NaN';
            refined := wanted;
            ceiling := CASE
                WHEN refined < cardinality(ids) THEN ceilings[refined + 1]
                WHEN is_all THEN '-infinity'
                ELSE ceilings[refined]
            END;
        END IF;

        -- What is placed, or too near to what is, is no longer pending.
        IF apart > 0 THEN
            placed := placed || ARRAY(
                SELECT pending[near.place]
                FROM skylike.close_pairs(
                    ARRAY(SELECT ras[p] FROM unnest(pending) WITH ORDINALITY AS entry (p, n) ORDER BY n),
                    ARRAY(SELECT decs[p] FROM unnest(pending) WITH ORDINALITY AS entry (p, n) ORDER BY n),
                    taken_ras, taken_decs, apart
                ) AS near
            );
        END IF;
        SELECT coalesce(array_agg(entry.place), '{}'), coalesce(array_agg(entry.score), '{}')
        INTO pending, scores
        FROM unnest(pending, scores) AS entry (place, score)
        WHERE NOT EXISTS (SELECT FROM unnest(placed) AS p WHERE p = entry.place);
    END LOOP;

    RAISE DEBUG 'similar_to: % compact vectors ranked, % embeddings compared in float32, % in float64',
        cardinality(ids), refined, n_exact;
    IF cardinality(kept) < k THEN
        RAISE NOTICE '% of % rows: only % galaxies have an embedding%', cardinality(kept), k, cardinality(ids),
            coalesce(' and meet the cut ' || quote_literal(cut), '')
            || CASE
                WHEN cardinality(ids) = cardinality(kept) THEN ''
                ELSE format('; results closer than %s arcsec to the query or to a better one are left out', min_separation)
            END;
    END IF;
    RETURN QUERY
    SELECT
        entry.n::integer, ids[entry.place], sign * entry.score,
        CASE WHEN query_ra IS NOT NULL THEN skylike.separation(ras[entry.place], decs[entry.place], query_ra, query_dec) END
    FROM unnest(kept, kept_scores) WITH ORDINALITY AS entry (place, score, n)
    ORDER BY entry.n;
END
$$;
COMMENT ON FUNCTION skylike.rank_by_similarity(halfvec, vector, halfvec, double precision, integer, integer, text, double precision, boolean) IS
'What the functions similar_to share; call those. query and query_rest, NULL where there is none, add up to what is asked for, and products with each are exact in float32; slack bounds the rounding of two compact vectors.';

CREATE FUNCTION skylike.similar_to(
    galaxy integer,
    k integer DEFAULT 10,
    cut text DEFAULT NULL,
    min_separation double precision DEFAULT 25.152,
    least_similar boolean DEFAULT false
) RETURNS TABLE (rank integer, galaxy_id integer, similarity double precision, separation double precision)
LANGUAGE plpgsql STABLE ROWS 100
SET search_path = skylike, public, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    active skylike.encoder := skylike.active_encoder();
    is_there boolean;
    stored halfvec;
    stored_compact halfvec;
BEGIN
    -- As from an outer join: nothing is similar to nothing.
    IF galaxy IS NULL THEN
        RETURN;
    END IF;
    -- A vector of its own, or each comparison would read it from the table again.
    SELECT true, subvector(e.embedding, 1, active.dimension), c.compact INTO is_there, stored, stored_compact
    FROM skylike.galaxy AS g
    LEFT JOIN skylike.embedding AS e ON e.encoder_id = active.encoder_id AND e.galaxy_id = g.galaxy_id
    LEFT JOIN skylike.embedding_compact AS c ON c.encoder_id = active.encoder_id AND c.galaxy_id = g.galaxy_id
    WHERE g.galaxy_id = galaxy;
    IF is_there IS NULL THEN
        RAISE EXCEPTION 'galaxy % is not in the database', galaxy
            USING ERRCODE = 'no_data_found',
                HINT = 'Look its galaxy_id up in skylike.galaxy, or ask by position with similar_to_position(ra, dec).';
    ELSIF stored IS NULL THEN
        RAISE EXCEPTION 'galaxy % has no embedding by encoder %', galaxy, active.name
            USING ERRCODE = 'no_data_found',
                HINT = format('Whoever runs this database gives it an image (`skylike images`), then does `skylike embed --encoder %s`.', active.name);
    ELSIF stored_compact IS NULL THEN
        RAISE EXCEPTION 'the embedding of galaxy % is zero: nothing is similar to it', galaxy
            USING ERRCODE = 'no_data_found', HINT = 'Its image may be empty.';
    END IF;
    RETURN QUERY SELECT * FROM skylike.rank_by_similarity(
        stored, NULL, stored_compact, 2 * active.compact_slack,
        galaxy, k, cut, min_separation, least_similar
    );
END
$$;
COMMENT ON FUNCTION skylike.similar_to(integer, integer, text, double precision, boolean) IS
'The k galaxies most (or least) similar to a galaxy among those that meet a cut, exact; similarity is the cosine, separation is from the query in degrees, min_separation is in arcsec.';

CREATE FUNCTION skylike.similar_to(
    query vector,
    k integer DEFAULT 10,
    cut text DEFAULT NULL,
    min_separation double precision DEFAULT 25.152,
    least_similar boolean DEFAULT false
) RETURNS TABLE (rank integer, galaxy_id integer, similarity double precision, separation double precision)
LANGUAGE plpgsql STABLE ROWS 100
SET search_path = skylike, public, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    active skylike.encoder := skylike.active_encoder();
    largest double precision;
    scaled vector;
    rounded halfvec;
    rest vector;
    projection record;
BEGIN
    IF query IS NULL THEN
        RAISE EXCEPTION 'the vector to compare with is NULL'
            USING ERRCODE = 'null_value_not_allowed', HINT = 'embedding_of is NULL for a galaxy without an embedding, and so is a mean of no rows.';
    ELSIF vector_dims(query) <> active.dimension THEN
        RAISE EXCEPTION 'the vector has % entries, embeddings by the active encoder % have %',
            vector_dims(query), active.name, active.dimension
            USING ERRCODE = 'data_exception';
    END IF;
    SELECT max(abs(x::double precision)) INTO largest FROM unnest(query::real[]) AS x;
    IF largest = 0 THEN
        RAISE EXCEPTION 'the vector is zero: nothing is similar to it' USING ERRCODE = 'data_exception';
    END IF;
    -- Where it needs it, by a power of two, which rounds nothing; then as the sum of two vectors of few
    -- enough digits. What is below 1e-20 of the largest entry changes no cosine and could vanish in a product.
    SELECT array_agg(CASE WHEN abs(x) > 1e-20 * largest THEN x * scale ELSE 0 END ORDER BY n)::vector
    INTO scaled
    FROM unnest(query::real[]) WITH ORDINALITY AS entry (x, n)
    CROSS JOIN power(
        2::double precision, CASE WHEN largest BETWEEN 0.01 AND 1 THEN 0 ELSE -floor(ln(largest) / ln(2::double precision)) END
    ) AS scale;
    rounded := scaled::halfvec;
    rest := scaled - rounded::vector;
    SELECT p.compact, p.slack INTO projection FROM skylike.project_query(scaled::real[]::double precision[]) AS p;
    RETURN QUERY SELECT * FROM skylike.rank_by_similarity(
        rounded,
        CASE WHEN vector_norm(rest) > 0 THEN rest END,
        projection.compact, active.compact_slack + projection.slack,
        NULL, k, cut, min_separation, least_similar
    );
END
$$;
COMMENT ON FUNCTION skylike.similar_to(vector, integer, text, double precision, boolean) IS
'The k galaxies most (or least) similar to a vector of any length, as similar_to of a galaxy.';

CREATE FUNCTION skylike.similar_to(
    query halfvec,
    k integer DEFAULT 10,
    cut text DEFAULT NULL,
    min_separation double precision DEFAULT 25.152,
    least_similar boolean DEFAULT false
) RETURNS TABLE (rank integer, galaxy_id integer, similarity double precision, separation double precision)
LANGUAGE sql STABLE ROWS 100
BEGIN ATOMIC
    SELECT s.rank, s.galaxy_id, s.similarity, s.separation
    FROM skylike.similar_to(query::vector, k, cut, min_separation, least_similar) AS s;
END;
COMMENT ON FUNCTION skylike.similar_to(halfvec, integer, text, double precision, boolean) IS
'The same for the type that embeddings have: similar_to(embedding_of(42)) leaves galaxy 42 itself among the answers.';

CREATE FUNCTION skylike.similar_to_position(
    ra double precision,
    "dec" double precision,
    k integer DEFAULT 10,
    cut text DEFAULT NULL,
    max_separation double precision DEFAULT 5,
    min_separation double precision DEFAULT 25.152,
    least_similar boolean DEFAULT false
) RETURNS TABLE (rank integer, galaxy_id integer, similarity double precision, separation double precision)
LANGUAGE plpgsql STABLE ROWS 100
SET search_path = skylike, public, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    active skylike.encoder := skylike.active_encoder();
    here text := format('%s %s', similar_to_position.ra, similar_to_position."dec");
    radius double precision := max_separation / 3600;
    nearest integer;
    away double precision;
    said text;
    without integer;
BEGIN
    IF (
        similar_to_position.ra >= 0 AND similar_to_position.ra < 360 AND similar_to_position."dec" BETWEEN -90 AND 90
    ) IS NOT TRUE THEN
        RAISE EXCEPTION 'ra %, dec % is no position', similar_to_position.ra, similar_to_position."dec"
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give ICRS degrees: ra from 0 to below 360, dec from -90 to 90.';
    ELSIF (max_separation > 0 AND max_separation <= 3600) IS NOT TRUE THEN
        RAISE EXCEPTION 'max_separation is %; it is an angle up to 3600 arcsec', coalesce(max_separation::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- In wider and wider cones, so that a refusal can say how far the nearest is.
    LOOP
        SELECT c.galaxy_id, skylike.separation(c.ra, c."dec", similar_to_position.ra, similar_to_position."dec") AS apart
        INTO nearest, away
        FROM skylike.embedding_compact AS c
        WHERE c.encoder_id = active.encoder_id
            AND skylike.in_cone(c.ra, c."dec", similar_to_position.ra, similar_to_position."dec", radius)
        ORDER BY apart, c.galaxy_id
        LIMIT 1;
        EXIT WHEN nearest IS NOT NULL OR radius >= 180;
        radius := least(180, 8 * radius);
    END LOOP;
    said := CASE
        WHEN 3600 * away < 60 THEN format('%s arcsec', round((3600 * away)::numeric, 2))
        WHEN 60 * away < 60 THEN format('%s arcmin', round((60 * away)::numeric, 2))
        ELSE format('%s deg', round(away::numeric, 2))
    END;
    IF nearest IS NULL OR 3600 * away > max_separation THEN
        SELECT g.galaxy_id INTO without
        FROM skylike.galaxy AS g
        WHERE skylike.in_cone(g.ra, g."dec", similar_to_position.ra, similar_to_position."dec", max_separation / 3600)
        ORDER BY skylike.separation(g.ra, g."dec", similar_to_position.ra, similar_to_position."dec"), g.galaxy_id
        LIMIT 1;
        RAISE EXCEPTION 'no embedded galaxy lies within % arcsec of %; the nearest is galaxy %, % away',
            max_separation, here, nearest, said
            USING ERRCODE = 'no_data_found',
                HINT = CASE
                    WHEN without IS NULL THEN format('similar_to(%s) asks for that one; max_separation allows more.', nearest)
                    ELSE format('Galaxy %s is there, but has no embedding.', without)
                END;
    END IF;
    RAISE NOTICE 'position % stands for galaxy %, % away', here, nearest, said;
    RETURN QUERY SELECT * FROM skylike.similar_to(nearest, k, cut, min_separation, least_similar);
END
$$;
COMMENT ON FUNCTION skylike.similar_to_position(double precision, double precision, integer, text, double precision, double precision, boolean) IS
'similar_to of the galaxy nearest to an ICRS position (degrees); refuses where it is farther than max_separation (arcsec) and says how far.';
