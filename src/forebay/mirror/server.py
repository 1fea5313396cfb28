"""The mirror as a process: granian around the application, a socket of ours, an orderly end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forebay.errors import ConfigError

if TYPE_CHECKING:
    from forebay.mirror.app import App

_BACKLOG = 1024


@dataclass(frozen=True, slots=True)
class Tls:
    """Files in PEM with the server's certificate (and its chain) and its key."""

    certificate: Path
    key: Path


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 takes a free one.

    Raises:
        ConfigError: that address is not ours, or somebody has the port.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise ConfigError(f"no such address: {host}", subject=host, hint="give --host an address") from error
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        hint = "give another --port, or 0 for a free one"
        raise ConfigError(f"cannot listen at {host}:{port}: {error.strerror}", subject=port, hint=hint) from error
    return listener


def endpoint(listener: socket.socket, tls: Tls | None = None) -> str:
    """Return the address of a listening socket as clients write it."""
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return f"{'https' if tls else 'http'}://{shown}:{port}"


async def serve(
    app: App,
    listener: socket.socket,
    stop: asyncio.Event,
    *,
    tls: Tls | None = None,
    grace_seconds: float = 5.0,
    ready: Callable[[], None],
) -> None:
    """Serve until `stop` is set; then finish what has begun.

    Args:
        app: the application.
        listener: a listening socket; it is closed in the end.
        stop: set it from the event loop's thread.
        tls: None: plain HTTP.
        grace_seconds: how long to wait in the end for answers that have begun.
        ready: called once connections are answered.

    Raises:
        ConfigError: the server is not installed, or cannot use the certificate.
    """
    server = _server(app, listener, tls)
    serving = asyncio.create_task(server.serve())
    stopping = asyncio.create_task(stop.wait())
    server.on_startup(ready)
    await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
    if serving.done():
        stopping.cancel()
        serving.result()
        return
    server.stop()
    try:
        await asyncio.wait_for(serving, grace_seconds)
    except TimeoutError:  # a client that reads too slowly for us to wait for, or waits for a hub that hangs
        asyncio.get_running_loop().set_exception_handler(_after_the_end)


def _after_the_end(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Say nothing of granian's telling the end to a future of its own that is over."""
    if not isinstance(context.get("exception"), asyncio.InvalidStateError):
        loop.default_exception_handler(context)


def _check(tls: Tls) -> None:
    """Read both files as the server will, which would ask the terminal for a pass phrase.

    Raises:
        ConfigError: they cannot be used.
    """
    import ssl

    def no_phrase() -> str:
        hint = f"write it without: openssl pkey -in {tls.key} -out FILE"
        raise ConfigError(f"the key in {tls.key} is under a pass phrase", subject=tls.key, hint=hint)

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tls.certificate, tls.key, no_phrase)
    except OSError as error:  # ssl.SSLError among them
        hint = "give a certificate and its own key, both in PEM"
        raise ConfigError(f"cannot use the certificate: {error}", subject=tls, hint=hint) from error


def _server(app: App, listener: socket.socket, tls: Tls | None) -> Any:
    try:
        from granian._granian import SocketHolder
        from granian.constants import HTTPModes, Interfaces, SSLProtocols
        from granian.server.embed import Server
    except ImportError as error:
        what = "the mirror needs granian, which is not installed"
        raise ConfigError(what, hint="pip install granian") from error

    class OnOurSocket(Server):
        """Granian would bind an address itself; ours may lie in another network namespace, at a port of its choice."""

        def _init_shared_socket(self) -> None:
            listener.setblocking(False)
            # Connections inherit it. Without, the last part of an answer waits 40 ms for the client's delayed ACK.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # the stub forgets what it is made from: descriptor, Unix socket or not, backlog
            self._shd = SocketHolder(listener.detach(), False, _BACKLOG)  # pyright: ignore[reportCallIssue]
            self._sfd, self._ssp = self._shd.get_fd(), None

    if tls is not None:
        _check(tls)
    return OnOurSocket(
        app,
        interface=Interfaces.ASGI,
        http=HTTPModes.http1,
        websockets=False,
        backlog=_BACKLOG,
        runtime_threads=2,
        log_enabled=False,
        ssl_cert=tls.certificate if tls else None,
        ssl_key=tls.key if tls else None,
        ssl_protocol_min=SSLProtocols.tls12,
    )
