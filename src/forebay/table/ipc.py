"""Rows as bytes and back: the Arrow IPC file format, one record batch, bodies uncompressed.

`encode` is deterministic: the same rows give the same bytes in every process, because arrays are made canonical first
(see `forebay.table.canonical`) and nothing else goes in: no metadata, no nullability, no dictionaries. `decode` copies
nothing: columns are views of the bytes, which are mostly a mapped file.
"""

from __future__ import annotations

import pyarrow as pa

from forebay.table.canonical import canonical_table


def encode(table: pa.Table) -> pa.Buffer:
    """Return the rows as one Arrow IPC file; the buffer speaks the buffer protocol.

    Raises:
        InputError: a column's type cannot be stored, or two columns bear one name.
    """
    batch = _batch(canonical_table(table))
    measure = pa.MockOutputStream()
    _write(measure, batch)
    data = pa.allocate_buffer(measure.size())  # at once: a growing buffer costs several times the writing
    _write(pa.FixedSizeBufferWriter(data), batch)
    return data


def decode(data: memoryview | bytes | pa.Buffer) -> pa.Table:
    """Return the rows that `encode` wrote, as views of `data`, which stays alive as long as they do."""
    buffer = pa.py_buffer(data)
    if buffer[:6].to_pybytes() != b"ARROW1":  # a stream of one batch, as other programs read it too
        return pa.ipc.open_stream(buffer).read_all()
    return pa.ipc.open_file(buffer).read_all()


def _batch(table: pa.Table) -> pa.RecordBatch:
    if table.num_columns == 0:  # a batch of no columns still counts its rows
        return pa.RecordBatch.from_struct_array(pa.array([{}] * table.num_rows, pa.struct([])))
    return pa.RecordBatch.from_arrays([column.chunk(0) for column in table.columns], names=table.column_names)


def _write(sink: pa.NativeFile, batch: pa.RecordBatch) -> None:
    with sink, pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
