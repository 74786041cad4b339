"""What has changed since a run, and the lists that this changes."""
