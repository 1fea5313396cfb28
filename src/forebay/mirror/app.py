"""The mirror as an ASGI application: one per process, under any server that speaks ASGI 3.

Answers are made on threads (they read files, and may ask upstream), bodies go out from the event loop: pieces of files
at rest are read by it where they are in memory, all others on threads. The last byte of any answer waits until all of
the file is known to be right, so that no client can take wrong bytes for a whole answer: if they turn out to be wrong,
or do not come, the connection is cut before that.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Generator, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

from forebay.errors import ForebayError
from forebay.mirror.content import Content, Reading
from forebay.mirror.exchange import Answer, Request, as_json
from forebay.mirror.gate import Gate
from forebay.mirror.huggingface import HuggingFace
from forebay.mirror.library import Library
from forebay.mirror.modelscope import ModelScope
from forebay.mirror.shelf import Shelf
from forebay.mirror.tally import Tally
from forebay.types import JSON

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

STATUS_PATH = "/-/mirror"
MODELSCOPE_PREFIX = "/-/ms"

_MOST_BODY_BYTES = 16 * 2**20
_BODY_SECONDS = 60.0
_FORWARDED = ("proto", "host", "prefix")
"""What a reverse proxy says in `X-Forwarded-…`."""
_SMALL_BYTES = 2**18
"""What is not larger goes out with its headers: opening a file for it would cost more than copying it."""
_PIECE_BYTES = 2**18
"""Of a file at rest at a time: what a processor's own cache holds of it while it goes on to the socket."""
_FEW = 8
"""So many files at a time may take that much memory each; of more, each takes half."""
_TURN = 8
"""Pieces after which others have their turn."""
_THREADS = 1024
"""One for each answer that waits for upstream: where it hangs, so many may wait before what the store has does, too."""


def _no_owner(_: tuple[str, int]) -> bool:
    return False


class Cut(Exception):
    """Ends a connection in the middle of an answer: what would follow is wrong, or will not come."""


