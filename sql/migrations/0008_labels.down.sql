-- Takes back 0008_labels.up.sql.
DROP TABLE skylike.classifier_score;
DROP TABLE skylike.classifier;
DROP TABLE skylike.label;
