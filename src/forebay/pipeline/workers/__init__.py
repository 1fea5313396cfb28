"""Where it is done: one task over one shard, and the processes that tasks run in."""
