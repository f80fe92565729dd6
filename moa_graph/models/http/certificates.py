"""The certificates that clients trust: those of SSL_CERT_FILE or SSL_CERT_DIR, or else the system's."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING

from moa_graph.errors import ConfigError

if TYPE_CHECKING:
    import ssl

__all__ = ["certificates", "unreadable_certificates"]


@functools.cache
def certificates() -> ssl.SSLContext:
    """Return the SDK's certificates. Made once and only for https: it takes 20 ms.

    Raises:
        ConfigError: SSL_CERT_FILE does not name a file of certificates.
    """
    import httpx2

    try:
        return httpx2.create_ssl_context()
    except OSError as exc:
        raise unreadable_certificates(exc) from None


def unreadable_certificates(error: OSError) -> ConfigError:
    """Return the error of a client that cannot be made because it cannot read the certificates.

    Args:
        error: What the client raised. Python names no file in it.
    """
    file = os.environ.get("SSL_CERT_FILE")
    what = f"SSL_CERT_FILE ({file})" if file else "the certificates of this system"
    return ConfigError(
        f"{what} cannot be read: {error.strerror or error}. Set SSL_CERT_FILE to a file of certificates in PEM form, "
        "or unset it."
    )
