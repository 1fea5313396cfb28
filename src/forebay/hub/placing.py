"""Objects of a store given a second place outside, without a second copy where that can be.

A file is laid by the first way that works: a hard link (the same bytes on the disk under another name), a reflink (a
copy that shares its blocks until one is written to), a copy. Objects that are encoded at rest have no file to link, so
they are decoded into a copy. Everything can be done again: what is there already stays.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Literal, TypeAlias

from blake3 import blake3

from forebay.errors import InputError
from forebay.store import Store
from forebay.store.layout import Layout
from forebay.types import JSON, ObjectRef

Way: TypeAlias = Literal["auto", "link", "symlink", "copy"]
"""How files are laid: ``auto`` as the module says, ``link`` or nothing, ``symlink`` into the store, ``copy``."""

_CLONE = 0x40049409
"""Linux' FICLONE."""
_UNKNOWN_HERE = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}
_NO_LINK = {errno.EXDEV, errno.EACCES, errno.EMLINK, *_UNKNOWN_HERE}
_PIECE_BYTES = 8 * 2**20
_SEEN_BYTES = 2**20


@dataclass(slots=True)
class Laid:
    """What was laid.

    Attributes:
        files: all of them, by how: ``link``, ``reflink``, ``copy``, ``symlink``, ``decoded`` (a copy), ``kept``.
        bytes: of their content, likewise; only those of ``copy`` and ``decoded`` take room on the disk.
        missing: what the store does not hold, as ``dataset: path``.
        wanted: the references that bring what is missing, where fetching does.
        notes: anything else to tell.
    """

    files: dict[str, int] = field(default_factory=dict[str, int])
    bytes: dict[str, int] = field(default_factory=dict[str, int])
    missing: list[str] = field(default_factory=list[str])
    wanted: list[str] = field(default_factory=list[str])
    notes: list[str] = field(default_factory=list[str])

    def count(self, how: str, size: int) -> None:
        """Count one file."""
        self.files[how] = self.files.get(how, 0) + 1
        self.bytes[how] = self.bytes.get(how, 0) + size

    def note(self, text: str) -> None:
        """Add a note, once."""
        if text not in self.notes:
            self.notes.append(text)

    def lack(self, what: str, reference: str) -> None:
        """Add something missing, once, that is fetched by a reference."""
        if what not in self.missing:
            self.missing.append(what)
        if reference not in self.wanted:
            self.wanted.append(reference)

    @property
    def copied_bytes(self) -> int:
        """What the laid files take on the disk beside the store."""
        return self.bytes.get("copy", 0) + self.bytes.get("decoded", 0)

    def to_json(self) -> dict[str, JSON]:
        """Return it as JSON."""
        return {
            "files": dict(self.files),
            "bytes": dict(self.bytes),
            "copied_bytes": self.copied_bytes,
            "missing": list(self.missing),
            "wanted": list(self.wanted),
            "notes": list(self.notes),
        }


