"""Read survey files: catalog tables into column batches, images into pixel batches."""