class App:
    """Both protocols, what was served, and who may ask. Safe for one event loop.

    Args:
        library: where snapshots and bytes come from.
        gate: who may ask at all.
        tally: counts.
        shelf: prepared Arrow for the one program that is served; None: there is no such program.
        owns: whether a client, told by address and port, is the user that the mirror is for.
    """

    def __init__(
        self,
        library: Library,
        gate: Gate,
        tally: Tally,
        shelf: Shelf | None = None,
        owns: Callable[[tuple[str, int]], bool] = _no_owner,
    ) -> None:
        self.library, self.gate, self.tally, self._shelf, self._owns = library, gate, tally, shelf, owns
        self._huggingface, self._modelscope = HuggingFace(library, shelf=shelf), ModelScope(library)
        self._sending = 0
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="mirror")

    def close(self) -> None:
        """End the threads; what is being fetched goes on to its next piece."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        if self._shelf is not None:
            self._shelf.close()

    def counts(self) -> dict[str, JSON]:
        """Return what was done so far."""
        prepared: dict[str, JSON] = {} if self._shelf is None else {"prepared": self._shelf.loads}
        return self.tally.to_json() | self.library.to_json() | prepared

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one connection's request (ASGI)."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        request, client = _request(scope), _client(scope)
        answer = self.gate.refusal(request, client[0])
        if answer is None:
            answer = await self._admitted(receive, replace(request, owns=partial(self._owns, client)))
        with self.tally.serving(request, answer) as served:
            await self._send(receive, send, request, answer, served)

    async def _admitted(self, receive: Receive, request: Request) -> Answer:
        """Answer who has passed the gate: only from them is a body taken into memory."""
        if request.method not in ("GET", "HEAD"):
            try:
                body = await asyncio.wait_for(_body(receive), _BODY_SECONDS)
            except TimeoutError:
                return as_json({"error": f"the request's body took more than {_BODY_SECONDS:.0f} seconds"}, 408)
            if body is None:
                return as_json({"error": f"more than {_MOST_BODY_BYTES} bytes"}, 413)
            request = replace(request, body=body)
        return await self._on_thread(self._answer, request)

    async def _on_thread(self, work: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)

    def _answer(self, request: Request) -> Answer:
        if request.raw_path == STATUS_PATH:
            return as_json(self.counts())
        try:
            request = self.gate.for_hub(request)
            if request.raw_path.startswith(f"{MODELSCOPE_PREFIX}/"):
                return self._modelscope.answer(request.below(MODELSCOPE_PREFIX))
            if request.segments[:2] == ("api", "v1"):
                return self._modelscope.answer(request)
            return self._huggingface.answer(request)
        # A client must get an answer whatever happens here; the tally tells the operator.
        except Exception as error:  # noqa: BLE001
            self.tally.failed(request, error)
            return as_json({"error": f"the mirror failed: {type(error).__name__}: {error}"}, 500)

    async def _send(
        self,
        receive: Receive,
        send: Send,
        request: Request,
        answer: Answer,
        served: Callable[[int], None],
    ) -> None:
        content = answer.content
        headers = [(name.lower().encode(), _header(value)) for name, value in answer.headers.items()]
        if answer.status != 304:
            headers.append((b"content-length", b"%d" % answer.length))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        if content is None or request.method == "HEAD":
            served(len(answer.body))
            await send({"type": "http.response.body", "body": b"" if request.method == "HEAD" else answer.body})
            return
        try:
            file = None
            if content.at_rest is not None and answer.length > _SMALL_BYTES:
                file = await self._on_thread(content.at_rest.open)
            if file is None:
                await self._send_pieces(receive, send, answer, content, served)
            else:
                with closing(file):
                    await self._send_file(receive, send, file, served)
        except (ForebayError, OSError) as error:
            self.tally.cut(error)
            raise Cut(str(error)) from error

    async def _send_file(self, receive: Receive, send: Send, file: Reading, served: Callable[[int], None]) -> None:
        """Send bytes at rest, as long as there is somebody who takes them."""
        with self._sending_to(receive) as gone:
            for number in itertools.count(1):
                size = self._piece_bytes
                piece = file.read(size) if file.at_once(size) else await self._on_thread(file.read, size)
                await send({"type": "http.response.body", "body": piece, "more_body": file.left > 0})
                served(len(piece))
                if number % _TURN == 0:
                    await asyncio.sleep(0)  # neither bytes in memory nor a client that is gone have made us wait
                if not file.left or gone.done():
                    return

    @contextmanager
    def _sending_to(self, receive: Receive) -> Generator[asyncio.Future[None]]:
        """Count one more answer that goes out; what it yields is done when nobody takes it any more."""
        gone = asyncio.ensure_future(_gone(receive))
        self._sending += 1
        try:
            yield gone
        finally:
            self._sending -= 1
            gone.cancel()

    @property
    def _piece_bytes(self) -> int:
        """How much goes out at a time: the server keeps some such pieces for each client that is slow."""
        return _PIECE_BYTES if self._sending <= _FEW else _PIECE_BYTES // 2

    async def _send_pieces(
        self, receive: Receive, send: Send, answer: Answer, content: Content, served: Callable[[int], None]
    ) -> None:
        pieces = content.pieces()
        if not content.fetched and answer.length <= _SMALL_BYTES:
            body = b"".join(pieces)
            served(len(body))
            await send({"type": "http.response.body", "body": body})
            return
        with self._sending_to(receive) as gone:
            while not gone.done() and (piece := await self._on_thread(next, pieces, b"")):
                size = self._piece_bytes
                for at in range(0, len(piece), size):
                    part = piece if len(piece) <= size else piece[at : at + size]
                    await send({"type": "http.response.body", "body": part, "more_body": True})
                    served(len(part))
            await send({"type": "http.response.body", "body": b"", "more_body": False})


def _request(scope: MutableMapping[str, Any]) -> Request:
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    raw_path = scope.get("raw_path") or scope["path"].encode()
    path = raw_path.decode("latin-1").partition("?")[0]
    query = scope.get("query_string", b"").decode("latin-1")
    return Request(scope["method"].upper(), path, query, headers, origin=_origin(scope, headers))


def _origin(scope: MutableMapping[str, Any], headers: Mapping[str, str]) -> str:
    """Return how the client calls us; a reverse proxy says how it calls that one.

    Anybody can say so, and gets links that lead astray in the answer to that very request, and nowhere else.
    """
    told = {name: headers.get(f"x-forwarded-{name}", "").partition(",")[0].strip() for name in _FORWARDED}
    scheme = told["proto"] if told["proto"] in ("http", "https") else scope.get("scheme", "http")
    prefix = told["prefix"].rstrip("/") if told["prefix"].startswith("/") else ""
    return f"{scheme}://{told['host'] or headers.get('host', 'localhost')}{prefix}"


def _header(value: str) -> bytes:
    """Return a header's value without what must not stand in one: some of it comes from clients, or from upstream."""
    return "".join(letter if " " <= letter <= "~" else "?" for letter in value).encode("ascii")


def _client(scope: MutableMapping[str, Any]) -> tuple[str, int]:
    client = scope.get("client")
    return (str(client[0]), int(client[1])) if client else ("", 0)


async def _body(receive: Receive) -> bytes | None:
    """Return the request's body; None: it is too long."""
    pieces: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        piece = message.get("body", b"")
        size += len(piece)
        if size > _MOST_BODY_BYTES:
            return None
        pieces.append(piece)
        more = message["type"] == "http.request" and message.get("more_body", False)
    return b"".join(pieces)


async def _gone(receive: Receive) -> None:
    """Return when the client has gone, or has all."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _live(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
