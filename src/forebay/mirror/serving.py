"""From a file and a request for it to an answer: conditions, ranges, headers. RFC 9110, sections 13 and 14."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import quote

from forebay.mirror.exchange import Answer, Headers, Request, decimal
from forebay.mirror.listing import etag

if TYPE_CHECKING:
    from forebay.hub.snapshot import SnapshotFile
    from forebay.mirror.content import Content

_RANGE = re.compile(r"bytes=(\d*)-(\d*)", re.IGNORECASE)
_TEXT = (".csv", ".json", ".jsonl", ".md", ".py", ".tsv", ".txt", ".yaml", ".yml", ".gitattributes", ".gitignore")


def of_file(
    request: Request,
    file: SnapshotFile,
    headers: Headers,
    open_content: Callable[[int, int], Content],
    *,
    spoiled: bool = False,
) -> Answer:
    """Answer with a file, the part of it that was asked for, or the news that the client has it already.

    Args:
        request: HEAD or GET; HEAD opens nothing.
        file: of a known size.
        headers: further ones.
        open_content: called for bytes [start, end), where some will be sent.
        spoiled: bytes of it were given out that are wrong: who goes on from the middle gets all of it.
    """
    name = f'"{etag(file)}"'
    told = {**headers, "ETag": name, "Accept-Ranges": "bytes", **_described(file.path)}
    if _named(request.headers.get("if-none-match"), name):
        return Answer(304, told)
    size = file.size or 0  # only a URL's size may be unknown, and the mirror has no URLs
    resumes = spoiled and request.headers.get("range", "").strip().endswith("-")
    asked = _range(request, name, size) if request.method == "GET" and not resumes else None
    if request.method == "HEAD":
        return Answer(200, told, size=size)
    if asked is None:
        return Answer(200, told, content=open_content(0, size), size=size) if size else Answer(200, told)
    start, end = asked
    if start >= end:
        return Answer(416, {**told, "Content-Range": f"bytes */{size}"})
    told["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    return Answer(206, told, content=open_content(start, end), size=end - start)


def of_bytes(request: Request, data: bytes, headers: Headers) -> Answer:
    """Answer with a text made by us."""
    told = {"Content-Type": "text/plain; charset=utf-8", **headers}
    return Answer(200, told, size=len(data)) if request.method == "HEAD" else Answer(200, told, data)


def _range(request: Request, name: str, size: int) -> tuple[int, int] | None:
    """Return the asked for [start, end), empty where it cannot be met; None: all of the file.

    Several ranges, nonsense, and a range of another version are answered with all of it, as the RFC has it.
    """
    asked = _RANGE.fullmatch(request.headers.get("range", "").strip())
    if asked is None or asked[1] == asked[2] == "":
        return None
    condition = request.headers.get("if-range")
    if condition is not None and condition != name:
        return None
    first, last = decimal(asked[1]), decimal(asked[2])
    if first is None:  # the last N bytes
        return max(size - (last or 0), 0), size if last else 0
    if last is None:
        return first, size
    return None if last < first else (first, min(last + 1, size))


def _named(condition: str | None, name: str) -> bool:
    if condition is None:
        return False
    named = [each.strip().removeprefix("W/") for each in condition.split(",")]
    return "*" in named or name in named


def _described(path: str) -> dict[str, str]:
    name = quote(path.rpartition("/")[2])
    kind = "text/plain; charset=utf-8" if path.lower().endswith(_TEXT) else "application/octet-stream"
    return {"Content-Type": kind, "Content-Disposition": f"inline; filename*=UTF-8''{name}; filename=\"{name}\";"}
