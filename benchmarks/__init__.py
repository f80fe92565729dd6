"""The cost of a question, as ratios to raw asyncio in the same run; see docs/performance.md."""
