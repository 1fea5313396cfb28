"""One mirror, from its options to its end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from forebay import config
from forebay.errors import ConfigError
from forebay.events import Event, What
from forebay.mirror.environment import check_addresses
from forebay.mirror.gate import Gate
from forebay.mirror.server import Tls, endpoint, listen, serve
from forebay.mirror.tally import Tally
from forebay.types import JSON

if TYPE_CHECKING:
    from forebay.hub import Hub
    from forebay.mirror.shelf import Shelf
    from forebay.store import Store

DEFAULT_PORT = 8970

_GRACE_SECONDS = 3.0
_OWNED_GRACE_SECONDS = 0.5  # the command that it was for has ended


@dataclass(frozen=True, slots=True)
class MirrorOptions:
    """How a mirror is run.

    Attributes:
        hf_upstream, ms_upstream: addresses to ask, in order; none: as the settings say.
        offline: never ask them.
        host, port: where to listen; port 0 takes a free one.
        listen_fd: a listening socket to use instead.
        token, allow: see `Gate`.
        tls: certificate and key; None: plain HTTP.
        fresh_seconds: how long the hub's last answer about a branch is taken for true; None: as the settings say.
        serve_restricted: give gated and private repositories to all that pass the gate.
        private: who the one user is that the mirror is for: "user", whoever runs as the user that we are; "cell", all
            that can reach it at all; "": it is for many. See `Admission`.
        prepared_into: the cache of datasets of the one program that is served, see `Shelf`; None: no such program.
        prepared_kept: where that program's datasets lie otherwise; None: nowhere.
        prepared_later: do not let that program wait for what is not prepared, see `Shelf`.
        ready_file: the address is written there once it is answered.
        stop_on_eof: end when standard input does.
        tell: given one line a request.
        warn: given one line for what goes wrong.
    """

    hf_upstream: tuple[str, ...] = ()
    ms_upstream: tuple[str, ...] = ()
    offline: bool = False
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    listen_fd: int | None = None
    token: str = ""
    allow: tuple[str, ...] = ()
    tls: Tls | None = None
    fresh_seconds: float | None = None
    serve_restricted: bool = False
    private: Literal["", "user", "cell"] = ""
    prepared_into: Path | None = None
    prepared_kept: Path | None = None
    prepared_later: bool = False
    ready_file: Path | None = None
    stop_on_eof: bool = False
    tell: Callable[[str], None] | None = field(default=None, repr=False)
    warn: Callable[[str], None] | None = field(default=None, repr=False)


def hub_settings(options: MirrorOptions) -> config.HubSettings:
    """Return how a mirror asks upstream."""
    settings = config.resolve_hub()
    check_addresses((*options.hf_upstream, *options.ms_upstream))
    given = {
        "hf_endpoints": tuple(url.rstrip("/") for url in options.hf_upstream) or None,
        "ms_endpoints": tuple(url.rstrip("/") for url in options.ms_upstream) or None,
        "fresh_seconds": options.fresh_seconds,
        "offline": options.offline,
    }
    return replace(settings, **{name: value for name, value in given.items() if value is not None})  # pyright: ignore[reportArgumentType]  # each fits its field


def run_mirror(
    store: Store,
    options: MirrorOptions,
    *,
    ready: Callable[[str], None],
    done: Callable[[Mapping[str, JSON]], None],
) -> None:
    """Serve until SIGTERM, SIGINT or the end of standard input.

    Args:
        store: what is served, and where to what is fetched goes.
        options: how.
        ready: told the mirror's address once it answers.
        done: told the counts in the end.

    Raises:
        ConfigError: an option is wrong, or the address is taken.
    """
    from forebay.hub import Hub
    from forebay.mirror.app import App
    from forebay.mirror.library import Library

    gate = Gate(options.token, options.allow)
    gate.check(options.host, encrypted=options.tls is not None)
    tally = Tally(options.tell, options.warn)
    settings = hub_settings(options)
    listener = _listener(options)
    own = endpoint(listener, options.tls)
    if not settings.offline and own in (*settings.hf_endpoints, *settings.ms_endpoints):
        hint = "unset HF_ENDPOINT and MODELSCOPE_ENDPOINT here, or give --upstream"
        raise ConfigError(f"upstream of the mirror at {own} is that mirror itself", subject=own, hint=hint)
    try:
        hook = _noting(options.warn)
        with Hub(store, settings, hook=hook) as hub:
            private = options.private != ""
            restricted = options.serve_restricted
            library = Library(hub, settings, serve_restricted=restricted, private=private, hook=hook)
            app = App(library, gate, tally, _shelf(hub, settings, options), _owner(options, listener))
            loading = threading.Thread(target=_load, args=(hub,), name="mirror-load")

            def answering(address: str) -> None:
                ready(address)
                if not settings.offline and not options.stop_on_eof:  # a command of ours begins now: it has more to do
                    loading.start()

            try:
                asyncio.run(_serve(app, listener, options, answering))
            finally:
                if loading.ident is not None:
                    loading.join()  # a process that ends takes OpenSSL away from whoever reads certificates
                hub.end()
                app.close()
            done(app.counts())
    finally:
        listener.close()


def _load(hub: Hub) -> None:
    """Load what asking upstream needs while nobody waits for it: half of the first answer's time."""
    try:
        hub.load()
    except ConfigError:
        pass  # told to whoever asks


