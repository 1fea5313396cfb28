"""Many clients at once, some of whom mean no good: what they hold of the mirror, and what others still get."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import MutableMapping
from contextlib import ExitStack, closing
from typing import Any
from urllib.parse import urlsplit

import pytest

from forebay.mirror import app as application
from forebay.mirror.app import App
from forebay.mirror.gate import Gate
from forebay.mirror.tally import Tally
from forebay.testing import FakeHub, HubFault, Repository

BIG = bytes(range(256)) * (2 << 12)
HELD = "/datasets/a/b/resolve/main/held.json"
ASKED = "/api/datasets/a/b/paths-info/main"


@pytest.fixture
def fake():
    with FakeHub([Repository("a/b", files={"big.bin": BIG, "held.json": "{}"})]) as hub:
        yield hub


async def posted(app: App, pieces: list[bytes], *, then_silent: bool = False) -> tuple[int, int]:
    """Send a body piece by piece; return the status of the answer, and how many pieces were taken for it."""
    taken, status = 0, 0

    async def receive() -> dict[str, Any]:
        nonlocal taken
        if then_silent and taken == len(pieces):
            await asyncio.sleep(3600)
        taken += 1
        return {"type": "http.request", "body": pieces[taken - 1], "more_body": then_silent or taken < len(pieces)}

    async def send(message: MutableMapping[str, Any]) -> None:
        nonlocal status
        status = message.get("status", status)

    headers = [(b"content-type", b"application/x-www-form-urlencoded")]
    scope = {"type": "http", "method": "POST", "path": ASKED, "headers": headers, "client": ("127.0.0.1", 5)}
    await app(scope, receive, send)
    return status, taken


@pytest.mark.parametrize(("gate", "status"), [(Gate(token="mine"), 401), (Gate(allow=("10.0.0.0/8",)), 403)])
def test_of_who_may_not_ask_no_body_is_taken(gate: Gate, status: int, fake, bench) -> None:
    with closing(App(bench(fake).library, gate, Tally())) as app:
        assert asyncio.run(posted(app, [b"x" * 2**20] * 8)) == (status, 0)


def test_a_body_that_does_not_end_is_not_waited_for(fake, bench, monkeypatch) -> None:
    monkeypatch.setattr(application, "_BODY_SECONDS", 0.1)
    with closing(App(bench(fake).library, Gate(), Tally())) as app:
        assert asyncio.run(posted(app, [b"paths=held.json"])) == (200, 1)
        assert asyncio.run(posted(app, [b"paths="], then_silent=True)) == (408, 1)


def test_who_waits_for_a_hub_that_hangs_holds_nobody_up(fake, start_mirror, upstream, wait_until) -> None:
    mirror = start_mirror(*upstream(fake))
    assert mirror.ask(HELD).body == b"{}"
    fake.faults.add(HubFault(latency_seconds=60), "*big.bin*")
    address = urlsplit(mirror.endpoint)
    with ExitStack() as stack:
        for _ in range(200):
            waiting = stack.enter_context(closing(socket.create_connection((address.hostname, address.port))))
            waiting.sendall(b"GET /datasets/a/b/resolve/main/big.bin HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_until(lambda: fake.count("*big.bin*"))
        assert mirror.ask(HELD).body == b"{}"
        assert mirror.counts()["files"] == 1


@pytest.mark.parametrize("hanging", ["*big.bin*", "/api/*"])
def test_it_stops_while_a_hub_hangs(hanging: str, fake, tmp_path, start_mirror, upstream, wait_until) -> None:
    fake.faults.add(HubFault(latency_seconds=120), hanging)
    mirror = start_mirror(*upstream(fake))
    address = urlsplit(mirror.endpoint)
    with closing(socket.create_connection((address.hostname, address.port))) as waiting:
        waiting.sendall(b"GET /datasets/a/b/resolve/main/big.bin HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_until(lambda: fake.count(hanging))
        assert mirror.stop() == 0
    assert "Traceback" not in "".join(path.read_text() for path in tmp_path.glob("*.log"))
