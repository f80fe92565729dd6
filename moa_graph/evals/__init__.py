"""Benchmarks, judges and the statistics that rate them.

numpy, scikit-learn and matplotlib (the extra `evals`) are slow to import, so they are imported where they are used.
"""
