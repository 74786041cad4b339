-- Let readers see a run instead of the one that they saw; one statement, so nobody sees none or both.
--   :run_id      integer
--   :encoder_id  integer
UPDATE skylike.neighbor_run
SET
    state = CASE WHEN run_id = :run_id THEN 'published' ELSE 'superseded' END,
    published_at = CASE WHEN run_id = :run_id THEN now() ELSE published_at END
WHERE encoder_id = :encoder_id
  AND (run_id = :run_id OR state = 'published')
