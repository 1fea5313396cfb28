"""How objects are encoded at rest: raw, zstd, lz4 or gzip. Never part of an object's name.

An object is encoded block by block, `BLOCK_BYTES` at a time, however its bytes arrive, so that the same bytes always
become the same file and memory stays bounded. What the first block cannot be shrunk by five per cent is kept raw: raw
objects are mapped and used in place. No checksums are added where a format can do without: the object's name is one.

=======  ======  ================================================================
codec    suffix  at rest
=======  ======  ================================================================
none             the bytes themselves
zstd     .zst    one zstd frame (level 1) a block, each with its content size
lz4      .lz4    one LZ4 frame, independent blocks
gzip     .gz     one gzip member (level 6), no time, no name
=======  ======  ================================================================

All are read by the usual tools: ``zstd -d``, ``lz4 -d``, ``gunzip``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, cast

from forebay.config import CodecName
from forebay.errors import ObjectDamagedError
from forebay.types import Buffer

__all__ = ["BLOCK_BYTES", "SUFFIXES", "Encoder", "blocks", "codec_of", "decode", "encode", "encoder"]

BLOCK_BYTES = 2**20
"""Decoded bytes that are encoded at a time."""

WORTH_IT = 0.95
"""Encoded bytes per raw byte, from which on encoding is not worth it."""

SUFFIXES: dict[CodecName, str] = {"none": "", "zstd": ".zst", "lz4": ".lz4", "gzip": ".gz"}
"""What follows the digest in the name of an object's file."""

_CODECS: dict[str, CodecName] = {suffix: codec for codec, suffix in SUFFIXES.items()}


def codec_of(suffix: str) -> CodecName | None:
    """Return the codec that a file's suffix (``""``, ``".zst"`` …) stands for, or None."""
    return _CODECS.get(suffix)


class Encoder(Protocol):
    """Encodes one object; takes its blocks in order, then gives the tail."""

    def block(self, data: Buffer, /) -> bytes:
        """Encode the next block of at most `BLOCK_BYTES`; may give its bytes with a later call."""
        ...

    def finish(self) -> bytes:
        """Return what is left to be written."""
        ...


def encoder(codec: CodecName) -> Encoder:
    """Return a fresh encoder for one object."""
    return _ENCODERS[codec]()


def blocks(data: Buffer | Iterable[Buffer]) -> Iterator[memoryview]:
    """Cut bytes into blocks of exactly `BLOCK_BYTES` and a rest, however they arrive; whole blocks are not copied.

    A view that was yielded may be overwritten once the next one is asked for.
    """
    if isinstance(data, (bytes, bytearray, memoryview)):
        yield from _cut(_flat(cast("Buffer", data)))
        return
    held = bytearray()
    for piece in data:
        view = _flat(piece)
        if held:
            missing = BLOCK_BYTES - len(held)
            held += view[:missing]
            view = view[missing:]
            if len(held) < BLOCK_BYTES:
                continue
            yield memoryview(bytes(held))
            held.clear()
        whole = len(view) - len(view) % BLOCK_BYTES
        yield from _cut(view[:whole])
        held += view[whole:]
    if held:
        yield memoryview(bytes(held))


def encode(codec: CodecName, data: Buffer | Iterable[Buffer]) -> tuple[CodecName, Iterator[Buffer]]:
    """Encode an object.

    Returns:
        The codec it is kept under (``none`` where `codec` would not shrink its first block by five per cent), and
        its encoded pieces. Both depend on the object's bytes only, not on how they were cut.
    """
    pieces = blocks(data)
    first = next(pieces, None)
    if first is None:
        return "none", iter(())
    if codec == "none" or not _shrinks(codec, first):
        return "none", _chain(first, pieces)
    return codec, _encoded(encoder(codec), first, pieces)


def decode(codec: CodecName, data: Buffer, size: int | None = None) -> memoryview:
    """Decode an object; raw bytes are returned as a view of themselves.

    Args:
        codec: what it is kept under.
        data: its bytes at rest.
        size: its decoded size in bytes. Decoding stops there, so that a bomb costs nothing. None: not known.

    Raises:
        ObjectDamagedError: the bytes are not of that codec, end early, or decode to another size.
    """
    view = memoryview(data)
    if codec == "none":
        decoded = view
    else:
        try:
            decoded = memoryview(_DECODERS[codec](view, None if size is None else size + 1))
        except _broken(codec) as error:
            raise ObjectDamagedError(f"not whole {codec} data: {error}") from error
    if size is not None and len(decoded) != size:
        more = "more than " if len(decoded) > size else ""
        raise ObjectDamagedError(f"decodes to {more}{min(len(decoded), size)} bytes instead of {size}")
    return decoded.toreadonly()


