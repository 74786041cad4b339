-- Takes back 0009_similarity.up.sql.

DROP FUNCTION skylike.similar_to_position(double precision, double precision, integer, text, double precision, double precision, boolean);
DROP FUNCTION skylike.similar_to(halfvec, integer, text, double precision, boolean);
DROP FUNCTION skylike.similar_to(integer, integer, text, double precision, boolean);
DROP FUNCTION skylike.similar_to(vector, integer, text, double precision, boolean);
DROP FUNCTION skylike.rank_by_similarity(halfvec, vector, halfvec, double precision, integer, integer, text, double precision, boolean);
DROP FUNCTION skylike.keep_separated(double precision[], double precision[], double precision[], double precision[], double precision);
DROP FUNCTION skylike.close_pairs(double precision[], double precision[], double precision[], double precision[], double precision);
DROP FUNCTION skylike.project_query(double precision[]);
DROP FUNCTION skylike.rows_of_cut(integer, text);
DROP FUNCTION skylike.check_cut(text);
DROP FUNCTION skylike.active_encoder();
DROP FUNCTION skylike.score(integer, text);
DROP FUNCTION skylike.has_label(integer, text);
DROP FUNCTION skylike.similarity(integer, integer);
DROP FUNCTION skylike.similarity(halfvec, halfvec);
DROP FUNCTION skylike.embedding_of(integer);
