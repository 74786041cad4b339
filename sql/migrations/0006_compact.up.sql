-- Compact vectors carry the columns that cuts use most; what searches cost on this server.

-- Columns that cuts name often lie beside the compact vector: a cut that needs no other is answered
-- without a join (measured at a million rows, 100,000 of them matching: 80 ms instead of 230 ms).
ALTER TABLE skylike.embedding_compact
    ADD COLUMN survey_id integer,
    ADD COLUMN z_phot real,
    ADD COLUMN z_spec real,
    ADD COLUMN ebv real,
    ADD COLUMN maskbits integer,
    ADD COLUMN type text;
COMMENT ON COLUMN skylike.embedding_compact.survey_id IS 'Copy of galaxy.survey_id [unit=none; ucd=meta.id;meta.dataset]';
COMMENT ON COLUMN skylike.embedding_compact.z_phot IS 'Copy of galaxy.z_phot [unit=none; ucd=src.redshift.phot]';
COMMENT ON COLUMN skylike.embedding_compact.z_spec IS 'Copy of galaxy.z_spec [unit=none; ucd=src.redshift]';
COMMENT ON COLUMN skylike.embedding_compact.ebv IS 'Copy of galaxy.ebv [unit=mag; ucd=phot.color.excess]';
COMMENT ON COLUMN skylike.embedding_compact.maskbits IS 'Copy of galaxy.maskbits [unit=none; ucd=meta.code.qual]';
COMMENT ON COLUMN skylike.embedding_compact.type IS 'Copy of galaxy.type [unit=none; ucd=src.morph.type]';

UPDATE skylike.embedding_compact AS c
SET survey_id = g.survey_id, z_phot = g.z_phot, z_spec = g.z_spec, ebv = g.ebv, maskbits = g.maskbits, type = g.type
FROM skylike.galaxy AS g
WHERE g.galaxy_id = c.galaxy_id;
ALTER TABLE skylike.embedding_compact ALTER COLUMN survey_id SET NOT NULL;

-- A partition that is attached brings its own, or gets them. Those on what cuts name most hold the whole
-- row: the galaxies in a range of magnitudes lie side by side there, all over the pages of the table
-- (measured at a million rows: 10,000 in 6 ms instead of 18 ms, 100,000 in 22 ms instead of 66 ms).
CREATE INDEX embedding_compact_healpix29_idx ON skylike.embedding_compact (healpix29);
CREATE INDEX embedding_compact_dec_ra_idx ON skylike.embedding_compact ("dec", ra);
CREATE INDEX embedding_compact_mag_g_idx ON skylike.embedding_compact (mag_g)
    INCLUDE (encoder_id, galaxy_id, compact, ra, "dec", healpix29, mag_r, mag_z, survey_id, z_phot, z_spec, ebv, maskbits, type);
CREATE INDEX embedding_compact_mag_r_idx ON skylike.embedding_compact (mag_r)
    INCLUDE (encoder_id, galaxy_id, compact, ra, "dec", healpix29, mag_g, mag_z, survey_id, z_phot, z_spec, ebv, maskbits, type);
CREATE INDEX embedding_compact_mag_z_idx ON skylike.embedding_compact (mag_z)
    INCLUDE (encoder_id, galaxy_id, compact, ra, "dec", healpix29, mag_g, mag_r, survey_id, z_phot, z_spec, ebv, maskbits, type);
CREATE INDEX embedding_compact_z_phot_idx ON skylike.embedding_compact (z_phot)
    INCLUDE (encoder_id, galaxy_id, compact, ra, "dec", healpix29, mag_g, mag_r, mag_z, survey_id, z_spec, ebv, maskbits, type);

-- Copies in embedding_compact follow the catalog by themselves, whoever updates it.
CREATE OR REPLACE FUNCTION skylike.copy_galaxy_to_compact() RETURNS trigger
LANGUAGE plpgsql
SET search_path = skylike, public
AS $$
BEGIN
    UPDATE skylike.embedding_compact AS c
    SET ra = n.ra, "dec" = n."dec", healpix29 = n.healpix29, survey_id = n.survey_id, mag_r = n.mag_r,
        mag_g = n.mag_g, mag_z = n.mag_z, z_phot = n.z_phot, z_spec = n.z_spec, ebv = n.ebv,
        maskbits = n.maskbits, type = n.type
    FROM new_galaxy AS n
    WHERE c.galaxy_id = n.galaxy_id
      AND (c.ra, c."dec", c.healpix29, c.survey_id, c.mag_r, c.mag_g, c.mag_z, c.z_phot, c.z_spec, c.ebv, c.maskbits, c.type)
          IS DISTINCT FROM
          (n.ra, n."dec", n.healpix29, n.survey_id, n.mag_r, n.mag_g, n.mag_z, n.z_phot, n.z_spec, n.ebv, n.maskbits, n.type);
    RETURN NULL;
