DROP TABLE skylike.cutout;
DROP TABLE skylike.image_file;