class Placer:
    """Lays objects of one store at paths of the same machine. To be used from one thread.

    Args:
        store: whose objects.
        way: how.
    """

    def __init__(self, store: Store, way: Way = "auto") -> None:
        self._store = store
        self._layout = Layout(store.home)
        self._way: Way = way
        self._numbers = count()
        self._folders: set[Path] = set()
        self._symlinks: dict[int, bool] = {}  # by device
        self.laid = Laid()

    def place(self, ref: ObjectRef, target: Path) -> None:
        """Lay an object at a path, making the folders that lead there; what else is there is replaced.

        Its bytes are checked before they are given away, as the store's settings say.

        Raises:
            ObjectMissingError, ObjectDamagedError: the store does not hold it.
            InputError: the way that was asked for does not work here.
            OSError: the folder may not be written.
        """
        source = self._layout.object(ref.digest)
        own, there = _stat(source), _stat(target)
        raw = own is not None
        if own is not None and there is not None and (own.st_dev, own.st_ino) == (there.st_dev, there.st_ino):
            self.laid.count("kept", ref.size)
            return
        view = self._store.read(ref.digest)
        if there is not None and there.st_size == ref.size and not target.is_symlink() and _holds(target, ref):
            self.laid.count("kept", ref.size)
            return
        self._make_folder(target.parent)
        how = self._laid_by_name(source, target) if raw else ""
        if not how:
            if self._way == "link":
                why = "the file system has no hard links, or is another one" if raw else "it is encoded at rest"
                hint = "choose a folder on the store's file system, and codec none; or allow copies"
                raise InputError(f"cannot link object {ref.digest[:12]} to {target}: {why}", subject=target, hint=hint)
            how = self._copied(source if raw else None, view, target)
        self.laid.count(how, ref.size)

    def write(self, data: bytes, target: Path) -> None:
        """Lay bytes that are no object (a ref, a description), unless they are there."""
        if _read(target) == data and not target.is_symlink():
            return
        self._make_folder(target.parent)
        self._replace(target, lambda path: path.write_bytes(data))

    def takes_symlinks(self, folder: Path) -> bool:
        """Tell whether a folder, which is made, takes symbolic links; FAT, and SMB shares as a rule, have none."""
        device = self._device(folder)
        if device not in self._symlinks:
            probe = self._beside(folder)
            try:
                probe.symlink_to("nowhere")
                probe.unlink()
            except OSError as error:
                if error.errno not in _UNKNOWN_HERE:
                    raise
                self._symlinks[device] = False
            else:
                self._symlinks[device] = True
        return self._symlinks[device]

    def link_to(self, pointed: str, target: Path) -> None:
        """Lay a symbolic link, unless it is there."""
        if target.is_symlink() and os.readlink(target) == pointed:
            return
        self._make_folder(target.parent)
        self._name(target, lambda path: path.symlink_to(pointed))

    def _laid_by_name(self, source: Path, target: Path) -> str:
        """Give the object's file a second name; return how, or "" where that cannot be."""
        if self._way == "copy":
            return ""
        if self._way == "symlink":
            if not self.takes_symlinks(target.parent):
                what, hint = (
                    f"the file system of {target.parent} takes no symbolic links",
                    "lay copies there: --by copy",
                )
                raise InputError(what, subject=target, hint=hint)
            self._name(target, lambda path: path.symlink_to(source.absolute()))
            return "symlink"
        try:
            self._name(target, lambda path: path.hardlink_to(source))
        except OSError as error:
            if error.errno not in _NO_LINK:
                raise
            return ""
        return "link"

    def _copied(self, source: Path | None, view: memoryview, target: Path) -> str:
        how = "copy" if source is not None else "decoded"

        def make(path: Path) -> None:
            nonlocal how
            with path.open("xb") as file:
                if source is not None and self._way != "copy" and _cloned(source, file.fileno()):
                    how = "reflink"
                else:
                    for start in range(0, view.nbytes, _PIECE_BYTES):
                        file.write(view[start : start + _PIECE_BYTES])
                with suppress(OSError):  # FAT, SMB and the like know no such mode
                    os.fchmod(file.fileno(), 0o444)

        self._replace(target, make)
        return how

    def _device(self, folder: Path) -> int:
        self._make_folder(folder)
        return folder.stat().st_dev

    def _beside(self, folder: Path) -> Path:
        return folder / f".forebay-{os.getpid()}-{next(self._numbers)}"

    def _make_folder(self, folder: Path) -> None:
        if folder not in self._folders:
            folder.mkdir(parents=True, exist_ok=True)
            self._folders.add(folder)

    def _name(self, target: Path, make: Callable[[Path], object]) -> None:
        """Make a link: it is whole as soon as it is there, so only what is in its place makes a detour necessary."""
        try:
            make(target)
        except FileExistsError:
            self._replace(target, make)

    def _replace(self, target: Path, make: Callable[[Path], object]) -> None:
        """Make a file beside its place and put it there at once: nobody sees half of it."""
        beside = self._beside(target.parent)
        try:
            make(beside)
            beside.replace(target)
        finally:
            beside.unlink(missing_ok=True)  # of two names of one file, a rename leaves both


def _cloned(source: Path, target: int) -> bool:
    import fcntl

    with source.open("rb") as file:
        try:
            fcntl.ioctl(target, _CLONE, file.fileno())
        except OSError:
            return False
    return True


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def _holds(target: Path, ref: ObjectRef) -> bool:
    """Tell whether a file of the same size is a copy of the object already."""
    hasher = blake3()
    with target.open("rb") as file:
        while piece := file.read(_SEEN_BYTES):
            hasher.update(piece)
    return hasher.hexdigest() == ref.digest


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
