"""Format amounts for people: dollars and counts. Used by messages, tables and reports."""

from __future__ import annotations

__all__ = ["in_dollars", "number_of"]


def in_dollars(amount: float) -> str:
    """Return dollars with four decimal places. A positive amount is never shown as $0.0000."""
    return "under $0.0001" if 0 < amount < 0.0001 else f"${amount:.4f}" if amount else "$0"


def number_of(count: int, noun: str, plural: str = "") -> str:
    """Return a count with its noun in the right number: "1 call", "2,000 calls".

    Args:
        count: The count.
        noun: The noun in the singular.
        plural: Its plural; `noun` with an s if empty.
    """
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"
