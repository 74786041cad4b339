-- Takes back 0006_compact.up.sql.

DROP TABLE skylike.search_calibration;
ALTER TABLE skylike.neighbor_run DROP COLUMN input_snapshot;
ALTER TABLE skylike.catalog_load DROP COLUMN load_xact;
ALTER TABLE skylike.encoder DROP COLUMN embedded_xact;
CREATE OR REPLACE FUNCTION skylike.copy_galaxy_to_compact() RETURNS trigger
LANGUAGE plpgsql
SET search_path = skylike, public
AS $$
BEGIN
    UPDATE skylike.embedding_compact AS c
    SET ra = n.ra, "dec" = n."dec", healpix29 = n.healpix29, mag_g = n.mag_g, mag_r = n.mag_r, mag_z = n.mag_z
    FROM new_galaxy AS n
    WHERE c.galaxy_id = n.galaxy_id
      AND (c.ra, c."dec", c.healpix29, c.mag_g, c.mag_r, c.mag_z)
          IS DISTINCT FROM (n.ra, n."dec", n.healpix29, n.mag_g, n.mag_r, n.mag_z);
    RETURN NULL;
END
$$;
DROP INDEX skylike.embedding_compact_healpix29_idx;
DROP INDEX skylike.embedding_compact_dec_ra_idx;
DROP INDEX skylike.embedding_compact_mag_r_idx;
DROP INDEX skylike.embedding_compact_mag_g_idx;
DROP INDEX skylike.embedding_compact_mag_z_idx;
DROP INDEX skylike.embedding_compact_z_phot_idx;
ALTER TABLE skylike.embedding_compact
    DROP COLUMN survey_id,
    DROP COLUMN z_phot,
    DROP COLUMN z_spec,
    DROP COLUMN ebv,
    DROP COLUMN maskbits,
    DROP COLUMN type;
