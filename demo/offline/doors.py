"""Folders behind a door that is shut for others (a Python below /root, say), shown to one process and its children.

Root in a container often has its Python and its checkout where nobody else may look. This process gets a view of the
file system of its own, in which an empty folder stands in place of the shut one, and in it what was asked for, at its
own path. Nothing changes for anybody else, and nothing else behind that door is seen.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from pathlib import Path

_CLONE_NEWNS = 0x00020000
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 1 << 18
_FOR_OTHERS = 0o001


def show(paths: Iterable[Path]) -> None:
    """Make folders reachable for other users, in this process's view of the file system alone. Linux, as root.

    Raises:
        OSError: the system does not let us.
    """
    behind = {path: door for path in _outermost(paths) if (door := _shut(path)) is not None}
    if not behind:
        return
    _call("unshare", _CLONE_NEWNS)
    _mount(None, Path("/"), None, _MS_REC | _MS_PRIVATE)
    handles = {path: os.open(path, os.O_PATH | os.O_DIRECTORY) for path in behind}
    for door in set(behind.values()):
        _mount("tmpfs", door, "tmpfs", 0, "mode=755")
    for path, handle in handles.items():
        path.mkdir(parents=True)
        _mount(f"/proc/self/fd/{handle}", path, None, _MS_BIND | _MS_REC)
        os.close(handle)


def _outermost(paths: Iterable[Path]) -> list[Path]:
    """Return the folders that are inside no other one of them."""
    found = {Path(os.path.realpath(path)) for path in paths}
    return [path for path in sorted(found) if not found.intersection(path.parents)]


def _shut(path: Path) -> Path | None:
    """Return the first folder on the way that others may not pass."""
    way = [*reversed(path.parents)]
    return next((folder for folder in way if not folder.stat().st_mode & _FOR_OTHERS), None)


def _mount(source: str | None, target: Path, kind: str | None, flags: int, data: str | None = None) -> None:
    texts = [None if text is None else text.encode() for text in (source, str(target), kind, data)]
    _call("mount", *texts[:3], ctypes.c_ulong(flags), texts[3])


def _call(name: str, *arguments: object) -> None:
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
