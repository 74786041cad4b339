"""Long work that any number of processes share: who does what, and how one waits for another."""
