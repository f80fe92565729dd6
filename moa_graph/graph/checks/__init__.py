"""Checks of what a caller gives, before any request is sent."""
