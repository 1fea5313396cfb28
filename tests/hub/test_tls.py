"""Hubs whose certificates are not taken: told at once, with what to do, and the next mirror is asked."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from forebay.errors import ConfigError, OriginError
from forebay.hub import HubSettings

from .certificates import certificate  # pyright: ignore
from .conftest import FILES, World  # pyright: ignore

DATASET = "hf://datasets/team/small"


@contextmanager
def greeted(context: ssl.SSLContext) -> Generator[tuple[int, list[int]]]:
    """A port behind which TLS is begun and nothing follows; and a list with an element for each connection."""
    connections: list[int] = []

    def greet(client: socket.socket) -> None:
        with suppress(OSError), context.wrap_socket(client, server_side=True) as inside:
            inside.recv(1)

    def accept() -> None:
        with suppress(OSError):
            while True:
                client, _ = listening.accept()
                connections.append(1)
                threading.Thread(target=greet, args=(client,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=accept, daemon=True).start()
        try:
            yield listening.getsockname()[1], connections
        finally:
            with suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    ("name", "days", "trusted", "says"),
    [
        ("127.0.0.1", 2, False, r"self.signed certificate; set SSL_CERT_FILE \(or REQUESTS_CA_BUNDLE\)"),
        ("127.0.0.1", -1, True, r"certificate has expired; check this machine's clock"),
        ("127.0.0.2", 2, True, r".*mismatch.*; use the name that it was issued for"),
        ("hub.example", 2, True, r".*mismatch.*; use the name that it was issued for"),
    ],
)
def test_a_certificate_that_is_not_taken(
    world: World, tmp_path: Path, name: str, days: int, trusted: bool, says: str
) -> None:
    path, context = certificate(tmp_path, name, days=days)
    with greeted(context) as (port, connections):
        at = f"127.0.0.1:{port}"
        hub = world.hub(hf_endpoints=(f"https://{at}",), ca_bundle=str(path) if trusted else None)
        with pytest.raises(OriginError, match=f"^the certificate of {at} is not trusted: {says}"):
            hub.resolve(DATASET)
        assert len(connections) == 1  # to ask again is of no use
        mirrors = (f"https://{at}", world.fake.hf_endpoint)
        hub = world.hub(hf_endpoints=mirrors, ca_bundle=str(path) if trusted else None)
        assert bytes(hub.read(hub.resolve(DATASET), "README.md")) == FILES["README.md"]
        assert f"the certificate of {at} is not trusted" in world.warnings()[0]


def test_https_where_http_is_spoken(world: World) -> None:
    hub = world.hub(hf_endpoints=(world.fake.hf_endpoint.replace("http:", "https:"),))
    with pytest.raises(OriginError, match=r"^127\.0\.0\.1:\d+ does not speak TLS; write http://, or check the port$"):
        hub.resolve(DATASET)


def test_certificates_that_are_none(world: World, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate\n")
    settings: dict[str, object] = {"hf_endpoints": ("https://127.0.0.1:1",), "ca_bundle": str(tmp_path / "ca.pem")}
    assert isinstance(world.settings(**settings), HubSettings)
    with pytest.raises(ConfigError, match=r"cannot read certificates from .*ca\.pem.*; set or unset SSL_CERT_FILE"):
        world.hub(**settings).resolve(DATASET)
