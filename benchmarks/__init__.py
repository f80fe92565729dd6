"""What a question costs, as ratios to raw asyncio in one run; see docs/performance.md."""
