-- Every cutout of some kinds with what training needs of its galaxy, in the order on disk.
--   :kinds              text[]   'flux', 'rgb'
--   :with_galaxy_only   boolean  leave out cutouts that belong to no galaxy
-- No NULLs and fixed widths: the rows are read as a binary array (images/store.py).
SELECT
    cutout.cutout_id,
    coalesce(cutout.galaxy_id, -1) AS galaxy_id,
    cutout.file_id,
    cutout.file_row,
    coalesce(galaxy.ebv, 'NaN'::real) AS ebv,
    coalesce(galaxy.psf_size_g, 'NaN'::real) AS psf_size_g,
    coalesce(galaxy.psf_size_r, 'NaN'::real) AS psf_size_r,
    coalesce(galaxy.psf_size_z, 'NaN'::real) AS psf_size_z
FROM skylike.cutout
LEFT JOIN skylike.galaxy ON galaxy.galaxy_id = cutout.galaxy_id
WHERE cutout.kind = ANY (:kinds)
    AND (cutout.galaxy_id IS NOT NULL OR NOT :with_galaxy_only)
ORDER BY cutout.file_id, cutout.file_row
