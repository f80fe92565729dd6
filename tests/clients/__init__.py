"""Programs that other people wrote, run against `moa serve` on loopback: `python -m tests.clients`."""
