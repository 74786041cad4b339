-- Takes back 0011_neighbor_updates.up.sql. An update that is not finished is given up with its lists.

DO $$
DECLARE
    update_id integer;
BEGIN
    FOR update_id IN SELECT run_id FROM skylike.neighbor_run WHERE base_run_id IS NOT NULL LOOP
        EXECUTE format('DROP TABLE IF EXISTS skylike.%I, skylike.%I', 'neighbor_list_r' || update_id, 'neighbor_similarity_r' || update_id);
        DELETE FROM skylike.neighbor_run WHERE run_id = update_id;
    END LOOP;
END
$$;
DROP INDEX skylike.neighbor_run_base_idx;
ALTER TABLE skylike.neighbor_run
    DROP COLUMN wrong_in_sample,
    DROP COLUMN updated_at,
    DROP COLUMN revision,
    DROP COLUMN base_run_id;
