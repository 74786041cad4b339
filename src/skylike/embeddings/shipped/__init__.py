"""The encoder that ships with skylike: used where nothing was trained."""

from skylike.embeddings.shipped.enter import available_name, enter, enter_if_needed
from skylike.embeddings.shipped.files import NAME, is_there, path, sha256

__all__ = ["NAME", "available_name", "enter", "enter_if_needed", "is_there", "path", "sha256"]
