"""`python -m benchmarks.combine`: what each combiner makes of recorded drafts and answers."""
