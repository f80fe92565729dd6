"""Ports for servers that cannot choose one themselves and say which."""

import contextlib
import secrets
import socket
from pathlib import Path


def free_port() -> int:
    """Return a free port of loopback for a server that starts soon.

    It lies below the ports that the system gives to clients: one of those might be taken until the server has started.
    """
    first = 32768
    with contextlib.suppress(OSError):  # Linux only
        first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    end = first if first > 20_000 else 32768
    for _ in range(1000):
        port = end - 1 - secrets.randbelow(10_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError(f"no free port of 127.0.0.1 below {end}")
