"""The whole job on a simulated survey: from files to three composite searches."""
