"""Datasets as they come: found, cut into shards, read.

There are two ways, by what a source is::

    for file in sources.resolve("corpus/*.jsonl"):
        if file.splittable:                                # plain files of lines
            for shard in sources.scan(file).shards:        # light: bytes and hashes only, no pyarrow
                rows = sources.read_shard(file, shard)     # in any order, by any process
        else:                                              # compressed, documents, typed or separated columns
            for rows in sources.ingest(file): ...          # one pass; a shard's name is its rows' digest

Both give `Rows`: a table, its schema with the places where types were seen, and the rows that were set aside. Which
rows a shard holds depends on content alone, and is the same both ways.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from blake3 import blake3

from forebay.table.options import ReadOptions
from forebay.table.proving import Content, changed, content_of, unchanged
from forebay.table.resolving import SourceFile, resolve
from forebay.table.scanning import ByteShard, Scan, contents, scan
from forebay.table.streams import UTF8_BOM, open_stream, read_range

if TYPE_CHECKING:
    from forebay.table.reading import Rows

__all__ = [
    "ByteShard",
    "Content",
    "ReadOptions",
    "Scan",
    "SourceFile",
    "changed",
    "content_of",
    "ingest",
    "read_shard",
    "resolve",
    "scan",
]


def read_shard(file: SourceFile, shard: ByteShard, options: ReadOptions | None = None) -> Rows:
    """Return the rows of one shard of a splittable file.

    Raises:
        NotFoundError, SourceError: the file is gone or changed since it was cut, or a row is malformed or does not fit.
    """
    data = read_range(file.path, shard.offset, shard.length)
    if blake3(data).hexdigest() != shard.digest:
        raise changed(file.path)
    return _lines(file, shard, data, options or ReadOptions())


def ingest(file: SourceFile, options: ReadOptions | None = None, content: Content | None = None) -> Iterator[Rows]:
    """Yield the shards of any source, in order, in one pass; memory is bounded by a few shards.

    Args:
        file: the source.
        options: see `ReadOptions`.
        content: what it must hold; None: whatever it does.

    Raises:
        NotFoundError, SourceError: it cannot be read, a row is malformed or does not fit; or, at the end, what was read
            is not `content`.
    """
    with unchanged(file, content):
        yield from _ingest(file, options or ReadOptions())


def _ingest(file: SourceFile, wanted: ReadOptions) -> Iterator[Rows]:
    if file.documents:
        yield from _documents(file, wanted)
    elif file.format in ("jsonl", "text"):
        for shard, data in contents(file, wanted):
            yield _lines(file, shard, data, wanted)
    elif file.format == "json":
        from forebay.table.documents import read_document

        with open_stream(file.path, file.compression) as stream:
            yield from read_document(stream, file.path, wanted)
    elif file.format in ("csv", "tsv"):
        from forebay.table.separated import read_separated

        yield from read_separated(file, wanted)
    else:
        from forebay.table.tabular import read_columns

        yield from read_columns(file, wanted)


def _lines(file: SourceFile, shard: ByteShard, data: bytes, options: ReadOptions) -> Rows:
    from forebay.table.reading import read_lines, read_text

    read = read_text if file.format == "text" else read_lines
    return read(data, options, file.path, shard.first_line)


def _documents(file: SourceFile, options: ReadOptions) -> Iterator[Rows]:
    """Text files, each a row: cut by the files' hashes, as lines would be."""
    from xxhash import xxh3_64_intdigest

    from forebay.table.chunking import Chunker
    from forebay.table.reading import read_texts

    chunker = Chunker(options.shard_bytes)
    pending: list[tuple[str, bytes]] = []
    for path, compression in file.documents:
        with open_stream(path, compression) as stream:
            data = b"".join(iter(lambda: stream.read(1 << 20), b"")).removeprefix(UTF8_BOM)
        pending.append((path, data))
        for rows, _ in chunker.push([xxh3_64_intdigest(data)], [len(data) + 1]):
            yield read_texts(pending[:rows], options)
            del pending[:rows]
    for rows, _ in chunker.finish():
        yield read_texts(pending[:rows], options)
        del pending[:rows]
