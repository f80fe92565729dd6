"""The proxy that the environment sets for a URL, and errors of clients that cannot use the environment's settings."""

from __future__ import annotations

import importlib.util
import ipaddress
import ssl
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from moa_graph.errors import ConfigError
from moa_graph.models.http.certificates import unreadable_certificates
from moa_graph.models.secrets.redaction import one_line

if TYPE_CHECKING:
    import httpx

__all__ = ["environment_error", "httpx_transport", "proxy_for"]


def proxy_for(url: str) -> str | None:
    """Return the proxy that the environment sets for `url`, or None. Called once per model, not per request.

    Raises:
        ConfigError: The environment names something that is not a proxy's address, or a SOCKS proxy, and the package
            for those is not installed.
    """
    target = urlsplit(url)
    proxies = getproxies()
    proxy = proxies.get(target.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(target.netloc.rpartition("@")[2]) or _in_network(target.hostname, proxies.get("no")):
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    if not _is_address(proxy):
        # Without the address, which may hold a password.
        raise ConfigError(
            f"{target.scheme.upper()}_PROXY or ALL_PROXY is not the address of an http, https or socks5 proxy. "
            "Correct the variable, unset it, or name the model's host in NO_PROXY."
        )
    if proxy.startswith("socks") and importlib.util.find_spec("socksio") is None:
        raise _without_socks(f"{target.scheme.upper()}_PROXY or ALL_PROXY")
    return proxy


def httpx_transport(url: str) -> httpx.AsyncHTTPTransport:
    """Return a transport of httpx for one host, with the environment's proxy and certificates.

    Raises:
        ConfigError: They cannot be used.
    """
    import httpx

    limits = httpx.Limits(max_connections=None)
    try:
        return httpx.AsyncHTTPTransport(retries=2, limits=limits, proxy=proxy_for(url))
    except OSError as exc:
        raise unreadable_certificates(exc) from None


def environment_error(error: BaseException) -> ConfigError | None:
    """Return the error of a client that cannot use the environment's proxies or certificates; None for another error.

    The clients of providers' packages read these variables for every host, also for those in NO_PROXY.

    Args:
        error: What making the client raised.
    """
    words = str(error)
    if isinstance(error, ImportError) and "socksio" in words:
        return _without_socks("A variable for proxies")
    unreadable = FileNotFoundError | IsADirectoryError | PermissionError | ssl.SSLError
    if isinstance(error, unreadable) and not error.filename and not isinstance(error, ssl.SSLCertVerificationError):
        return unreadable_certificates(error)
    if type(error).__name__ == "InvalidURL" or "proxy URL" in words:
        names = "HTTP_PROXY, HTTPS_PROXY, ALL_PROXY or NO_PROXY"
        return ConfigError(f"the provider's package cannot read {names}: {one_line(words)}. Correct the variable.")
    return None


def _without_socks(variable: str) -> ConfigError:
    return ConfigError(f"{variable} is a SOCKS proxy, which needs the package socksio. Run: pip install socksio")


def _is_address(proxy: str) -> bool:
    try:
        parts = urlsplit(proxy)
        _ = parts.port  # it raises as well
    except ValueError:
        return False
    return parts.scheme in ("http", "https", "socks5", "socks5h") and bool(parts.hostname)


def _in_network(host: str | None, rules: str | None) -> bool:
    """Return whether NO_PROXY names a network, as in 10.0.0.0/8, that holds the host's address."""
    try:
        address = ipaddress.ip_address(host or "")
    except ValueError:
        return False
    for rule in (rules or "").split(","):
        try:
            if "/" in rule and address in ipaddress.ip_network(rule.strip(), strict=False):
                return True
        except ValueError:
            continue  # a path or a mistake: not for this address
    return False
