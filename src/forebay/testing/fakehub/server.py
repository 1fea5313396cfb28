"""A hub on the loopback interface, for tests: real sockets, real protocols, faults on request.

::

    with FakeHub([Repository("Rowan/hellaswag", files={"README.md": "hello"})]) as hub:
        environment["HF_ENDPOINT"] = hub.hf_endpoint            # MODELSCOPE_ENDPOINT: hub.ms_endpoint
        ...
        hub.faults.add(HubFault(status=503), "/api/*", times=1)
        assert hub.count("*/resolve/*", method="GET") == 1
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import BaseServer
from types import MappingProxyType
from typing import Self, cast
from urllib.parse import unquote

from forebay.testing.fakehub.exchange import Answer, Host, Request, Shelf, as_json
from forebay.testing.fakehub.faults import HubFault, HubFaults
from forebay.testing.fakehub.huggingface import HuggingFace
from forebay.testing.fakehub.listener import Listener, abort
from forebay.testing.fakehub.modelscope import ModelScope
from forebay.testing.fakehub.repository import Repository
from forebay.testing.fakehub.serving import CHUNK_BYTES, Part, of_file

_MOST_BODY_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request as the hub saw it.

    Attributes:
        host: "hf", "ms" or "cdn".
        path: decoded, without the query; `query` as sent.
        headers: of the request, names in lower case.
        status: of the answer; 0 when the connection was cut instead, or nothing was answered yet.
        sent_bytes: of the body, so far; bytes handed to the kernel, which the client need not have read.
    """

    host: Host
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    status: int
    sent_bytes: int


