"""The disk that a store is on: whether file locks work there, as far as its type says, and whether it is full."""

from __future__ import annotations

import os
from pathlib import Path

_NO_LOCKS = ("nfs", "fuse", "cifs", "smb", "9p", "afs", "lustre", "gpfs", "ceph", "beegfs", "virtiofs", "vboxsf")

_SHARED_BYTES = 64 * 2**10  # 32 KiB and some pages of the log
_SHARED_FILES = 2


def locks_work(folder: Path, mounts: Path = Path("/proc/mounts")) -> bool:
    """Tell whether the file system of `folder` has locks that SQLite can trust, as far as its type says."""
    try:
        lines = mounts.read_text("utf-8", errors="surrogateescape").splitlines()
    except OSError:  # not Linux: SQLite's own choice it is
        return True
    best, kind = -1, ""
    where = str(folder.resolve())
    for line in lines:
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = _unescape(fields[1])
        inside = point == "/" or where == point or where.startswith(point + "/")
        if inside and len(point) >= best:  # a later mount over the same point hides the earlier one
            best, kind = len(point), fields[2]
    return not kind.startswith(_NO_LOCKS)


def is_full(folder: Path) -> bool:
    """Tell whether there is no room for what SQLite's connections share, in bytes or in files.

    It says no more then than "I/O error" or "unable to open database file".
    """
    try:
        disk = os.statvfs(folder)
    except OSError:
        return False
    few = disk.f_files > 0 and disk.f_favail < _SHARED_FILES  # 0: it does not count them
    return few or disk.f_bavail * disk.f_frsize < _SHARED_BYTES


def _unescape(point: str) -> str:
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        point = point.replace(code, char)
    return point
