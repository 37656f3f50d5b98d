"""The process around the application: a socket, an event loop, signals, a graceful end."""

from __future__ import annotations

import asyncio
import errno
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import uvicorn

from lamplighter.core.errors import ServingError
from lamplighter.serving.app import App, create_app
from lamplighter.serving.settings import settings_of

if TYPE_CHECKING:
    from types import FrameType

    from lamplighter.bundle.runtime import Bundle

    Bundles: TypeAlias = str | Path | Bundle | Sequence[str | Path | Bundle]

KEEP_ALIVE_SECONDS = 75
"""Longer than the 60 seconds after which common load balancers drop an idle connection, so that they close first."""
SHUTDOWN_SECONDS = 25
"""Kubernetes kills after 30."""


def serve(
    bundles: Bundles,
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    overrides: Sequence[str] = (),
    monitoring: bool = True,
    store_url: str | None = None,
    echo: Callable[[str], object] | None = print,
) -> None:
    """Serve bundles until SIGTERM or Ctrl-C, then finish the requests at hand, flush the monitor and return.

    Args:
        bundles: one or several `Bundle` objects or paths.
        host: address to listen on; the default is reachable from this machine only.
        port: 0 takes any free one.
        overrides: ``serve.max_batch=64`` and the like, on top of every bundle's recipe.
        monitoring: keep records and raise alarms.
        store_url: SQLAlchemy URL of the monitor's store; ``None``: the recipe's, or a SQLite file beside each bundle.
        echo: told the addresses; ``None``: silent.

    Raises:
        ServingError: no bundle, two of one name, or the port cannot be used.
        BundleError: a bundle is missing or damaged.
        RecipeError: a wrong override.
    """
    listener = listen(host, port)
    with listener:
        app = build(bundles, overrides=overrides, monitoring=monitoring, store_url=store_url)
        url = url_of(listener)
        if echo is not None:
            for line in _greeting(app, url, monitoring):
                echo(line)
        _Uvicorn(app).run(sockets=[listener])


def start(
    bundles: Bundles,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    overrides: Sequence[str] = (),
    monitoring: bool = True,
    store_url: str | None = None,
) -> Server:
    """Like `serve`, in a background thread; returns when requests are answered. Use as a context manager, or call
    `Server.stop`."""
    listener = listen(host, port)
    try:
        app = build(bundles, overrides=overrides, monitoring=monitoring, store_url=store_url)
    except BaseException:
        listener.close()
        raise
    return Server(app, listener)


class Server:
    """A server in a background thread.

    Attributes:
        url: ``http://host:port``.
        app: the application, for its models and their monitors.
    """

    def __init__(self, app: App, listener: socket.socket) -> None:
        self.app = app
        self.url = url_of(listener)
        self._uvicorn = _Uvicorn(app)
        self._thread = threading.Thread(target=self._uvicorn.run, args=([listener],), name="server", daemon=True)
        self._thread.start()
        self._uvicorn.ready.wait()
        if not self._uvicorn.started:
            self._thread.join()
            raise ServingError(f"the server at {self.url} did not start; see the log")

    def stop(self) -> None:
        """Finish the requests at hand, flush the monitor, end the thread. A second call does nothing."""
        self.app.drain()
        self._uvicorn.should_exit = True
        self._thread.join()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def build(
    bundles: Bundles, *, overrides: Sequence[str] = (), monitoring: bool = True, store_url: str | None = None
) -> App:
    """The application of some bundles, each with the settings of its own recipe."""
    given = [bundles] if isinstance(bundles, str | Path) or not isinstance(bundles, Sequence) else list(bundles)
    if not given:
        raise ServingError("no bundle to serve; give the path of at least one")
    loaded = [_load(item, overrides) if isinstance(item, str | Path) else item for item in given]
    return create_app(loaded, overrides=overrides, monitoring=monitoring, store_url=store_url)


def _load(path: str | Path, overrides: Sequence[str]) -> Bundle:
    """Load a bundle with as many compute threads as its recipe and the overrides say."""
    from lamplighter.bundle.runtime import load_bundle

    bundle = load_bundle(path)
    threads = settings_of(bundle.manifest, overrides)[0].threads
    return bundle if threads == 1 else load_bundle(path, threads=threads)


def check_port(host: str, port: int) -> None:
    """Find out now whether `serve` could listen there.

    Raises:
        ServingError: it could not.
    """
    listen(host, port).close()


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        ServingError: names the address and the remedy.
    """
    where = f"{host}:{port}"
    if not 0 <= port <= 65535:  # the system would take it modulo 65536
        raise ServingError(f"cannot listen on {where}: a port is a number from 0 to 65535")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except (socket.gaierror, UnicodeError) as error:
        raise ServingError(f"{where} is no address to listen on: {error}") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise ServingError(
                f"port {port} on {host} is in use; stop the program that has it, or choose another with --port"
                " (0 takes any free one)"
            ) from None
        if error.errno == errno.EACCES:
            raise ServingError(f"port {port} needs root rights; choose one from 1024 on with --port") from None
        raise ServingError(f"cannot listen on {where}: {error.strerror}") from None
    return listener


def url_of(listener: socket.socket) -> str:
    """The address of a listening socket as a browser on this machine takes it."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _greeting(app: App, url: str, monitoring: bool) -> list[str]:
    names = ", ".join(f"{model.name} (version {model.version})" for model in app.models)
    dashboard = f"dashboard {url}/  " if monitoring else ""
    return [f"Serving {names} at {url}", f"{dashboard}API {url}/docs  metrics {url}/metrics  (Ctrl-C ends it)"]


class _Uvicorn(uvicorn.Server):
    """uvicorn with a gentler end: 0 requests dropped, exit status 0.

    Args:
        app: told when draining begins.
        grace: seconds given to clients on kept-alive connections to be told, with an answer, that theirs will close.
    """

    def __init__(self, app: App, grace: float = 0.5) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                loop="auto",  # uvloop where there is one
                http="auto",
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=SHUTDOWN_SECONDS,
            )
        )
        self.app = app
        self.grace = grace
        self.ready = threading.Event()

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            super().run(sockets)
        finally:
            self.ready.set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting; let busy connections end by themselves for a moment; then do as uvicorn does.

        A connection that is idle for the blink between two requests would otherwise be closed just as the next
        request comes in, and that request lost.
        """
        self.app.drain()
        for server in self.servers:
            server.close()
        loop = asyncio.get_running_loop()
        end = loop.time() + self.grace
        while self.server_state.connections and loop.time() < end and not self.force_exit:
            await asyncio.sleep(0.02)
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """First signal: drain. A second Ctrl-C: leave at once. uvicorn would raise the signal again afterwards, and the
        process would not end with status 0."""
        self.app.drain()
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        self.should_exit = True
