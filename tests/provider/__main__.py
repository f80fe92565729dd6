"""`python -m tests.provider --port 0` prints ``READY <port>`` and serves until a signal comes."""

import argparse
import signal
import sys
import threading

from tests.provider.server import Provider, raise_file_limit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--keep", type=int, default=20000, help="requests to remember between resets")
    parser.add_argument("--watch-stdin", action="store_true", help="stop when standard input closes")
    options = parser.parse_args()
    raise_file_limit()
    over = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: over.set())
    with Provider(options.port, options.keep) as provider:
        print("READY", provider.port, flush=True)
        if options.watch_stdin:
            sys.stdin.read()
        else:
            over.wait()


if __name__ == "__main__":
    main()
