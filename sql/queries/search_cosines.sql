-- Cosines of some embeddings with a vector, as pgvector computes them: in float32. Two binary arrays, in no
-- certain order; NULL where none of them has an embedding.
--   :encoder_id  integer
--   :galaxy_ids  text, an array of integers as PostgreSQL writes it
--   :vector      text, a halfvec as pgvector writes it
-- Plan: primary key of the encoder's partition.
SELECT
    array_send(array_agg(e.galaxy_id)) AS galaxy_ids,
    array_send(array_agg(1 - (e.embedding <=> CAST(:vector AS halfvec)))) AS cosines
FROM skylike.embedding AS e
WHERE e.encoder_id = :encoder_id AND e.galaxy_id = ANY(CAST(:galaxy_ids AS integer[]))
