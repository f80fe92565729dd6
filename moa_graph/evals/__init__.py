"""Benchmarks, judges and the statistics that rate them.

Nothing heavy is imported here: numpy, scikit-learn and matplotlib (the extra ``evals``) load where they are
used.
"""
