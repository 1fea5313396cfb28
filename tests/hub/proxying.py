"""Proxies on loopback that lead every address to one port: HTTP with tunnels, and SOCKS 5."""

from __future__ import annotations

import base64
import socket
import ssl
import struct
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class Proxy:
    """What it is told, and what it has seen.

    Attributes:
        port: of the one that it leads to.
        credentials: ``NAME:PASSWORD`` that it wants; "": none.
        inside: answers TLS within a tunnel, in the place of the one that it leads to, which speaks none.
        bars: how it refuses tunnels, ``403 Forbidden`` say; "": it does not.
        address: ``127.0.0.1:PORT`` of its own.
        seen: addresses that it was asked for.
        refused: how often it wanted other credentials.
    """

    port: int
    credentials: str = ""
    inside: ssl.SSLContext | None = None
    bars: str = ""
    address: str = ""
    seen: list[str] = field(default_factory=list[str])
    refused: int = 0

    def serve_http(self, client: socket.socket) -> None:
        head, rest = _head(client)
        lines = head.decode().split("\r\n")
        method, target, _ = lines[0].split(" ")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        given = base64.b64decode(fields.get("proxy-authorization", "").removeprefix("Basic ")).decode()
        if self.credentials and given != self.credentials:
            self.refused += 1
            client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n")
            client.sendall(b"Content-Length: 0\r\nConnection: close\r\n\r\n")
            return
        if method == "CONNECT":
            self.seen.append(target)
            if self.bars:
                client.sendall(f"HTTP/1.1 {self.bars}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
                return
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            self._lead(self.inside.wrap_socket(client, server_side=True) if self.inside else client, b"")
            return
        _, _, address = target.partition("://")
        host, _, path = address.partition("/")
        self.seen.append(host)
        kept = [line for line in lines[1:] if not line.lower().startswith(("proxy-authorization:", "connection:"))]
        request = [f"{method} /{path} HTTP/1.1", *kept, "Connection: close", "", ""]
        self._lead(client, "\r\n".join(request).encode() + rest)

    def serve_socks(self, client: socket.socket) -> None:
        """RFC 1928 and 1929."""
        _, count = _exactly(client, 2)
        methods = _exactly(client, count)
        wanted = 2 if self.credentials else 0
        client.sendall(bytes([5, wanted if wanted in methods else 255]))
        if wanted == 2:
            _, length = _exactly(client, 2)
            name = _exactly(client, length)
            password = _exactly(client, _exactly(client, 1)[0])
            right = b":".join((name, password)).decode() == self.credentials
            self.refused += not right
            client.sendall(bytes([1, 0 if right else 1]))
            if not right:
                return
        kind = _exactly(client, 4)[3]
        host = _exactly(client, _exactly(client, 1)[0]).decode() if kind == 3 else socket.inet_ntoa(_exactly(client, 4))
        self.seen.append(f"{host}:{struct.unpack('!H', _exactly(client, 2))[0]}")
        client.sendall(bytes([5, 0, 0, 1, 0, 0, 0, 0, 0, 0]))
        self._lead(client, b"")

    def _lead(self, client: socket.socket, begun: bytes) -> None:
        with client, socket.create_connection(("127.0.0.1", self.port)) as behind:
            behind.sendall(begun)
            back = threading.Thread(target=_pour, args=(behind, client), daemon=True)
            back.start()
            _pour(client, behind)
            back.join()


@contextmanager
def proxy(port: int, *, socks: bool = False, **more: object) -> Generator[Proxy]:
    """Serve until the end of the block."""
    one = Proxy(port, **more)  # pyright: ignore[reportArgumentType]
    serve = one.serve_socks if socks else one.serve_http
    with socket.create_server(("127.0.0.1", 0)) as listening:
        one.address = f"127.0.0.1:{listening.getsockname()[1]}"

        def answer(client: socket.socket) -> None:
            with suppress(OSError), client:
                serve(client)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    threading.Thread(target=answer, args=(listening.accept()[0],), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield one
        finally:
            with suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)


def _head(client: socket.socket) -> tuple[bytes, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        more = client.recv(65536)
        if not more:
            raise ConnectionResetError
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def _exactly(client: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = client.recv(count - len(data))
        if not more:
            raise ConnectionResetError
        data += more
    return data


def _pour(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
