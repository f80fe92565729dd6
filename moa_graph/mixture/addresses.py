"""Addresses of servers, in the one form that every client reads in the same way."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

__all__ = ["ADDRESS", "is_address", "without_credentials"]

ADDRESS = r"^https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[A-Za-z0-9._~!$&'()*+,;=:%/-]*)?$"
"""The form of a server's address. Clients read other forms in different ways, and the host decides where a key goes."""


def is_address(text: str, *, credentials: bool = False) -> bool:
    """Return whether the text is a server's address in a form that every client reads in the same way.

    Args:
        text: The text.
        credentials: Whether a user name and a password may precede the host.
    """
    if credentials:
        text = without_credentials(text)
    try:
        port, name = urlsplit(text).port, urlsplit(text).hostname or ""
    except ValueError:
        return False
    return (
        re.fullmatch(ADDRESS, text, re.IGNORECASE) is not None and port != 0 and re.search(r"[^.-]", name) is not None
    )


def without_credentials(address: str) -> str:
    """Return an address without the user name and the password that may precede the host."""
    return re.sub(r"(?<=://)[^/@\\?#\s]*@", "", address, count=1)
