"""Programs that evaluate models, and what they will want to load."""
