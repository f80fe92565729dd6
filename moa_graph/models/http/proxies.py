"""The proxy that the environment sets for a URL."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

__all__ = ["proxy_for"]


def proxy_for(url: str) -> str | None:
    """Return the proxy that the environment sets for `url`, or None. Called once per model, not per request.

    Raises:
        ValueError: the environment names something that is not a proxy's address.
    """
    target = urlsplit(url)
    proxies = getproxies()
    proxy = proxies.get(target.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(target.netloc.rpartition("@")[2]) or _in_network(target.hostname, proxies.get("no")):
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    if urlsplit(proxy).scheme not in ("http", "https", "socks5", "socks5h") or not urlsplit(proxy).hostname:
        raise ValueError(
            f"{target.scheme.upper()}_PROXY or ALL_PROXY is not the address of an http, https or socks5 proxy"
        )
    return proxy


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
