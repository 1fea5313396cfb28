"""Exports that were killed: what is whole in their temporaries is used by the next export to the same file.

Beside a temporary ``.NAME.<token>.tmp`` lies its journal ``.NAME.<token>.parts``. For each part written it has a line
``[name, bytes, BLAKE3, lost]``, the digest being that of all bytes so far; design/0002 tells the rest.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3

from forebay.io import Filesystem, LocalFilesystem, OpenFile, abandoned, owned_token

_CONTENT, _JOURNAL = ".tmp", ".parts"


def new_name(path: Path) -> str:
    """Return a name for the temporary of an export to `path`, to be written in the same folder."""
    return f".{path.name}.{owned_token()}{_CONTENT}"


@dataclass(frozen=True, slots=True)
class Name:
    """What a part is known by, and how many of its numbers the format has no word for."""

    key: str
    lost: int = 0


class Journal:
    """Notes the parts of a temporary as they are written, so that they can be found. One that fails costs nothing.

    Args:
        fs: where the temporary is.
        content: the temporary.
        names: of its parts, each asked for when the part has been written; None: they are not to be found.
    """

    def __init__(self, fs: Filesystem, content: Path, names: Iterable[Name] | None) -> None:
        self._fs = fs
        self._path = content.with_suffix(_JOURNAL)
        self._names = iter(names or ())
        self._file: OpenFile | None = None
        if names is not None:
            with suppress(OSError):
                self._file = fs.create(self._path)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
                self._fs.unlink(self._path)

    def note(self, size: int, digest: blake3) -> None:
        """Note that the next part, of `size` bytes, has been written; `digest` has taken in all that was."""
        if self._file is None:
            return
        name = next(self._names)
        line = json.dumps([name.key, size, digest.hexdigest(), name.lost])
        try:
            self._file.write(line.encode() + b"\n")
        except OSError:
            self._file.close()
            self._file = None  # what is noted so far holds


@dataclass(frozen=True, slots=True)
class Part:
    """A part that is whole: its bytes, and how many of its numbers the format has no word for."""

    data: memoryview
    lost: int


class Unfinished:
    """What killed exports of this user to one file have left; what has nothing to be used is removed at once.

    Attributes:
        parts: every part that is whole in one of them, by its key.
    """

    def __init__(self, path: Path) -> None:
        self._found: list[Path] = []
        self.parts: dict[str, Part] = {}
        target = Path(os.path.realpath(path))
        for content in abandoned(target.parent, re.escape(f".{target.name}."), re.escape(_CONTENT)):
            parts = _whole(content)
            self.parts |= parts
            if parts:
                self._found.append(content)
            else:
                _remove(content)

    def remove(self) -> None:
        """Remove them; what cannot be removed stays."""
        self.parts = {}
        for content in self._found:
            _remove(content)


def _remove(content: Path) -> None:
    for path in (content.with_suffix(_JOURNAL), content):
        with suppress(OSError):
            path.unlink()


def _whole(content: Path) -> dict[str, Part]:
    """Return the parts up to the first that is not as it was written."""
    parts: dict[str, Part] = {}
    try:
        lines = content.with_suffix(_JOURNAL).read_bytes().splitlines()
        data = LocalFilesystem().map(content)
    except OSError:
        return parts
    digest, at = blake3(), 0
    for line in lines:
        try:
            name, size, expected, lost = json.loads(line)
            part = data[at : at + size]
        except (ValueError, TypeError):
            break  # it was torn
        digest.update(part)
        if digest.hexdigest() != expected:
            break
        parts[name] = Part(part, int(lost))
        at += size
    return parts