def _flat(data: Buffer) -> memoryview:
    return memoryview(data).cast("B")


def _cut(view: memoryview) -> Iterator[memoryview]:
    for start in range(0, len(view), BLOCK_BYTES):
        yield view[start : start + BLOCK_BYTES]


def _chain(first: memoryview, rest: Iterator[memoryview]) -> Iterator[Buffer]:
    yield first
    yield from rest


def _encoded(coder: Encoder, first: memoryview, rest: Iterator[memoryview]) -> Iterator[Buffer]:
    for block in _chain(first, rest):
        piece = coder.block(block)
        if piece:
            yield piece
    tail = coder.finish()
    if tail:
        yield tail


def _shrinks(codec: CodecName, block: memoryview) -> bool:
    coder = encoder(codec)
    return len(coder.block(block)) + len(coder.finish()) < WORTH_IT * len(block)


class _Zstd:
    """Each block is a frame of its own: frames can be made and read apart, and each says its size."""

    def __init__(self) -> None:
        import zstandard

        self._coder = zstandard.ZstdCompressor(level=1, write_content_size=True, write_checksum=False)

    def block(self, data: Buffer) -> bytes:
        return self._coder.compress(data)

    def finish(self) -> bytes:
        return b""


class _Lz4:
    def __init__(self) -> None:
        import lz4.frame

        self._coder = lz4.frame.LZ4FrameCompressor(
            block_size=lz4.frame.BLOCKSIZE_MAX1MB, block_linked=False, content_checksum=False, auto_flush=True
        )
        self._begun = False

    def block(self, data: Buffer) -> bytes:
        head = b"" if self._begun else self._coder.begin()
        self._begun = True
        return head + self._coder.compress(data)

    def finish(self) -> bytes:
        return self._coder.flush()


class _Gzip:
    def __init__(self) -> None:
        import zlib

        self._coder = zlib.compressobj(6, zlib.DEFLATED, 16 + zlib.MAX_WBITS)  # zlib's own gzip header has no time

    def block(self, data: Buffer) -> bytes:
        return self._coder.compress(data)

    def finish(self) -> bytes:
        return self._coder.flush()


class _Raw:
    def block(self, data: Buffer) -> bytes:
        return bytes(data)

    def finish(self) -> bytes:
        return b""


_ENCODERS: dict[CodecName, Callable[[], Encoder]] = {"none": _Raw, "zstd": _Zstd, "lz4": _Lz4, "gzip": _Gzip}


class _TruncatedError(Exception):
    """The data ends before its end mark, or goes on after it."""


def _decode_zstd(view: memoryview, limit: int | None) -> Buffer:
    import zstandard

    reader = zstandard.ZstdDecompressor().stream_reader(view, read_across_frames=True)
    if limit is None:
        parts: list[bytes] = []
        while part := reader.read(BLOCK_BYTES):
            parts.append(part)
        return b"".join(parts)
    # The last byte of the buffer stays unused unless there is more than was promised.
    decoded, filled = bytearray(limit), 0
    target = memoryview(decoded)
    while filled < limit:
        count = reader.readinto(target[filled:])
        if not count:
            break
        filled += count
    return target[:filled]


def _decode_lz4(view: memoryview, limit: int | None) -> Buffer:
    import lz4.frame

    decoder = lz4.frame.LZ4FrameDecompressor()
    decoded = decoder.decompress(view, max_length=-1 if limit is None else limit)
    if limit is not None and len(decoded) >= limit:
        return decoded
    if not decoder.eof:
        # With max_length reached exactly, the end mark may still be waiting to be read.
        decoded += decoder.decompress(b"", max_length=1)
    if not decoder.eof or decoder.unused_data:
        raise _TruncatedError("it does not end where its frame ends")
    return decoded


def _decode_gzip(view: memoryview, limit: int | None) -> Buffer:
    import zlib

    decoder = zlib.decompressobj(16 + zlib.MAX_WBITS)
    decoded = decoder.decompress(view, limit or 0)
    if limit is not None and len(decoded) >= limit:
        return decoded
    if not decoder.eof or decoder.unused_data:
        raise _TruncatedError("it does not end where its member ends")
    return decoded


_DECODERS: dict[CodecName, Callable[[memoryview, int | None], Buffer]] = {
    "zstd": _decode_zstd,
    "lz4": _decode_lz4,
    "gzip": _decode_gzip,
}


def _broken(codec: CodecName) -> tuple[type[Exception], ...]:
    """What a codec's library raises on damaged data."""
    if codec == "zstd":
        import zstandard

        return (zstandard.ZstdError, _TruncatedError)
    if codec == "gzip":
        import zlib

        return (zlib.error, _TruncatedError)
    return (RuntimeError, EOFError, _TruncatedError)  # lz4.frame raises bare RuntimeErrors
