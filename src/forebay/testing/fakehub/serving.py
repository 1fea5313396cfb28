"""From a file and a request to the bytes on the wire: ranges, conditions, and what a fault does to them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from forebay.testing.fakehub.exchange import Answer, Request
from forebay.testing.fakehub.faults import HubFault
from forebay.testing.fakehub.repository import File

CHUNK_BYTES = 1 << 22
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes `start` … `start + length` of a file, one bit of it turned if a fault says so."""

    file: File
    start: int
    length: int
    flip_byte: int | None = None

    @property
    def whole_from_disk(self) -> bool:
        """Whether the bytes stand on disk just so."""
        return self.flip_byte is None and isinstance(self.file.source, Path)

    def chunks(self, chunk_bytes: int = CHUNK_BYTES) -> Iterator[bytes]:
        """Yield the bytes in order."""
        flipped = None if self.flip_byte is None else self.flip_byte % max(self.file.size, 1)
        for start in range(self.start, self.start + self.length, chunk_bytes):
            chunk = self.file.read(start, min(chunk_bytes, self.start + self.length - start))
            if flipped is not None and start <= flipped < start + len(chunk):
                at = flipped - start
                chunk = chunk[:at] + bytes([chunk[at] ^ 1]) + chunk[at + 1 :]
            yield chunk


def of_file(request: Request, answer: Answer, file: File, fault: HubFault) -> tuple[Answer, Part | None]:
    """Return the answer's status and headers for a file, and which part of it follows."""
    if fault.replace_with is not None:
        file = File(fault.replace_with, len(fault.replace_with), file.oid, file.sha256, file.pointer_bytes)
    size = max(file.size - (fault.short_by_bytes or 0), 0)
    headers = {**({"Accept-Ranges": "bytes"} if answer.ranges else {}), **answer.headers}
    etag = headers.get("ETag", "")
    if not fault.ignore_conditions and etag and _matches(request.headers.get("if-none-match"), etag):
        return Answer(304, {name: headers[name] for name in headers if name != "Content-Type"}), None
    asked = None if fault.ignore_range or not answer.ranges else _range(request, etag, fault, size)
    if asked is None:
        return Answer(answer.status, {**headers, "Content-Length": str(size)}), Part(file, 0, size, fault.flip_byte)
    start, end = asked
    if start >= size or end <= start:
        refused = {"Content-Range": f"bytes */{size}", "Content-Length": "0"}
        return Answer(416, headers | refused), None
    told = {"Content-Range": f"bytes {start}-{end - 1}/{size}", "Content-Length": str(end - start)}
    return Answer(206, headers | told), Part(file, start, end - start, fault.flip_byte)


def _range(request: Request, etag: str, fault: HubFault, size: int) -> tuple[int, int] | None:
    """Return the asked for [start, end), or None for all of it: no Range, several, nonsense, or another version's."""
    asked = _RANGE.fullmatch(request.headers.get("range", "").strip())
    if asked is None or asked.group(1) == asked.group(2) == "":
        return None
    condition = request.headers.get("if-range")
    if condition is not None and condition != etag and not fault.ignore_conditions:
        return None
    first, last = asked.groups()
    if not first:  # the last N bytes
        return max(size - int(last), 0), size
    if last and int(last) < int(first):
        return None
    return int(first), min(int(last) + 1, size) if last else size


def _matches(condition: str | None, etag: str) -> bool:
    if condition is None:
        return False
    named = [each.strip().removeprefix("W/") for each in condition.split(",")]
    return "*" in named or etag.removeprefix("W/") in named
