"""What Forebay costs, measured beside the tools it replaces. `make bench` runs `benchmarks.run`."""
