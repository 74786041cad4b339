"""The ways to an answer: by the cut, a neighbor list or an approximate index; and the choice."""
