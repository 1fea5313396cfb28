"""A run from start to end: what is known is looked up, the rest is given to workers, the result is put together."""
