"""The small JSON files of a store that may change: names, pins, readers, the marker. Replaced whole, never edited."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from forebay.errors import StoreError, StoreFullError, StoreReadOnlyError
from forebay.io import Filesystem, Trouble, publish, stage
from forebay.store.layout import Layout

GROUP_DIR_MODE = 0o2770
"""Permissions of folders in a group's store: what it is known by."""

_MOST_REMEMBERED = 10_000
_FEW = 8
"""So many flushes one after another are cheaper than loading and starting threads."""


class Files:
    """Reads and replaces small JSON files, with a store's permissions and temporaries.

    Args:
        fs: the file system.
        layout: where things lie.
        group: whether the group may write as well.
        temporary: gives names for temporaries.
    """

    def __init__(self, fs: Filesystem, layout: Layout, *, group: bool, temporary: Callable[[], str]) -> None:
        self._fs = fs
        self._layout = layout
        self._temporary = temporary
        self.dir_mode = GROUP_DIR_MODE if group else 0o777
        """Permissions of folders, less the umask where the store is not a group's."""
        self.file_mode = 0o660 if group else 0o666
        """Permissions of what may change."""
        self.object_mode = 0o440 if group else 0o444
        """Permissions of what may not."""
        self._durable: set[Path] = set()
        self._named: dict[Path, tuple[int, int]] = {}  # inode and ctime (ns) of what this process has made durable

    def load(self, path: Path) -> dict[str, Any] | None:
        """Return the object in a JSON file; None where there is none, or it is damaged.

        Raises:
            OSError: the disk does not say.
        """
        try:
            value = json.loads(self._fs.read(path))
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None
        return value if isinstance(value, dict) else None

    def replace(self, path: Path, value: Mapping[str, object]) -> None:
        """Write a JSON file whole, durably.

        Raises:
            StoreError: it cannot be written.
        """
        line = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
        try:
            with stage(self._fs, self._layout.tmp, self._temporary(), mode=self.file_mode) as staged:
                staged.write(line)
                publish(self._fs, [(staged, path)], replace=True, dir_mode=self.dir_mode)
        except OSError as error:
            raise store_error(f"cannot write {path}", error) from error

    def holds(self, path: Path, data: bytes) -> bool:
        """Tell whether a file is there with just these bytes."""
        try:
            return self._fs.read(path) == data
        except OSError:
            return False

    def make_durable(self, paths: Iterable[Path]) -> None:
        """See that published files that somebody else made survive a power cut: he may not have come so far yet.

        As in `publish`, the names of the folders above are flushed as well, once per process; and a file is not looked
        after again while it is the one that it was.
        """
        found = {path: self._identity(path) for path in paths}
        new = {path: it for path, it in found.items() if it is None or self._named.get(path) != it}
        folders = {path.parent for path in new}
        above = {each for folder in folders for each in folder.parents if each.is_relative_to(self._layout.home)}
        self.flush_folders([*folders, *(above - self._durable)])
        self._durable |= above
        if len(self._named) + len(new) > _MOST_REMEMBERED:
            self._named = {}
        self._named |= {path: identity for path, identity in new.items() if identity is not None}

    def _identity(self, path: Path) -> tuple[int, int] | None:
        """Return what a file has in common with no other that takes its place later; None: it does not say."""
        try:
            found = self._fs.stat(path)
        except OSError:
            return None
        return found.inode, found.ctime_ns

    def flush_folders(self, folders: Collection[Path]) -> None:
        """Flush folders, those that are still there, several at a time where that pays."""
        count = min(self._fs.parallel_flushes, len(folders))
        if count <= _FEW:
            for folder in folders:
                quietly(self._fs.flush_dir, folder)
            return
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(count, thread_name_prefix="forebay-flush") as pool:
            for _ in pool.map(partial(quietly, self._fs.flush_dir), folders):
                pass

    def remove(self, path: Path, *, durable: bool = True) -> bool:
        """Remove a file; tell whether it was there.

        Raises:
            StoreError: it cannot be removed.
        """
        try:
            self._fs.unlink(path)
            if durable:
                self._fs.flush_dir(path.parent)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            if durable:
                raise store_error(f"cannot remove {path}", error) from error
            return False
        return True

    def names(self, folder: Path, *, dirs: bool = False) -> list[str]:
        """Return the names of the files (or the folders) in a folder, sorted; none where it is not there.

        Raises:
            OSError: the disk does not say. That is not the same as none: eviction asks this for pins.
        """
        try:
            return sorted(name for name, is_dir in self._fs.scan(folder) if is_dir == dirs)
        except (FileNotFoundError, NotADirectoryError):
            return []


def store_error(what: str, error: OSError) -> StoreError:
    """Return the error of Forebay's own that fits the system's."""
    if isinstance(error, StoreError):
        return error
    trouble = Trouble.of(error)
    message = f"{what}: {error} ({trouble})"
    if trouble is Trouble.FULL:
        return StoreFullError(message, hint="free some space, or `forebay gc --max-bytes SIZE`")
    if trouble is Trouble.READ_ONLY:
        return StoreReadOnlyError(message, hint="set FOREBAY_HOME to a folder that you may write to")
    return StoreError(message)


def quietly(do: Callable[[Path], None], path: Path) -> None:
    """Unlink, or flush, what may be gone already."""
    try:
        do(path)
    except (FileNotFoundError, NotADirectoryError):
        pass  # gone already: that is what we want
