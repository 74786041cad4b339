DROP TRIGGER galaxy_copy_to_compact ON skylike.galaxy;
DROP FUNCTION skylike.copy_galaxy_to_compact();
DROP TABLE skylike.embedding_compact;
DROP TABLE skylike.embedding;
DROP TABLE skylike.encoder_component;
DROP TABLE skylike.encoder;
