"""Faults of one line in the package's core logic, each of which the tests must detect."""
