-- Where the pixels of some galaxies are: the cutout that the active encoder embedded, else flux before picture.
--   :galaxy_ids  integer[]
-- Plan: cutout_galaxy_kind_key and the primary key of the encoder's partition.
SELECT DISTINCT ON (c.galaxy_id)
    c.galaxy_id,
    file.path AS cutout_file,
    c.file_row AS cutout_row,
    c.kind AS cutout_kind
FROM skylike.cutout AS c
JOIN skylike.image_file AS file ON file.file_id = c.file_id
LEFT JOIN skylike.encoder AS n ON n.is_active
LEFT JOIN skylike.embedding AS e ON e.encoder_id = n.encoder_id AND e.galaxy_id = c.galaxy_id
WHERE c.galaxy_id = ANY (CAST(:galaxy_ids AS integer[]))
ORDER BY c.galaxy_id, (c.cutout_id = e.cutout_id) DESC NULLS LAST, c.kind, c.cutout_id
