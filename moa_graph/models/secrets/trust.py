"""Which hosts a mixture file may send which keys to.

A mixture file names hosts and variables, and may come from somebody else. A known provider's key goes to that
provider's host without asking. Every other pair of variable and host in a file needs the user's confirmation:
`moa trust FILE`, `--trust`, or `Mixture.load(file, trust=True)`. Mixtures described in Python are not restricted: the
code decides.
"""

from __future__ import annotations

import copy
import ipaddress
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from moa_graph.costs.file_lock import one_at_a_time
from moa_graph.errors import ConfigError
from moa_graph.mixture import confirmations
from moa_graph.mixture.confirmations import ANY_FILE, Confirmations, name_of, trust_file
from moa_graph.mixture.proposer import Proposer
from moa_graph.models.providers import PROVIDERS, find
from moa_graph.models.terminal_text import for_terminal

__all__ = ["Grant", "confirm", "confirmed", "forget", "grants_of", "has_passed", "host_of", "require_trusted"]

_PRIVATE = [
    ipaddress.ip_network(network)
    for network in ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7")
]
_PORTS = {"http": 80, "https": 443}

_announced: set[str] = set()
_passed: set[tuple[Path, Grant]] = set()
"""What `require_trusted` let through in this process."""


class Grant(NamedTuple):
    """A variable and the host that gets its value.

    Attributes:
        variable: The environment variable.
        host: Scheme, name and port, as in `https://api.example.com:8443`.
    """

    variable: str
    host: str

    def __str__(self) -> str:
        return f"{self.variable} to {self.host}"


def grants_of(specs: Iterable[Proposer]) -> list[Grant]:
    """Return what a mixture's models send: each variable that holds a key, with the host that gets it."""
    return list(dict.fromkeys(grant for spec in specs for grant in _grants(spec)))


def require_trusted(specs: Iterable[Proposer]) -> None:
    """Check that mixture files send keys only where they may, and announce on standard error what they send.

    Reads the file of confirmations.

    Raises:
        ConfigError: A file would send a variable that the user did not confirm for its host, or a key over plain http.
    """
    by_file: dict[Path, list[Proposer]] = {}
    for spec in specs:
        if spec.origin.path is not None:
            by_file.setdefault(spec.origin.path, []).append(spec)
    for path, found in by_file.items():
        known = confirmed(path)
        foreign = [
            grant
            for spec in found
            if not spec.origin.trusted
            for grant in _grants(spec)
            if grant not in known and not _own_host(grant)
        ]
        if foreign:
            raise ConfigError(_refusal(path, foreign[0]))
        for spec in found:
            _require_private(spec, path)
            _passed.update((path, grant) for grant in _grants(spec))
        _announce(path, [grant for grant in grants_of(found) if grant not in known])


def has_passed(spec: Proposer) -> bool:
    """Return whether `require_trusted` let the model's key through. Reads no file, so an event loop may call it."""
    path = spec.origin.path
    return path is None or all((path, grant) in _passed for grant in _grants(spec))


def confirmed(path: Path) -> set[Grant]:
    """Return what the user confirmed for the file, and for hosts of any file."""
    entries = confirmations.read().grants
    return {Grant(*pair) for name in (name_of(path), ANY_FILE) for pair in entries.get(name, ())}


def confirm(path: Path | None, grants: Iterable[Grant], programs: Iterable[str] = ()) -> None:
    """Record the user's confirmation for a file, or with None for any file."""
    name = name_of(path)
    with _changing() as known:
        known.grants[name] = sorted({*known.grants.get(name, ()), *((each.variable, each.host) for each in grants)})
        known.programs[name] = sorted({*known.programs.get(name, ()), *programs})


def forget(path: Path | None, grant: Grant | None = None) -> bool:
    """Remove what was confirmed for a file, or one grant alone; return whether there was anything."""
    name = name_of(path)
    with _changing() as known:
        if grant is None:
            return any([known.grants.pop(name, []), known.programs.pop(name, [])])
        before = known.grants.get(name, [])
        left = [pair for pair in before if pair != tuple(grant)]
        if left != before:
            known.grants[name] = left
        return left != before


@contextmanager
def _changing() -> Iterator[Confirmations]:
    """Yield what was confirmed, and record the changes to it. Meanwhile other processes wait.

    Raises:
        ConfigError: The file is damaged, or it cannot be read or written.
    """
    with one_at_a_time(trust_file().with_name("trusted.lock")):
        known = confirmations.read(to_change=True)
        before = copy.deepcopy(known)
        yield known
        if known != before:
            confirmations.write(known)


def _grants(spec: Proposer) -> list[Grant]:
    if not isinstance(spec.model, str):
        return []
    if spec.base_url:
        return [Grant(spec.api_key_env, host_of(spec.base_url))] if spec.api_key_env else []
    provider = find(spec.model.partition(":")[0])
    return [Grant(provider.key, host_of(provider.address()))] if provider and provider.key else []


def host_of(address: str) -> str:
    """Return scheme, name and port of an address; the scheme's own port is left out."""
    parts = urlsplit(address)
    try:
        port = parts.port
    except ValueError:
        port = None
    name = (parts.hostname or "").rstrip(".")
    name = f"[{name}]" if ":" in name else name
    return f"{parts.scheme}://{name}" + (f":{port}" if port not in (None, _PORTS.get(parts.scheme)) else "")


def _own_host(grant: Grant) -> bool:
    """Return whether the variable is a known provider's and the host is that provider's."""
    return any(
        grant.variable in provider.keys and grant.host in (host_of(provider.base_url), host_of(provider.address()))
        for provider in PROVIDERS.values()
    )


def _refusal(path: Path, grant: Grant) -> str:
    owner = next((p.title for p in PROVIDERS.values() if grant.variable in p.keys), None)
    whose = f"{owner}'s key variable {grant.variable}" if owner else f"the variable {grant.variable}"
    return (
        f"file {path} would send {whose} (from the environment or .env) to {grant.host}, and nobody confirmed "
        f"that. If you trust this host with it, run: moa trust {path} (or add --trust for one run; in Python: "
        "Mixture.load(file, trust=True))."
    )


def _require_private(spec: Proposer, path: Path) -> None:
    for grant in _grants(spec):
        name = urlsplit(grant.host).hostname or ""
        if grant.host.startswith("http://") and not (spec.plain_http or _is_private(name)):
            raise ConfigError(
                f"file {path}: {spec.label} would send {grant.variable} to {grant.host} without encryption. "
                "Use https, or add `plain_http: true` beside its base_url if the way there is safe."
            )


def _is_private(name: str) -> bool:
    """Return whether the name is this machine's, or an address of this machine or of a private network."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    return any(mapped.version == network.version and mapped in network for network in _PRIVATE)


def _announce(path: Path, grants: list[Grant]) -> None:
    line = f"file {path} sends {', '.join(map(str, grants))}"
    if grants and line not in _announced:
        _announced.add(line)
        sys.stderr.write(f"{for_terminal(line)}\n")
