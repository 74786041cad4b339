"""What neighbor lists tell of a galaxy: rarity, mutual neighbors, hubness, duplicates."""
