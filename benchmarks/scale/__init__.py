"""What `moa batch` does at scale: memory, kills, servers. `make scale`, or `python -m benchmarks.scale --short`."""
