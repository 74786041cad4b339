"""The command line of skylike."""
