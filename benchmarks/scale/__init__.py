"""What `moa batch` does at scale: memory, kills, servers, and how long it takes.

`make scale`, or `python -m benchmarks.scale --short`.
"""
