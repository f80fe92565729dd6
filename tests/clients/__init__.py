"""Third-party programs, run against `moa serve` on loopback: `python -m tests.clients`."""
