"""Recorded sets: drafts or final answers that were made before, read and taken for models."""