class _Open:
    """An exchange that goes on; written by its connection's thread alone, before the bytes it counts go out."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.status = 0
        self.sent_bytes = 0

    def seen(self) -> Exchange:
        asked = self.request
        return Exchange(asked.host, asked.method, asked.path, asked.query, asked.headers, self.status, self.sent_bytes)


class FakeHub:
    """Hugging Face, its CDN and ModelScope on three ports of 127.0.0.1; the CDN's goes by the name of localhost.

    Safe to change from any thread while it serves: repositories, `faults`, `huggingface`'s and `modelscope`'s options.

    Attributes:
        faults: what goes wrong (see `HubFaults`).
        shelf: the repositories; `shelf.add` puts another one there.
        huggingface, modelscope: options of the two protocols, such as `huggingface.tree_page`.
    """

    def __init__(
        self, repositories: Iterable[Repository] = (), *, users: Mapping[str, str] | None = None, cdn: bool = True
    ) -> None:
        """Take the repositories; token -> user name (None: any token is its own user); LFS files by CDN or not."""
        self.faults = HubFaults()
        self.shelf = Shelf(repositories, users)
        self._exchanges: list[_Open] = []
        self._stopping = threading.Event()
        self._listeners: dict[Host, Listener] = {}
        for host in ("hf", "ms", "cdn"):
            # clients tell the hub from its CDN by the name of the host, some without the port
            name = "localhost" if host == "cdn" else "127.0.0.1"
            self._listeners[host] = Listener(lambda connection, host=host: self._serve(host, connection), name)
        self.huggingface = HuggingFace(self.shelf, cdn=self.cdn_endpoint if cdn else None)
        self.modelscope = ModelScope(self.shelf, cdn=self.cdn_endpoint if cdn else None)

    # Life

    def start(self) -> Self:
        """Begin to answer."""
        for listener in self._listeners.values():
            listener.open()
        return self

    def stop(self) -> None:
        """Cut all connections, end all threads, give the ports back."""
        self._stopping.set()
        for listener in self._listeners.values():
            listener.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def die(self) -> None:
        """Refuse connections, as a host does whose server is down; those that are open are reset."""
        self._stopping.set()
        for listener in self._listeners.values():
            listener.die()
        self._stopping.clear()

    def revive(self) -> None:
        """Come back at the same addresses."""
        for listener in self._listeners.values():
            if not listener.alive:
                listener.open()

    # Addresses

    @property
    def hf_endpoint(self) -> str:
        """For `HF_ENDPOINT`."""
        return self._listeners["hf"].endpoint

    @property
    def ms_endpoint(self) -> str:
        """For `MODELSCOPE_ENDPOINT`."""
        return self._listeners["ms"].endpoint

    @property
    def cdn_endpoint(self) -> str:
        """Where LFS files come from."""
        return self._listeners["cdn"].endpoint

    # What was asked

    @property
    def log(self) -> tuple[Exchange, ...]:
        """Every request since the start or `forget`, in order of arrival; none is missing that was answered."""
        return tuple(each.seen() for each in list(self._exchanges))

    def count(
        self, pattern: str = "*", *, method: str | None = None, host: Host | None = None, status: int | None = None
    ) -> int:
        """Count requests by path (or path and query; `fnmatch`), method, address and status."""
        return sum(
            (method is None or each.method == method)
            and (host is None or each.host == host)
            and (status is None or each.status == status)
            and (fnmatchcase(each.path, pattern) or fnmatchcase(f"{each.path}?{unquote(each.query)}", pattern))
            for each in self.log
        )

    def forget(self) -> None:
        """Empty the log."""
        self._exchanges.clear()

    # Serving

    def _serve(self, host: Host, connection: socket.socket) -> None:
        _Handler(connection, host, self._listeners[host].endpoint, self._exchange)

    def _exchange(self, handler: _Handler, request: Request) -> None:
        """Answer one request."""
        entry = _Open(request)
        self._exchanges.append(entry)
        answer = self._answer(request)
        target = f"{request.path}?{unquote(request.query)}"
        sends_file = answer.file is not None and request.method == "GET"
        fault = self.faults.met_by(request.method, request.path, target, sends_file=sends_file)
        if fault.latency_seconds and self._stopping.wait(fault.latency_seconds):
            fault = HubFault(reset=True)
        if fault.reset:
            handler.reset()
            return
        answer, part = _as_faulty(request, answer, fault)
        entry.status = answer.status
        handler.head(answer)
        if request.method != "HEAD":
            self._send(handler, entry, part or answer.body, fault)

    def _answer(self, request: Request) -> Answer:
        try:
            if request.host == "cdn":
                return self.huggingface.from_cdn(request)
            return self.modelscope.answer(request) if request.host == "ms" else self.huggingface.answer(request)
        except ValueError as error:  # a number, cursor or body that is none
            return as_json({"error": f"Bad request: {error}"}, 400)

    def _send(self, handler: _Handler, entry: _Open, body: Part | bytes, fault: HubFault) -> None:
        if (
            isinstance(body, Part)
            and body.whole_from_disk
            and fault.cut_after_bytes is None
            and not fault.bytes_per_second
        ):
            _send_file(handler, entry, body)
        else:
            self._send_chunks(handler, entry, body, fault)

    def _send_chunks(self, handler: _Handler, entry: _Open, body: Part | bytes, fault: HubFault) -> None:
        left = fault.cut_after_bytes
        slow = fault.bytes_per_second
        size = max(int(slow / 20), 1) if slow else CHUNK_BYTES
        for chunk in body.chunks(size) if isinstance(body, Part) else ([body] if body else []):
            if left is not None and len(chunk) >= left:
                entry.sent_bytes += left
                handler.send(chunk[:left])
                handler.close_connection = True
                return
            left = None if left is None else left - len(chunk)
            if slow and self._stopping.wait(len(chunk) / slow):
                handler.reset()
                return
            entry.sent_bytes += len(chunk)
            handler.send(chunk)


class _Handler(BaseHTTPRequestHandler):
    """Reads requests of one connection, one after the other."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def __init__(
        self, connection: socket.socket, host: Host, endpoint: str, exchange: Callable[[_Handler, Request], None]
    ) -> None:
        self.host: Host = host
        self.endpoint, self.exchange = endpoint, exchange
        super().__init__(connection, connection.getpeername(), cast("BaseServer", None))  # reads until the end

    def do_GET(self) -> None:
        """Answer any method."""
        size = int(self.headers.get("Content-Length") or 0)
        if size > _MOST_BODY_BYTES:
            self.close_connection = True
            self.head(Answer(413))
            return
        body = self.rfile.read(size)
        raw_path, _, query = self.path.partition("?")
        headers = MappingProxyType({name.lower(): value for name, value in self.headers.items()})
        self.exchange(self, Request(self.host, self.command, raw_path, query, headers, body, self.endpoint))

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815 (the base class finds them by these names)

    def head(self, answer: Answer) -> None:
        """Send status and headers."""
        self.send_response(answer.status)
        for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
            if not (answer.status == 304 and name == "Content-Length"):
                self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def send(self, data: bytes) -> None:
        """Send some of the body."""
        self.connection.sendall(data)

    def reset(self) -> None:
        """Cut the connection so that the client sees a reset."""
        self.close_connection = True
        abort(self.connection)

    def version_string(self) -> str:
        """Name the server."""
        return "fakehub"

    def date_time_string(self, timestamp: float | None = None) -> str:
        """Tell the time as HTTP has it."""
        return super().date_time_string(int(time.time() if timestamp is None else timestamp))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Stay silent: the hub has a log."""


def _send_file(handler: _Handler, entry: _Open, part: Part) -> None:
    """Let the kernel copy from the file to the connection."""
    with cast("Path", part.file.source).open("rb") as file:
        for start in range(part.start, part.start + part.length, CHUNK_BYTES):
            size = min(CHUNK_BYTES, part.start + part.length - start)
            entry.sent_bytes += size
            handler.connection.sendfile(file, start, size)


def _as_faulty(request: Request, answer: Answer, fault: HubFault) -> tuple[Answer, Part | None]:
    """Return what goes out instead of `answer`."""
    if fault.status is not None:
        told = {"Retry-After": fault.retry_after} if fault.retry_after is not None else {}
        return Answer(fault.status, told | {"Content-Type": "text/plain"}, b"fault\n"), None
    if fault.redirect_to is not None:
        where = fault.redirect_to + request.raw_path + (f"?{request.query}" if request.query else "")
        return Answer(302, {"Location": where}), None
    if fault.etag is not None:
        named = {name: f'"{fault.etag}"' for name in answer.headers if name in ("ETag", "X-Linked-ETag")}
        answer = Answer(answer.status, {**answer.headers, **named}, answer.body, answer.file)
    part = None
    if answer.file is not None:
        answer, part = of_file(request, answer, answer.file, fault)
    dropped = {name.lower() for name in fault.drop_headers}
    headers = {name: value for name, value in answer.headers.items() if name.lower() not in dropped}
    return Answer(answer.status, headers, answer.body), part
