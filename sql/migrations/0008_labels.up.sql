-- What people said of galaxies, and classifiers trained on it.

CREATE TABLE skylike.label (
    name text NOT NULL,
    galaxy_id integer NOT NULL,
    is_member boolean NOT NULL DEFAULT true,
    author text NOT NULL,
    note text,
    labeled_at timestamp with time zone NOT NULL DEFAULT now(),
    CONSTRAINT label_pkey PRIMARY KEY (name, galaxy_id, author),
    CONSTRAINT label_galaxy_fkey FOREIGN KEY (galaxy_id) REFERENCES skylike.galaxy (galaxy_id),
    CONSTRAINT label_name_check CHECK (name ~ '^[a-z][a-z0-9_]{0,49}$'),
    CONSTRAINT label_author_check CHECK (author <> '')
);
COMMENT ON TABLE skylike.label IS 'What people said of galaxies: one row for each label, galaxy and author';
COMMENT ON COLUMN skylike.label.name IS 'Label: ring, lens, merger, ... [unit=none; ucd=meta.code.class]';
COMMENT ON COLUMN skylike.label.galaxy_id IS 'Galaxy [unit=none; ucd=meta.id;meta.main]';
COMMENT ON COLUMN skylike.label.is_member IS 'Is it one (true), or was it looked at and is none (false)? [unit=none; ucd=meta.code.member]';
COMMENT ON COLUMN skylike.label.author IS 'Who said so [unit=none; ucd=meta.curation]';
COMMENT ON COLUMN skylike.label.note IS 'What they noted, or NULL [unit=none; ucd=meta.note]';
COMMENT ON COLUMN skylike.label.labeled_at IS 'When it was said or last changed [unit=none; ucd=time.processing]';
CREATE INDEX label_galaxy_idx ON skylike.label (galaxy_id);

CREATE TABLE skylike.classifier (
    name text NOT NULL,
    encoder_id integer NOT NULL,
    weights double precision[] NOT NULL,
    intercept double precision NOT NULL,
    regularization double precision NOT NULL,
    n_members integer NOT NULL,
    n_not_members integer NOT NULL,
    n_random integer NOT NULL,
    n_disputed integer NOT NULL,
    n_scored integer NOT NULL,
    n_folds integer NOT NULL,
    average_precision double precision NOT NULL,
    chance double precision NOT NULL,
    roc_auc double precision NOT NULL,
    top_n integer NOT NULL,
    precision_top_n double precision NOT NULL,
    seed bigint NOT NULL,
    version text NOT NULL,
    embedded_at timestamp with time zone,
    trained_at timestamp with time zone NOT NULL,
    CONSTRAINT classifier_pkey PRIMARY KEY (name),
    CONSTRAINT classifier_encoder_fkey FOREIGN KEY (encoder_id) REFERENCES skylike.encoder (encoder_id) ON DELETE CASCADE,
    CONSTRAINT classifier_name_check CHECK (name ~ '^[a-z][a-z0-9_]{0,49}$')
);
COMMENT ON TABLE skylike.classifier IS 'Linear classifiers trained on the embeddings of labeled galaxies, one for each label';
COMMENT ON COLUMN skylike.classifier.name IS 'Label that it was trained on [unit=none; ucd=meta.id;meta.main]';
COMMENT ON COLUMN skylike.classifier.encoder_id IS 'Encoder whose embeddings it reads [unit=none; ucd=meta.id]';
COMMENT ON COLUMN skylike.classifier.weights IS 'Weights: the score of a unit vector x is 1 / (1 + exp(-(weights . x + intercept))) [unit=none; ucd=stat.fit.param]';
COMMENT ON COLUMN skylike.classifier.intercept IS 'Intercept [unit=none; ucd=stat.fit.param]';
COMMENT ON COLUMN skylike.classifier.regularization IS 'Strength of the L2 penalty, chosen by cross-validation [unit=none; ucd=stat.param]';
COMMENT ON COLUMN skylike.classifier.n_members IS 'Members that it was trained on [unit=none; ucd=meta.number]';
COMMENT ON COLUMN skylike.classifier.n_not_members IS 'Labeled not-members that it was trained on [unit=none; ucd=meta.number]';
COMMENT ON COLUMN skylike.classifier.n_random IS 'Random unlabeled galaxies that were taken for not-members [unit=none; ucd=meta.number]';
COMMENT ON COLUMN skylike.classifier.n_disputed IS 'Galaxies left out because as many authors say yes as no [unit=none; ucd=meta.number]';
COMMENT ON COLUMN skylike.classifier.n_scored IS 'Galaxies in classifier_score [unit=none; ucd=meta.number]';
COMMENT ON COLUMN skylike.classifier.n_folds IS 'Parts of the cross-validation; galaxies at one place of the sky share a part [unit=none; ucd=meta.number]';
COMMENT ON COLUMN skylike.classifier.average_precision IS 'Cross-validated average precision; random negatives count as not-members [unit=none; ucd=stat.value]';
COMMENT ON COLUMN skylike.classifier.chance IS 'Average precision of a random order: the fraction of members [unit=none; ucd=stat.value]';
COMMENT ON COLUMN skylike.classifier.roc_auc IS 'Cross-validated area under the ROC curve [unit=none; ucd=stat.value]';
COMMENT ON COLUMN skylike.classifier.top_n IS 'N of precision_top_n: the number of members [unit=none; ucd=meta.number]';
COMMENT ON COLUMN skylike.classifier.precision_top_n IS 'Cross-validated fraction of members among the N best scores [unit=none; ucd=stat.value]';
COMMENT ON COLUMN skylike.classifier.seed IS 'Seed of folds and random negatives [unit=none; ucd=stat.param]';
COMMENT ON COLUMN skylike.classifier.version IS 'Version of skylike that trained it [unit=none; ucd=meta.version]';
COMMENT ON COLUMN skylike.classifier.embedded_at IS 'encoder.embedded_at of the embeddings that were scored; another value there means that scores are older than embeddings [unit=none; ucd=time.processing]';
COMMENT ON COLUMN skylike.classifier.trained_at IS 'When labels and embeddings were read [unit=none; ucd=time.processing]';

-- One table, replaced by DELETE and COPY in one transaction: whoever reads at that moment sees the
-- old scores to the end of their transaction, which a swap of partitions would not give them. No
-- foreign key to galaxy: it would be checked row by row for every galaxy of the survey.
CREATE TABLE skylike.classifier_score (
    name text NOT NULL,
    galaxy_id integer NOT NULL,
    score real NOT NULL,
    CONSTRAINT classifier_score_pkey PRIMARY KEY (name, galaxy_id)
);
COMMENT ON TABLE skylike.classifier_score IS 'Score of every embedded galaxy by every classifier; the column score_<name> of cuts';
COMMENT ON COLUMN skylike.classifier_score.name IS 'Classifier [unit=none; ucd=meta.id]';
COMMENT ON COLUMN skylike.classifier_score.galaxy_id IS 'Galaxy [unit=none; ucd=meta.id;meta.main]';
COMMENT ON COLUMN skylike.classifier_score.score IS 'Probability of being a member, from 0 to 1, if members and others were equally frequent: good for ranking and thresholds [unit=none; ucd=stat.probability]';

GRANT INSERT, UPDATE, DELETE ON skylike.label TO skylike_service;
