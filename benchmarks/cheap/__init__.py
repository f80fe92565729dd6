"""`python -m benchmarks.cheap`: what prompt caches, shared requests and Batch APIs save; reports/cheap.json."""
