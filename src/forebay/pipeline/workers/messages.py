"""What the parent and its workers say to each other, and a worker's side of it.

Frames over a socket pair: a 4-byte big-endian length and UTF-8 JSON. A worker is sent ``{"number": n, "task": …}``. It
sends ``{"pid": p}`` (first of all), ``{"began": n}``, ``{"at": text}`` (what it is doing now, for the message should it
die), ``{"done": n, "result": …}``, ``{"failed": n, "error": …}``.
"""

from __future__ import annotations

import json
import os
import queue
import socket
import threading
from typing import Protocol, TypeAlias

from forebay.types import JSON

Message: TypeAlias = dict[str, JSON]


class Reply(Protocol):
    """How a worker answers. Safe from several threads."""

    def at(self, text: str) -> None:
        """Tell what is being done now."""
        ...

    def done(self, number: int, result: Message) -> None:
        """Answer a task."""
        ...

    def failed(self, number: int, error: Message) -> None:
        """Answer that a task failed; `error` is what the caller's handler makes of an exception."""
        ...


class Handler(Protocol):
    """Computes tasks in a worker. Made before the fork, started after it."""

    def prepare(self) -> None:
        """Load what every worker needs, in the process that they are forked from: no thread may be started."""
        ...

    def start(self, reply: Reply) -> None:
        """Prepare, in the worker: threads may be started from here on."""
        ...

    def handle(self, number: int, task: Message) -> None:
        """Compute one task; the reply may come later, from another thread. Never raises."""
        ...

    def finish(self) -> None:
        """Return when every reply has been sent."""
        ...


class Channel:
    """Frames over a socket; sending is safe from several threads. Also the `Reply` of a forked worker."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._sending = threading.Lock()
        self._received = bytearray()

    def send(self, message: Message) -> None:
        """Send one frame."""
        # Names of files are bytes to the system: those that are no UTF-8 are kept as lone surrogates.
        body = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
        with self._sending:
            self.sock.sendall(len(body).to_bytes(4, "big") + body)

    def receive(self) -> list[Message] | None:
        """Read what is there, blocking for at least some bytes; None when the other side has gone."""
        try:
            data = self.sock.recv(1 << 18)
        except ConnectionError:
            return None
        if not data:
            return None
        self._received += data
        messages: list[Message] = []
        while len(self._received) >= 4:
            size = int.from_bytes(self._received[:4], "big")
            if len(self._received) < 4 + size:
                break
            messages.append(json.loads(bytes(self._received[4 : 4 + size])))
            del self._received[: 4 + size]
        return messages

    def at(self, text: str) -> None:
        """See `Reply`."""
        self.send({"at": text})

    def done(self, number: int, result: Message) -> None:
        """See `Reply`."""
        self.send({"done": number, "result": result})

    def failed(self, number: int, error: Message) -> None:
        """See `Reply`."""
        self.send({"failed": number, "error": error})


def serve(handler: Handler, channel: Channel) -> None:
    """Compute tasks until the parent closes its side.

    A thread does the reading, so that the parent never waits to send while this worker waits to send to it.
    """
    channel.send({"pid": os.getpid()})
    handler.start(channel)
    tasks: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(channel, tasks), name="forebay-reader", daemon=True).start()
    while (message := tasks.get()) is not None:
        number, task = message["number"], message["task"]
        assert isinstance(number, int)
        assert isinstance(task, dict)
        channel.send({"began": number})
        handler.handle(number, task)
    handler.finish()


def _read(channel: Channel, tasks: queue.SimpleQueue[Message | None]) -> None:
    while (messages := channel.receive()) is not None:
        for message in messages:
            tasks.put(message)
    tasks.put(None)
