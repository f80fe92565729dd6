"""Attacks on the promises of SECURITY.md. `make security` runs all of it and writes reports/security.json."""