END
$$;

-- Whether a run has seen all that there is must be certain, since searches answer from its lists. Times
-- cannot tell: a transaction's time is that of its begin. Snapshots can.
ALTER TABLE skylike.encoder ADD COLUMN embedded_xact xid8;
ALTER TABLE skylike.catalog_load ADD COLUMN load_xact xid8;
ALTER TABLE skylike.catalog_load ALTER COLUMN load_xact SET DEFAULT pg_current_xact_id();
ALTER TABLE skylike.neighbor_run ADD COLUMN input_snapshot pg_snapshot;
COMMENT ON COLUMN skylike.encoder.embedded_xact IS 'Transaction that published the embeddings last [unit=none; ucd=meta.id]';
COMMENT ON COLUMN skylike.catalog_load.load_xact IS 'Transaction of the load [unit=none; ucd=meta.id]';
COMMENT ON COLUMN skylike.neighbor_run.input_snapshot IS 'Transactions that the run has seen the work of [unit=none; ucd=meta.id]';

CREATE TABLE skylike.search_calibration (
    encoder_id integer NOT NULL,
    n_embeddings integer NOT NULL,
    seconds_fixed double precision NOT NULL,
    seconds_per_row double precision NOT NULL,
    seconds_per_match double precision NOT NULL,
    seconds_per_vector double precision NOT NULL,
    seconds_list double precision,
    refined_share double precision NOT NULL,
    fast_candidates integer,
    fast_recall double precision,
    fast_seconds double precision,
    software jsonb NOT NULL,
    calibrated_at timestamp with time zone NOT NULL DEFAULT now(),
    CONSTRAINT search_calibration_pkey PRIMARY KEY (encoder_id),
    CONSTRAINT search_calibration_encoder_fkey FOREIGN KEY (encoder_id) REFERENCES skylike.encoder (encoder_id) ON DELETE CASCADE
);
COMMENT ON TABLE skylike.search_calibration IS 'What searches cost on this server, measured by `skylike db calibrate`; routes are chosen by it';
COMMENT ON COLUMN skylike.search_calibration.encoder_id IS 'Encoder whose embeddings were searched [unit=none; ucd=meta.id;meta.main]';
COMMENT ON COLUMN skylike.search_calibration.n_embeddings IS 'Embeddings that it had then [unit=none; ucd=meta.number]';
COMMENT ON COLUMN skylike.search_calibration.seconds_fixed IS 'Time of a search that matches next to nothing [unit=s; ucd=time.duration]';
COMMENT ON COLUMN skylike.search_calibration.seconds_per_row IS 'Time for each row of embedding_compact that is read and not matched [unit=s; ucd=time.duration]';
COMMENT ON COLUMN skylike.search_calibration.seconds_per_match IS 'Time for each matching row that is compared by its compact vector [unit=s; ucd=time.duration]';
COMMENT ON COLUMN skylike.search_calibration.seconds_per_vector IS 'Time for each embedding that is compared in full [unit=s; ucd=time.duration]';
COMMENT ON COLUMN skylike.search_calibration.seconds_list IS 'Time of a search that walks a neighbor list, or NULL without a published run [unit=s; ucd=time.duration]';
COMMENT ON COLUMN skylike.search_calibration.refined_share IS 'Embeddings compared in full for 100 results, as a share of all that match, no cut [unit=none; ucd=stat.fit.param]';
COMMENT ON COLUMN skylike.search_calibration.fast_candidates IS 'Candidates of the approximate index that reached the recall, or NULL without such an index [unit=none; ucd=meta.number]';
COMMENT ON COLUMN skylike.search_calibration.fast_recall IS 'Recall of 100 results by the approximate index, mean of sampled queries [unit=none; ucd=stat.fit.param]';
COMMENT ON COLUMN skylike.search_calibration.fast_seconds IS 'Median time of a search by the approximate index [unit=s; ucd=time.duration]';
COMMENT ON COLUMN skylike.search_calibration.software IS 'Versions of PostgreSQL, pgvector and skylike, and server settings that matter [unit=none; ucd=meta.note]';
COMMENT ON COLUMN skylike.search_calibration.calibrated_at IS 'When [unit=none; ucd=time.processing]';
