"""The proxy that the environment sets for a URL."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from moa_graph.errors import ConfigError

__all__ = ["proxy_for"]


def proxy_for(url: str) -> str | None:
    """Return the proxy that the environment sets for `url`, or None. Called once per model, not per request.

    Raises:
        ConfigError: The environment names something that is not a proxy's address.
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
    return proxy


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
