"""Connections, bounded bodies and JSON, for every client of this package."""
