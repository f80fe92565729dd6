"""Which addresses of images and files may be passed to a provider, which fetches them.

Names are not resolved: a public name may still lead to a private address. That is for the provider's network to stop.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from urllib.parse import urlsplit

__all__ = ["is_public_https"]

_LOCAL = frozenset(
    {"localhost", "local", "internal", "localdomain", "home", "lan", "arpa", "intranet", "corp", "private", "domain"}
    | {"svc", "cluster", "onion", "i2p", "test", "invalid", "alt", "consul", "docker", "kube", "node", "service"}
    | {"intern", "lab", "priv"}
)
"""Last labels of names that are known in some networks only."""

_WRAPPED = re.compile(r"(?:^|[.-])(\d{1,3})[.-](\d{1,3})[.-](\d{1,3})[.-](\d{1,3})(?:[.-]|$)")
"""An IPv4 address inside a name. Public resolvers such as nip.io resolve such a name to that address."""

_WILDCARDS = (
    ".nip.io",
    ".sslip.io",
    ".xip.io",
    ".localtest.me",
    ".lvh.me",
    ".vcap.me",
    ".traefik.me",
    ".backname.io",
    ".lacolhost.com",
    ".ts.net",
    ".fritz.box",
)
"""Public names that lead to any address, to this machine, or to the network of the machine that asks."""

_METADATA = frozenset({"metadata", "instance-data", "localhost"})
"""Labels of the names that clouds give their metadata services, and of names for this machine."""

_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)", re.ASCII)


def is_public_https(address: str) -> bool:
    """Return whether `address` is an https URL whose host is not this machine, a private network or a metadata service.

    The host is read as the strictest and as the most lenient client would: what only some clients accept (backslashes,
    user information, non-ASCII digits, white space) is refused.
    """
    if any(c in "\\" or c.isspace() or unicodedata.category(c) in ("Cc", "Cf") for c in address):
        return False
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return False
    if parts.scheme != "https" or not host or "@" in parts.netloc or "%" in parts.netloc:
        return False
    if ":" in host:
        return _public_ipv6(host)
    name = _ascii(host)
    return name is not None and _public_name(name)


def _public_ipv6(host: str) -> bool:
    try:
        ip = ipaddress.IPv6Address(host)
    except ValueError:
        return False
    if ip.ipv4_mapped or ip.sixtofour or ip.teredo or ip in _NAT64 or ip in _NAT64_LOCAL or int(ip) < 2**32:
        # Each leads to an IPv4 address, which has a form of its own.
        return False
    if int(ip) >> 32 & 0xFCFFFFFF == 0x5EFE:
        return False  # ISATAP
    return ip.is_global and not (ip.is_multicast or ip.is_site_local or ip.is_reserved or _is_special(ip))


def _is_special(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return any(ip.version == network.version and ip in network for network in _SPECIAL)


_SPECIAL = tuple(
    map(ipaddress.ip_network, ("168.63.129.16/32", "192.0.0.0/24", "192.88.99.0/24", "3fff::/20", "5f00::/16"))
)
"""Azure's host, as virtual machines see it, and reserved networks that some Python versions take for public ones."""

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_NAT64_LOCAL = ipaddress.IPv6Network("64:ff9b:1::/48")


def _ascii(host: str) -> str | None:
    """Return the host name in the form that is looked up; None for one that clients read differently."""
    if host.isascii():
        return host.removesuffix(".")
    if any(unicodedata.category(c) in ("Nd", "No", "Nl") and not c.isascii() for c in host):
        return None
    folded = unicodedata.normalize("NFKC", host)
    if folded.isascii():
        # Look-alikes of letters or dots: an ASCII name is not written this way by accident.
        return None
    try:
        return folded.encode("idna").decode("ascii").removesuffix(".")
    except UnicodeError:
        return None


def _public_name(name: str) -> bool:
    try:
        ip = ipaddress.IPv4Address(name)
    except ValueError:
        pass
    else:
        return _is_public_ip(ip)
    labels = name.lower().split(".")
    if len(labels) < 2 or _METADATA.intersection(labels) or not all(_LABEL.fullmatch(label) for label in labels):
        return False
    if re.fullmatch(r"0x[0-9a-f]*|\d+", labels[-1]) or labels[-1] in _LOCAL or "svc" in labels[-3:]:
        # Decimal, octal and hexadecimal forms of an IP address are not names.
        return False
    if f".{name.lower()}".endswith(_WILDCARDS):
        return False
    wrapped = _WRAPPED.search(name)
    return wrapped is None or _is_public_ipv4(".".join(wrapped.groups()))


def _is_public_ipv4(text: str) -> bool:
    try:
        return _is_public_ip(ipaddress.IPv4Address(text))
    except ValueError:
        return True


def _is_public_ip(ip: ipaddress.IPv4Address) -> bool:
    return ip.is_global and not ip.is_multicast and not _is_special(ip)
