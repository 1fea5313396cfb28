"""Files and folders of this machine, by content."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from forebay.errors import NotFoundError, OriginError, SourceError
from forebay.fingerprint import FileMemo, file_digest
from forebay.hub.origin import Listing
from forebay.hub.reference import Reference
from forebay.hub.snapshot import Snapshot, SnapshotFile, key_of, listed


class Local:
    """The file system as an origin.

    Args:
        memo: where digests of files are remembered, so that an unchanged one is not read again.
    """

    def __init__(self, memo: FileMemo | None = None) -> None:
        self._memo = memo

    @property
    def name(self) -> str:
        """See `Origin`."""
        return "this machine"

    def resolve(self, reference: Reference, *, token: str | None = None, known: Snapshot | None = None) -> Listing:
        """See `Origin`. Links to files are followed, links to folders are not, names that begin with a dot are left."""
        root = Path(reference.id)
        if root.is_file():
            files = (self._file(root, root.name),)
        elif root.is_dir():
            files = listed((self._file(path, path.relative_to(root).as_posix()) for path in _below(root)), str(root))
        else:
            raise NotFoundError(f"{root}: no such file or folder", subject=str(root), hint="check the path")
        commit = key_of(*(file.to_json() for file in files))
        return Listing(Snapshot("local", "file" if root.is_file() else "folder", str(root), commit, files))

    @contextmanager
    def read(
        self, snapshot: Snapshot, file: SnapshotFile, start: int, etag: str, *, token: str | None = None
    ) -> Generator[_FileBody]:
        """See `Origin`."""
        path = Path(snapshot.id) if snapshot.type == "file" else Path(snapshot.id) / file.path
        try:
            with path.open("rb") as opened:
                opened.seek(start)
                yield _FileBody(opened, start)
        except FileNotFoundError as error:
            raise NotFoundError(f"{path}: it has gone", subject=str(path), hint="fetch again") from error

    def _file(self, path: Path, name: str) -> SnapshotFile:
        digest = file_digest(path, self._memo)
        return SnapshotFile(name, path.stat().st_size, f"blake3:{digest}")


def _below(root: Path) -> Iterator[Path]:
    def fail(error: OSError) -> None:
        raise SourceError(f"{error.filename}: {error.strerror}", subject=error.filename, hint="make it readable")

    for folder, folders, names in os.walk(root, onerror=fail):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(folder) / name for name in names if not name.startswith("."))


class _FileBody:
    def __init__(self, opened: BinaryIO, start: int) -> None:
        self.start = start
        self.size: int | None = os.fstat(opened.fileno()).st_size
        self.etag = ""
        self.host = "this machine"
        self._opened = opened

    def chunks(self, most_bytes: int) -> Iterator[bytes]:
        """See `Body`."""
        try:
            while piece := self._opened.read(most_bytes):
                yield piece
        except OSError as error:
            raise OriginError(
                f"cannot read {self._opened.name}: {error.strerror}", subject=self._opened.name
            ) from error
