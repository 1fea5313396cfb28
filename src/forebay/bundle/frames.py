"""Packed objects: zstd frames of one MiB each, made and read several at a time.

Each frame says the size of its content, has no dictionary and no checksum (the object's digest is one) and stands for
itself. So the packed bytes depend on the object, the level and the version of zstd only, not on the number of threads;
and a reader can bound every step before it takes it.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from forebay.bundle.manifest import FRAME_BYTES, Pack
from forebay.errors import BundleError
from forebay.types import Buffer

if TYPE_CHECKING:
    import zstandard

Job = TypeVar("Job")
Result = TypeVar("Result")

WORTH_IT = 0.95
"""Packed bytes per raw byte of the first frame, from which on an object stays as it is."""
_AHEAD_BYTES = 64 * 2**20
_AHEAD = 64
_MAGIC = b"\x28\xb5\x2f\xfd"
_RLE, _COMPRESSED = 1, 2
_OWN = threading.local()
"""Each thread's own decoder."""


def threads_for(wanted: int | None = None) -> int:
    """Return how many threads to use: `wanted`, or as many as this process has processors, eight at most."""
    if wanted is not None:
        return max(1, wanted)
    return max(1, min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1))


def library() -> str:
    """Return the version of zstd."""
    import zstandard

    return ".".join(str(part) for part in zstandard.ZSTD_VERSION)


class Coders:
    """Threads that pack and unpack frames, each with a coder of its own. A context manager."""

    def __init__(self, level: int = 1, threads: int | None = None) -> None:
        self.threads = threads_for(threads)
        self._level = level
        self._local = threading.local()
        self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="forebay-pack")

    def __enter__(self) -> Coders:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def packed(
        self, jobs: Iterable[tuple[Job, int, Callable[[], memoryview]]]
    ) -> Iterator[tuple[Job, Pack, Iterator[Buffer]]]:
        """Pack objects, in order, some ahead.

        Args:
            jobs: of each object something to know it by, its size in bytes, and how to read it; read in a thread.

        Yields:
            What it is known by, how it is packed, and its packed bytes, which must be used up before the next.
        """
        for known, (view, first) in self.ahead((known, size, partial(self._first, read)) for known, size, read in jobs):
            if len(first) < WORTH_IT * min(len(view), FRAME_BYTES):
                yield known, "zstd", self._frames(first, view)
            else:
                yield known, "none", _cut(view)

    def ahead(self, jobs: Iterable[tuple[Job, int, Callable[[], Result]]]) -> Iterator[tuple[Job, Result]]:
        """Do jobs in the threads and yield their results in order, some ahead.

        Args:
            jobs: of each something to know it by, the bytes of memory that its result takes, and what to do. It must
                not use these threads itself.
        """
        waiting: deque[tuple[Job, int, Future[Result]]] = deque()
        ahead = 0
        source = iter(jobs)
        while True:
            while len(waiting) < _AHEAD and (not waiting or ahead < _AHEAD_BYTES):
                job = next(source, None)
                if job is None:
                    break
                waiting.append((job[0], job[1], self._pool.submit(job[2])))
                ahead += job[1]
            if not waiting:
                return
            known, size, begun = waiting.popleft()
            ahead -= size
            yield known, begun.result()

    def unpacked(self, pieces: Iterable[bytes], size: int) -> Iterator[memoryview]:
        """Yield the content of frames, in order, some ahead; a piece is overwritten once the next one is asked for.

        Args:
            pieces: the packed bytes, in pieces of any size.
            size: how many bytes they must unpack to.

        Raises:
            BundleError: they are not frames as `packed` makes them, or unpack to another size.
        """
        running: deque[tuple[Future[None], memoryview, int]] = deque()
        spare: list[memoryview] = []
        left = size
        for frame, content in _split(pieces):
            if content != min(left, FRAME_BYTES):
                raise BundleError("its frames are not of the size that they should have")
            left -= content
            room = spare.pop() if spare else memoryview(bytearray(FRAME_BYTES))
            running.append((self._pool.submit(unpack_frame, frame, room[:content]), room, content))
            if len(running) > 2 * self.threads:
                yield _done(running[0])
                spare.append(running.popleft()[1])
        if left:
            raise BundleError(f"it unpacks to {size - left} bytes instead of {size}")
        while running:
            yield _done(running.popleft())

    def _first(self, read: Callable[[], memoryview]) -> tuple[memoryview, bytes]:
        view = read()
        return view, self._pack(view[:FRAME_BYTES])

    def _frames(self, first: bytes, view: memoryview) -> Iterator[Buffer]:
        yield first
        running: deque[Future[bytes]] = deque()
        for start in range(FRAME_BYTES, len(view), FRAME_BYTES):
            running.append(self._pool.submit(self._pack, view[start : start + FRAME_BYTES]))
            if len(running) > 2 * self.threads:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()

    def _pack(self, data: memoryview) -> bytes:
        coder: zstandard.ZstdCompressor | None = getattr(self._local, "packer", None)
        if coder is None:
            import zstandard

            coder = zstandard.ZstdCompressor(level=self._level, write_content_size=True, write_checksum=False)
            self._local.packer = coder
        return coder.compress(data)


