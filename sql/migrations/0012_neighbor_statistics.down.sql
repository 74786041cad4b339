-- Takes back 0012_neighbor_statistics.up.sql, with the tables of runs that are not complete.

DROP VIEW skylike.duplicate_group;
DROP VIEW skylike.mutual_neighbor;
DROP VIEW skylike.neighborhood;
DROP TABLE skylike.neighbor_statistic;
DO $$
DECLARE
    leftover regclass;
BEGIN
    FOR leftover IN
        SELECT oid
        FROM pg_catalog.pg_class
        WHERE relnamespace = 'skylike'::regnamespace AND relkind = 'r' AND relname ~ '^neighbor_statistic_r\d+_next$'
    LOOP
        EXECUTE format('DROP TABLE %s', leftover);
    END LOOP;
END
$$;
