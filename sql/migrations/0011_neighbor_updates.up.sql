-- Neighbor runs that are brought up to date without a rebuild. An update under way is a run in state
-- 'building' that names the run it will change; it keeps the lists that differ in tables of its own, and
-- one transaction puts them into the base run and removes the update. A run whose sample is not all right
-- is never published: recall alone does not tell a wrong order.

ALTER TABLE skylike.neighbor_run
    ADD COLUMN base_run_id integer,
    ADD COLUMN revision integer NOT NULL DEFAULT 0,
    ADD COLUMN updated_at timestamp with time zone,
    ADD COLUMN wrong_in_sample integer,
    ADD CONSTRAINT neighbor_run_base_fkey FOREIGN KEY (base_run_id) REFERENCES skylike.neighbor_run (run_id),
    ADD CONSTRAINT neighbor_run_base_check CHECK (base_run_id IS NULL OR state = 'building'),
    ADD CONSTRAINT neighbor_run_revision_check CHECK (revision >= 0);
COMMENT ON COLUMN skylike.neighbor_run.base_run_id IS 'Run that an update under way brings up to date, NULL for all others [unit=none; ucd=meta.id]';
COMMENT ON COLUMN skylike.neighbor_run.revision IS 'How many times updates have changed its lists [unit=none; ucd=meta.version]';
COMMENT ON COLUMN skylike.neighbor_run.updated_at IS 'When it was last brought up to date, NULL if never since it was built [unit=none; ucd=time.processing]';
COMMENT ON COLUMN skylike.neighbor_run.wrong_in_sample IS 'Lists of the recall sample with anything wrong: member, order or similarity; NULL where not kept [unit=none; ucd=meta.number]';
CREATE UNIQUE INDEX neighbor_run_base_idx ON skylike.neighbor_run (base_run_id) WHERE base_run_id IS NOT NULL;
