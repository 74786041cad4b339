DROP TABLE skylike.galaxy;
DROP TABLE skylike.catalog_load;
DROP TABLE skylike.survey;
