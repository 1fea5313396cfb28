"""Files as streams of decoded bytes, whatever they are compressed with."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Protocol, cast

from forebay.errors import BuildError, ForebayError, NotFoundError, SourceError
from forebay.table.options import Compression

if TYPE_CHECKING:
    import bz2
    import lzma

BLOCK_BYTES = 1 << 20
_PACKED_BYTES = 1 << 16
UTF8_BOM = b"\xef\xbb\xbf"


class Stream(Protocol):
    """Decoded bytes, read forwards."""

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes, none only at the end; all that is left for -1."""
        ...


@contextmanager
def open_stream(path: str, compression: Compression) -> Generator[Stream]:
    """Open a file for reading its decoded bytes.

    Raises:
        NotFoundError: there is no such file.
        SourceError: it cannot be read, or is damaged; also when that shows while it is read.
    """
    try:
        with open(path, "rb", buffering=0) as raw, _decoder(raw, compression) as stream:  # noqa: PTH123 - unbuffered
            yield stream
    except FileNotFoundError:
        raise NotFoundError(f"no such file: {path}", subject=path) from None
    except IsADirectoryError:
        raise SourceError(f"{path} is a folder", subject=path) from None
    except (OSError, EOFError, *_damage(compression)) as error:
        if isinstance(error, ForebayError):
            raise
        what = f"a damaged .{compression} file" if compression else "unreadable"
        raise SourceError(f"{path} is {what}: {error}", subject=path, hint="get it again") from error


@contextmanager
def open_seekable(path: str, compression: Compression) -> Generator[IO[bytes]]:
    """Open a file for random access; a compressed one is decoded into a temporary file first.

    Raises:
        NotFoundError, SourceError: see `open_stream`.
        BuildError: there is no room for the temporary file.
    """
    with open_stream(path, compression) as stream:
        if not compression:
            yield cast("IO[bytes]", stream)
            return
        import tempfile  # a few milliseconds, rarely needed

        folder = tempfile.gettempdir()
        with _decoded_into(folder, path):
            # Unbuffered: what cannot be written is not tried again when it is closed.
            spool = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - opened apart from what is done with it
        with spool:
            while block := memoryview(stream.read(BLOCK_BYTES)):
                with _decoded_into(folder, path):
                    while block:
                        block = block[spool.write(block) :]
            spool.seek(0)
            yield cast("IO[bytes]", spool)


@contextmanager
def _decoded_into(folder: str, path: str) -> Generator[None]:
    """Tell what happens to the temporary file from what happens to the source."""
    try:
        yield
    except OSError as error:
        what = f"cannot decode {path} into {folder}: {error.strerror}"
        raise BuildError(what, subject=path, hint="make room there, or set TMPDIR to a folder elsewhere") from error


def blocks(stream: Stream, size: int = BLOCK_BYTES) -> Iterator[bytes]:
    """Yield a stream's blocks; every one but the last has at least three bytes, so that a BOM is never cut."""
    rest = b""
    while block := stream.read(size):
        block = rest + block
        if len(block) < len(UTF8_BOM):
            rest = block
            continue
        rest = b""
        yield block
    if rest:
        yield rest


def _decoder(raw: io.RawIOBase | IO[bytes], compression: Compression) -> IO[bytes]:
    if compression and not os.fstat(raw.fileno()).st_size:
        raise EOFError("it is empty")  # packed, even nothing takes some bytes: it is the rest of a copy that failed
    # Each of these modules costs milliseconds to import, so only the one that is needed is.
    file = cast("IO[bytes]", raw)
    if compression == "gz":
        import gzip

        return cast("IO[bytes]", gzip.GzipFile(fileobj=file, mode="rb"))
    if compression == "bz2":
        import bz2

        return cast("IO[bytes]", _Members(file, bz2.BZ2Decompressor))
    if compression == "xz":
        import lzma

        return cast("IO[bytes]", _Members(file, lzma.LZMADecompressor))
    if compression == "zst":
        return cast("IO[bytes]", _ZstdFile(file))
    return file


class _Members(io.RawIOBase):
    """One bz2 or xz stream after another. The standard library's readers take whatever follows the first and is damaged
    for padding: of a file of several, the rest would be lost without a word."""

    def __init__(
        self, file: IO[bytes], new: Callable[[], bz2.BZ2Decompressor] | Callable[[], lzma.LZMADecompressor]
    ) -> None:
        super().__init__()
        self._file = file
        self._new = new
        self._member: bz2.BZ2Decompressor | lzma.LZMADecompressor | None = None
        self._ready = bytearray()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        while size < 0 or len(self._ready) < size:
            if (data := self._more()) is None:
                break
            self._ready += data
        size = len(self._ready) if size < 0 else size
        data = bytes(self._ready[:size])
        del self._ready[:size]
        return data

    def _more(self) -> bytes | None:
        """Return decoded bytes, maybe none; None at the file's end."""
        member = self._member
        if member is not None and not member.eof:
            packed = self._file.read(_PACKED_BYTES) if member.needs_input else b""
            if member.needs_input and not packed:
                raise EOFError("it ends in the middle of a stream")
            return member.decompress(packed, BLOCK_BYTES)
        packed = b"" if member is None else member.unused_data.lstrip(b"\0")  # zeros may fill up a block
        while not packed:
            read = self._file.read(_PACKED_BYTES)
            if not read:
                return None
            packed = read if member is None else read.lstrip(b"\0")
        self._member = self._new()
        return self._member.decompress(packed, BLOCK_BYTES)


class _ZstdFile(io.RawIOBase):
    """A stream of zstd frames. The library's own reader takes a file that was cut short for a whole one."""

    def __init__(self, file: IO[bytes]) -> None:
        import zstandard

        super().__init__()
        self._file = file
        self._context = zstandard.ZstdDecompressor()
        self._frame = self._context.decompressobj()
        self._inside = False  # a frame began and did not end
        self._ready = bytearray()
        self._rest = b""  # packed bytes after a frame's end

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        while size < 0 or len(self._ready) < size:
            packed = self._rest or self._file.read(_PACKED_BYTES)
            self._rest = b""
            if not packed:
                if self._inside:
                    raise EOFError("it ends in the middle of a frame")
                break
            if not self._inside:
                self._frame = self._context.decompressobj()
            self._ready += self._frame.decompress(packed)
            self._inside = not self._frame.eof
            self._rest = self._frame.unused_data if self._frame.eof else b""
        size = len(self._ready) if size < 0 else size
        data = bytes(self._ready[:size])
        del self._ready[:size]
        return data


def _damage(compression: Compression) -> tuple[type[Exception], ...]:
    if compression == "gz":
        import zlib

        return (zlib.error,)
    if compression == "xz":
        import lzma

        return (lzma.LZMAError,)
    if compression == "zst":
        import zstandard

        return (zstandard.ZstdError,)
    return ()


def read_range(path: str, offset: int, length: int) -> bytes:
    """Return bytes [offset, offset + length) of a plain file; fewer where it ends before.

    Raises:
        NotFoundError, SourceError: it is not there, or cannot be read.
    """
    with open_stream(path, "") as stream:
        descriptor = cast("io.FileIO", stream).fileno()
        data = os.pread(descriptor, length, offset)
        if len(data) == length:
            return data
        parts = [data]
        while data and (length := length - len(data)):  # a single read gives at most 2 GiB
            offset += len(data)
            data = os.pread(descriptor, length, offset)
            parts.append(data)
        return b"".join(parts)
