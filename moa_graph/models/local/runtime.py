"""One llama.cpp runtime per process and file, and the completions that it runs.

The runtime lives in this process, on its own thread. Requests go through its loopback server, because only a closed
connection stops it while it processes a long prompt; its in-process calls cannot be interrupted.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import http.client
import json
import secrets
import signal
import socket
import threading
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from moa_graph.costs.forks import after_fork
from moa_graph.errors import ConfigError
from moa_graph.models.local.files import INSTALL, locate

CONTEXT = 8192
"""Tokens of context, shared by all slots."""
SLOTS = 4
BATCH = 128
"""Prompt tokens between two checks for a closed connection. Larger batches are not faster and slower to cancel."""

_lock = threading.Lock()
_runtimes: dict[Path, Runtime] = {}


class LocalModelError(Exception):
    """The embedded model refused a request or failed; `status_code` has the meaning it has in HTTP."""

    def __init__(self, message: str, *, status_code: int, body: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.body = body


class Runtime:
    """A loaded model and its loopback server."""

    def __init__(self, path: Path) -> None:
        self._key = secrets.token_urlsafe(24)
        self._server: Any = _load(path, self._key)
        host, _, port = self._server.listening_address.removeprefix("http://").rpartition(":")
        self._address = (host, int(port))
        self.open: set[Completion] = set()

    def connect(self) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection(*self._address)
        connection.connect()
        return connection

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}

    def stop(self) -> None:
        """Abort all requests, then release the runtime. With an open request, the release would block forever."""
        for completion in list(self.open):
            completion.abort()
        self._server = None

    def leak(self) -> None:
        """Keep the runtime alive after a fork. Its thread does not exist in the child, so its destructor would hang."""
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._server))


class Completion:
    """The stream of one chat completion. `abort` ends it at once, from any thread."""

    def __init__(self, path: Path, body: dict[str, Any]) -> None:
        self._path = path
        self._body = json.dumps({**body, "stream": True, "stream_options": {"include_usage": True}})
        self._lock = threading.Lock()
        self._aborted = False
        self._socket: socket.socket | None = None

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the chunks of the answer. It blocks: the first request loads the model.

        Raises:
            LocalModelError: The runtime refused the request or closed the connection early.
            ConfigError: The model cannot be loaded.
        """
        runtime = running(self._path)
        connection = self._connected(runtime)
        if connection is None:
            return
        try:
            connection.request("POST", "/v1/chat/completions", self._body, runtime.headers())
            yield from _chunks(connection.getresponse())
        except (OSError, http.client.HTTPException) as exc:
            if not self._aborted:
                raise LocalModelError(f"the embedded model's connection broke: {exc!r}", status_code=502) from exc
        finally:
            runtime.open.discard(self)
            with self._lock:
                self._socket = None
            connection.close()

    def _connected(self, runtime: Runtime) -> http.client.HTTPConnection | None:
        with self._lock:
            if self._aborted:
                return None
            runtime.open.add(self)
            connection = runtime.connect()
            self._socket = connection.sock
            return connection

    def abort(self) -> None:
        with self._lock:
            self._aborted = True
            if self._socket is not None:
                # `close` alone would not wake a thread that is reading.
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)


def running(path: Path) -> Runtime:
    """Return this process's runtime for `path`, loaded once. Other threads wait while it loads.

    Raises:
        ConfigError: The file cannot be loaded.
    """
    with _lock:
        if path not in _runtimes:
            if not _runtimes:
                atexit.unregister(_stop_all)
                atexit.register(_stop_all)
            _runtimes[path] = Runtime(path)
        return _runtimes[path]


def preload(name: str) -> None:
    """Start to load a model in a thread. Errors are not reported here; the first request reports them.

    Args:
        name: A known model's name, or the path of a GGUF file.
    """

    def load() -> None:
        with contextlib.suppress(ConfigError):
            running(locate(name))

    threading.Thread(target=load, name="moa_graph.models.local.load", daemon=True).start()


def _stop_all() -> None:
    # The lock waits for a model that is still being loaded, since a load cannot be interrupted.
    with _lock:
        for runtime in _runtimes.values():
            runtime.stop()
        _runtimes.clear()


@after_fork
def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()
    for runtime in _runtimes.values():
        runtime.leak()
    _runtimes.clear()


def _load(path: Path, key: str) -> Any:
    import xllamacpp

    try:
        params = _params(xllamacpp.CommonParams(), path, key)
    except AttributeError as exc:
        # Parameters differ between releases; the installed one is outside the range that the extra `local` declares.
        raise ConfigError(
            f"the installed xllamacpp {version('xllamacpp')} is not supported ({exc}). Run: {INSTALL}"
        ) from None
    with _signals_kept():
        try:
            server = xllamacpp.Server(params)
            # Its loop answers, so it has begun. Releasing a server whose loop begins afterwards would block forever.
            server.handle_metrics()
            return server
        except RuntimeError as exc:
            raise ConfigError(f"the embedded runtime cannot load {path}: {exc}") from exc


def _params(params: Any, path: Path, key: str) -> Any:
    """Return the runtime's parameters with this package's values filled in."""
    params.model.path = str(path)
    for cpu in (params.cpuparams, params.cpuparams_batch):
        # On a small machine, more threads compete with each other and with the program.
        cpu.n_threads = 1
        cpu.poll = 0
    params.n_ctx, params.n_parallel, params.kv_unified = CONTEXT, SLOTS, True
    params.n_batch = params.n_ubatch = BATCH
    params.cache_ram_mib = 0
    params.warmup = params.fit_params = params.webui = params.endpoint_slots = False
    params.verbosity, params.endpoint_metrics = -1, True
    params.hostname, params.port, params.api_keys, params.n_threads_http = "127.0.0.1", 0, [key], 32
    return params


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """Restore the handlers of SIGINT and SIGTERM, which llama.cpp replaces. Without this, Ctrl-C does not reach Python.

    `signal.signal` works in the main thread only, and the model is loaded in another one. Hence Python's C functions.
    """
    get, put = ctypes.pythonapi.PyOS_getsig, ctypes.pythonapi.PyOS_setsig
    get.argtypes, get.restype = [ctypes.c_int], ctypes.c_void_p
    put.argtypes, put.restype = [ctypes.c_int, ctypes.c_void_p], ctypes.c_void_p
    before = [(number, get(number)) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        yield
    finally:
        for number, handler in before:
            put(number, handler)


def _chunks(response: http.client.HTTPResponse) -> Iterator[dict[str, Any]]:
    if response.status != 200:
        raise _refusal(response.read(), response.status)
    for line in response:
        field, _, data = line.strip().partition(b": ")
        if field == b"error":
            raise _refusal(data, 500)
        if field == b"data" and data != b"[DONE]":
            chunk = json.loads(data)
            if "error" in chunk:
                raise _refusal(data, 500)
            yield chunk


def _refusal(data: bytes, status: int) -> LocalModelError:
    try:
        error = json.loads(data)
        body = error.get("error", error)
        return LocalModelError(str(body["message"]), status_code=status, body=body)
    except (ValueError, KeyError, AttributeError, TypeError):
        return LocalModelError(f"the embedded model answered: {data[:300]!r}", status_code=status)