def unpack_frame(frame: Buffer, room: memoryview) -> None:
    """Unpack one frame into `room`, which is as large as its content.

    Raises:
        BundleError: it is damaged.
    """
    import zstandard

    coder: zstandard.ZstdDecompressor | None = getattr(_OWN, "unpacker", None)
    if coder is None:
        coder = _OWN.unpacker = zstandard.ZstdDecompressor(max_window_size=8 * FRAME_BYTES)
    try:
        filled = coder.stream_reader(frame).readinto(room)  # in one pass: all of it is here, and the room for it
    except zstandard.ZstdError as error:
        raise BundleError("it does not unpack") from error
    if filled != len(room):
        raise BundleError("a frame unpacks to another size than it says")


def unpack(data: Buffer, size: int, room: memoryview) -> Iterator[memoryview]:
    """Yield the content of small packed data, frame by frame, in this thread; see `Coders.unpacked`.

    Args:
        data: the frames.
        size: how many bytes they must unpack to.
        room: where to. If it has `size` bytes the frames' contents lie there one after another, and stay. Else it has
            `FRAME_BYTES`, and each overwrites the one before.
    """
    view, at, done = memoryview(data), 0, 0
    stays = len(room) >= size
    while at < len(view):
        found = _frame_end(view, at)
        if found is None:
            raise BundleError("it ends within a frame")
        end, content = found
        if content != min(size - done, FRAME_BYTES):
            raise BundleError("its frames are not of the size that they should have")
        piece = room[done : done + content] if stays else room[:content]
        unpack_frame(view[at:end], piece)
        yield piece
        at, done = end, done + content
    if done < size:
        raise BundleError(f"it unpacks to {done} bytes instead of {size}")


def _done(begun: tuple[Future[None], memoryview, int]) -> memoryview:
    future, room, content = begun
    future.result()
    return room[:content]


def _cut(view: memoryview) -> Iterator[Buffer]:
    step = 8 * FRAME_BYTES
    for start in range(0, len(view), step):
        yield view[start : start + step]


def _split(pieces: Iterable[bytes]) -> Iterator[tuple[bytes, int]]:
    """Cut packed bytes into frames: (frame, bytes of its content). Nothing is unpacked for it."""
    held = b""
    most = 2 * FRAME_BYTES
    for piece in pieces:
        held = held + piece if held else piece
        at = 0
        while at < len(held) and (found := _frame_end(held, at)) is not None:
            end, content = found
            yield held[at:end], content
            at = end
        held = held[at:]
        if len(held) > most:
            raise BundleError("a frame is longer than any can be")
    if held:
        raise BundleError("it ends within a frame")


def _frame_end(data: bytes | memoryview, at: int) -> tuple[int, int] | None:
    """Return where the frame at `at` ends and the size of its content, or None where more bytes are needed (RFC 8878).

    Raises:
        BundleError: it is no frame as we make them.
    """
    if len(data) - at < 6:
        return None
    if data[at : at + 4] != _MAGIC:
        raise BundleError("it is no zstd frame")
    descriptor = data[at + 4]
    size_flag, single, rest = descriptor >> 6, descriptor >> 5 & 1, descriptor & 0x1F
    if rest:  # a dictionary, a checksum, or reserved bits
        raise BundleError("its zstd frames are not as they should be")
    place = at + 5 + (0 if single else 1)
    length = (1 if single else 0, 2, 4, 8)[size_flag]
    if not length:
        raise BundleError("a zstd frame does not say its size")
    if place + length > len(data):
        return None
    content = int.from_bytes(data[place : place + length], "little") + (256 if length == 2 else 0)
    if not 0 < content <= FRAME_BYTES:
        raise BundleError("a zstd frame is larger than it may be")
    if not single and data[at + 5] >> 3 > 10 + 3:  # a window of more than 8 MiB; 2**(10 + exponent)
        raise BundleError("a zstd frame asks for a window larger than it may")
    place += length
    while place + 3 <= len(data):
        block = int.from_bytes(data[place : place + 3], "little")
        last, type_, size = block & 1, block >> 1 & 3, block >> 3
        if type_ > _COMPRESSED:
            raise BundleError("a zstd frame has a block of no known type")
        place += 3 + (1 if type_ == _RLE else size)
        if last:
            return (place, content) if place <= len(data) else None
    return None
