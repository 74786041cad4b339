"""What people say of galaxies, training sets made of it, and classifiers trained on it."""
