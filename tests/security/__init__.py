"""What SECURITY.md promises, attacked. `make security` runs all of it and writes reports/security.json."""