def _owner(options: MirrorOptions, listener: socket.socket) -> Callable[[tuple[str, int]], bool]:
    """Return what tells the user that the mirror is for from others, by address and port."""
    from forebay.mirror.peer import is_ours

    port = listener.getsockname()[1]
    if options.private == "user":
        return lambda client: is_ours(client, port)
    return lambda _: options.private == "cell"


def _shelf(hub: Hub, settings: config.HubSettings, options: MirrorOptions) -> Shelf | None:
    from forebay.mirror.shelf import Shelf

    if options.prepared_into is None:
        return None
    return Shelf(
        hub,
        options.prepared_into,
        kept=options.prepared_kept,
        offline=settings.offline,
        waits=not options.prepared_later,
        warn=options.warn,
    )


async def _serve(app: object, listener: socket.socket, options: MirrorOptions, ready: Callable[[str], None]) -> None:
    from forebay.mirror.app import App

    assert isinstance(app, App)
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if options.stop_on_eof:
        threading.Thread(target=_watch_input, args=(loop, stop), name="mirror-input", daemon=True).start()
    address = endpoint(listener, options.tls)

    def begun() -> None:
        if options.ready_file is not None:
            _publish(options.ready_file, address)
        ready(address)

    grace = _OWNED_GRACE_SECONDS if options.stop_on_eof else _GRACE_SECONDS
    await serve(app, listener, stop, tls=options.tls, grace_seconds=grace, ready=begun)


def _listener(options: MirrorOptions) -> socket.socket:
    if options.listen_fd is not None:
        return socket.socket(fileno=options.listen_fd)
    return listen(options.host, options.port)


def _publish(path: Path, address: str) -> None:
    """Write the address so that who waits for the file never finds half of it.

    Raises:
        ConfigError: it cannot be written.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(f"{address}\n", "utf-8")
        beside.replace(path)
    except OSError as error:
        hint = "give --ready-file a file that can be written"
        raise ConfigError(f"cannot write {path}: {error.strerror}", subject=path, hint=hint) from error


def _watch_input(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    while os.read(0, 4096):
        pass
    try:
        loop.call_soon_threadsafe(stop.set)
    except RuntimeError:
        pass  # the loop has ended before


def _noting(warn: Callable[[str], None] | None) -> Callable[[Event], None]:
    """Tell what a hub warns of, each thing once."""
    from forebay.events import OncePerMessage

    def tell(event: Event) -> None:
        if warn is not None and event.what is What.WARNING:
            warn(event.message)

    return OncePerMessage(tell)
