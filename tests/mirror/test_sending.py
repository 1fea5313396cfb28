"""How bytes at rest go out: piece by piece, as long as somebody takes them."""

from __future__ import annotations

import asyncio
import http.client
from collections.abc import MutableMapping
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from forebay.mirror import content
from forebay.mirror.app import App
from forebay.mirror.content import AtRest, Reading
from forebay.mirror.gate import Gate
from forebay.mirror.tally import Tally
from forebay.testing import FakeHub, Repository

BIG = bytes(range(256)) * (64 << 12)  # 64 MiB: more than sockets hold
PATH = "/datasets/a/b/resolve/main/big.bin"
PIECE = 2**18


@pytest.fixture
def fake():
    with FakeHub([Repository("a/b", files={"big.bin": BIG})]) as hub:
        yield hub


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(BIG[: 2**20 + 5])
    return path


def all_of(reading: Reading) -> bytes:
    pieces: list[bytes] = []
    while reading.left:
        reading.at_once(PIECE)
        pieces.append(reading.read(PIECE))
    reading.close()
    return b"".join(pieces)


@pytest.mark.parametrize(("start", "end"), [(0, 2**20 + 5), (7, 2**20), (2**19, 2**19 + 1), (5, 5)])
@pytest.mark.parametrize("can_tell", [True, False])
def test_bytes_at_rest_come_in_order(file: Path, start: int, end: int, can_tell: bool, monkeypatch) -> None:
    if not can_tell:
        monkeypatch.setattr(content, "_NOWAIT", None)
    reading = AtRest(file, start, end).open()
    assert reading is not None
    assert can_tell or not reading.at_once(PIECE)
    assert all_of(reading) == BIG[start:end]


def test_a_file_that_is_gone_or_was_cut(tmp_path: Path, file: Path) -> None:
    assert AtRest(tmp_path / "none", 0, 10).open() is None
    reading = AtRest(file, 0, 2**20 + 5).open()
    assert reading is not None
    with file.open("r+b") as cut:
        cut.truncate(2**19)
    with closing(reading), pytest.raises(OSError, match="ends at 524288 bytes"):
        all_of(reading)


async def answered(
    app: App, headers: dict[str, str], leaves_after: int | None = None, largest: list[int] | None = None
) -> int:
    """Ask for the file as a server would; return the bytes of the answer until the client has left."""
    size, pieces, left, asked = 0, 0, asyncio.Event(), False

    async def receive() -> dict[str, Any]:
        nonlocal asked
        if asked:
            await left.wait()
            return {"type": "http.disconnect"}
        asked = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        nonlocal size, pieces
        size += len(message.get("body", b""))
        if largest is not None:
            largest.append(len(message.get("body", b"")))
        pieces += message["type"] == "http.response.body"
        if pieces == leaves_after:
            left.set()

    fields = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "GET", "path": PATH, "query_string": b"", "headers": fields}
    await app(scope, receive, send)
    return size


@pytest.mark.parametrize("asked", [{}, {"Range": "bytes=1-"}])
def test_for_a_client_that_has_gone_nothing_more_is_read(asked: dict[str, str], fake, bench) -> None:
    app = App(bench(fake).library, Gate(), Tally())
    size = len(BIG) - len(asked)
    with closing(app):
        assert asyncio.run(answered(app, {})) == len(BIG)
        assert asyncio.run(answered(app, asked)) == size
        before = app.counts()["bytes_sent"]
        sent = asyncio.run(answered(app, asked, leaves_after=3))
        assert sent < size // 4
        assert app.counts()["bytes_sent"] == before + sent


def test_what_is_fetched_goes_out_in_small_pieces_as_long_as_somebody_takes_it(fake, bench) -> None:
    """The server keeps some pieces for each reader that is slow."""
    app, largest = App(bench(fake).library, Gate(), Tally()), list[int]()
    with closing(app):
        sent = asyncio.run(answered(app, {}, leaves_after=3, largest=largest))
        assert sent < len(BIG) // 4
        assert max(largest) <= PIECE
        assert asyncio.run(answered(app, {})) == len(BIG)
        assert app.counts()["failed"] == app.counts()["cut"] == 0


def test_a_client_that_goes_leaves_the_mirror_as_it_was(fake, start_mirror, upstream, wait_until) -> None:
    mirror = start_mirror(*upstream(fake))
    assert mirror.ask(PATH).body == BIG
    with closing(http.client.HTTPConnection(urlsplit(mirror.endpoint).netloc, timeout=30)) as connection:
        connection.request("GET", PATH)
        with closing(connection.getresponse()) as answer:
            assert len(answer.read(1000)) == 1000
    wait_until(lambda: mirror.counts()["files"] == 1)
    assert mirror.ask(PATH, Range="bytes=5-").body == BIG[5:]
    assert mirror.counts()["failed"] == 0


def test_many_read_at_once(fake, start_mirror, upstream) -> None:
    from concurrent.futures import ThreadPoolExecutor

    mirror = start_mirror(*upstream(fake))
    starts = range(0, len(BIG), len(BIG) // 8)
    mirror.ask(PATH, "HEAD")
    assert mirror.ask(PATH).body == BIG
    with ThreadPoolExecutor(8) as pool:
        parts = list(pool.map(lambda at: mirror.ask(PATH, Range=f"bytes={at}-").body, starts))
    assert all(part == BIG[at:] for at, part in zip(starts, parts, strict=True))
