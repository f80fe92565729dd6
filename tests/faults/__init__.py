"""Faults, refusals and secrets. `python -m tests.faults` is the long form, with a report."""

import os

LONG = bool(os.environ.get("MOA_LONG"))
"""`make faults` sets it: as many runs as the goals say. `make test` has the same tests with fewer."""
