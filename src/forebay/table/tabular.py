"""Files of typed columns, Parquet and Arrow: streamed as batches, cut into shards by row hashes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any, cast

import pyarrow as pa

from forebay.errors import InputError, NotFoundError, SourceError
from forebay.table.casting import describe
from forebay.table.cutting import cut
from forebay.table.options import ReadOptions
from forebay.table.reading import Rows
from forebay.table.resolving import SourceFile
from forebay.table.streams import open_seekable

_PARQUET_ROWS = 4096


def read_columns(file: SourceFile, options: ReadOptions) -> Iterator[Rows]:
    """Yield the shards of a Parquet or Arrow file.

    Raises:
        NotFoundError, SourceError: it is not there, is damaged, or has columns that cannot be stored.
    """
    read = _parquet if file.format == "parquet" else _arrow
    try:
        with open_seekable(file.path, file.compression) as stream:
            for rows in cut(_sound(read(stream)), options.shard_bytes):
                yield Rows(rows, describe(rows.schema, dict.fromkeys(rows.column_names, file.path)))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError, pa.ArrowSerializationError) as error:
        raise SourceError(f"{file.path} is not a readable {file.format} file: {error}", subject=file.path) from error
    except (NotFoundError, SourceError):
        raise
    except InputError as error:  # of the columns, which says nothing of the file
        raise SourceError(f"{file.path}: {error.what}", subject=file.path, hint=error.hint) from error


def _sound(batches: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """See that text is UTF-8 and offsets lie within their buffers, which Arrow takes the file's word for."""
    for batch in batches:
        for name, column in zip(batch.column_names, batch.columns, strict=True):
            try:
                column.validate(full=True)
            except pa.ArrowInvalid as error:
                raise pa.ArrowInvalid(f"column {name!r}: {error}") from error
        yield batch


def _parquet(stream: IO[bytes]) -> Iterator[pa.Table]:
    # Its import costs tens of milliseconds, which only those who read Parquet should pay.
    import pyarrow.parquet as pq

    with pq.ParquetFile(stream) as parquet:
        yield parquet.schema_arrow.empty_table()
        for batch in parquet.iter_batches(batch_size=_PARQUET_ROWS, use_threads=False):
            yield pa.Table.from_batches([batch])


def _arrow(stream: IO[bytes]) -> Iterator[pa.Table]:
    magic = stream.read(6)
    stream.seek(0)
    if magic.startswith(b"FEA1"):
        raise pa.ArrowInvalid("Feather version 1 is not supported; write it again with version 2")
    if magic == b"ARROW1":
        with pa.ipc.open_file(cast("Any", stream)) as reader:
            yield reader.schema.empty_table()
            for at in range(reader.num_record_batches):
                yield pa.Table.from_batches([reader.get_batch(at)])
        return
    with pa.ipc.open_stream(cast("Any", stream)) as batches:
        yield batches.schema.empty_table()
        for batch in batches:
            yield pa.Table.from_batches([batch])
