"""Training: images and a recipe go in, an encoder file comes out."""
