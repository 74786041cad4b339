-- One cutout of each galaxy: the one that the encoder embedded, else the one changed last.
--   :galaxy_ids  integer[]
--   :encoder     text, name of the encoder
-- Plan: cutout_galaxy_kind_key and the primary key of the encoder's partition.
SELECT DISTINCT ON (c.galaxy_id) c.galaxy_id, c.cutout_id, c.file_id, c.file_row
FROM skylike.cutout AS c
LEFT JOIN skylike.encoder AS n ON n.name = :encoder
LEFT JOIN skylike.embedding AS e ON e.encoder_id = n.encoder_id AND e.galaxy_id = c.galaxy_id
WHERE c.galaxy_id = ANY(:galaxy_ids)
ORDER BY c.galaxy_id, (c.cutout_id = e.cutout_id) DESC NULLS LAST, c.updated_at DESC, c.cutout_id
