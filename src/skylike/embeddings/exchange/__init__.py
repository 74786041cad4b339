"""Encoders and embeddings from elsewhere, and ours in the formats of others."""
