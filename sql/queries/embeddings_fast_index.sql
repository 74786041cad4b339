-- Has a table of compact vectors an approximate index that is ready?
--   :table  text, name of the table with its schema
-- Plan: a few rows of the system catalogs.
SELECT EXISTS (
    SELECT
    FROM pg_catalog.pg_index AS i
    JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
    JOIN pg_catalog.pg_am AS a ON a.oid = c.relam
    WHERE i.indrelid = to_regclass(:table) AND i.indisvalid AND a.amname = 'hnsw'
)
