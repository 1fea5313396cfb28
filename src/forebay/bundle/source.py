"""A bundle to be read: an archive in one file or in volumes, or the folder that it was unpacked to."""

from __future__ import annotations

import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType

from blake3 import blake3

from forebay.bundle import archive, signing
from forebay.bundle.archive import BLOCK, Member
from forebay.bundle.manifest import MOST_BYTES, Manifest, PackedObject, manifest_id, parse
from forebay.bundle.scratch import Scratch
from forebay.bundle.stream import FileStream, MemoryStream, Stream, base_of, open_plain, open_volumes
from forebay.errors import BundleError, NotFoundError
from forebay.types import Buffer

PIECE_BYTES = 4 * 2**20
_BUFFER_BYTES = 2**20
_ZEROS = bytes(BLOCK)


class Source(ABC):
    """A bundle whose MANIFEST was read and checked, its signature included. A context manager."""

    place: Path | None = None
    """Where it is; None: in memory."""
    volumes: tuple[str, ...] = ()
    """BLAKE3 of each volume, where it is in volumes."""

    def __init__(self, manifest_bytes: bytes) -> None:
        self.manifest: Manifest = parse(manifest_bytes)
        """What it holds."""
        self.manifest_bytes = manifest_bytes
        self.id = manifest_id(manifest_bytes)
        """BLAKE3 of its MANIFEST."""
        self.members = list(archive.members(self.manifest, len(manifest_bytes)))
        """All members, the MANIFEST first."""
        self.scratch = Scratch()
        """Memory for whoever looks at members."""

    @property
    def total(self) -> int:
        """Bytes of the whole archive."""
        return self.members[-1].end + len(archive.END)

    @abstractmethod
    def pieces(self, member: Member) -> Iterator[Buffer]:
        """Yield the content of a member, which has the name, the header and the size that it must have.

        A piece may be overwritten once the next one is asked for.

        Raises:
            BundleError: it has not.
        """

    @abstractmethod
    def check_end(self) -> None:
        """See that the bundle ends where it should.

        Raises:
            BundleError: it does not.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of it."""

    def file(self, member: Member) -> Path | None:
        """Return the path of a member that is a file of its own, which belongs to this user; None: it is none."""
        return None

    def content(self, member: Member, room: memoryview | None = None) -> Buffer:
        """Return the content of a small member, which is what the MANIFEST says.

        Args:
            member: which.
            room: as many bytes, where it may be put together if it comes in pieces.

        Raises:
            BundleError: it is not.
        """
        return joined(self.checked(member), member.size, room)

    def checked(self, member: Member) -> Iterator[Buffer]:
        """Yield the content of a member; when it is through, its BLAKE3 was right.

        Raises:
            BundleError: it is not what the MANIFEST says.
        """
        assert member.what is not None
        hasher = blake3(max_threads=1 if member.size < PIECE_BYTES else 4)
        for piece in self.pieces(member):
            hasher.update(piece)
            yield piece
        if hasher.hexdigest() != member.what.blake3:
            raise self.refused(member, "is damaged: its bytes are not those that the MANIFEST names")

    def refused(self, member: Member, what: str) -> BundleError:
        """Return the error that says what is wrong with a member."""
        return BundleError(f"{self.at(member)}{member.name} {what}", subject=member.name, hint="nothing was installed")

    def at(self, member: Member) -> str:
        """Say where a member is, for people, followed by ``: ``; "" where that says nothing."""
        return ""

    def check_signature(self) -> None:
        """Check the signature, if the MANIFEST says that there is one.

        Raises:
            BundleError: it does not fit.
        """
        if self.manifest.signer is not None:
            signature = b"".join(bytes(piece) for piece in self.pieces(self.members[1]))
            signing.check(self.manifest_bytes, signature, self.manifest.signer)

    def __enter__(self) -> Source:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()


class ArchiveSource(Source):
    """An archive; closes its stream."""

    def __init__(self, stream: Stream, place: Path | None = None) -> None:
        self._stream = stream
        self.place = place
        size = archive.manifest_size(bytes(stream.read(0, BLOCK)))
        if stream.size < BLOCK + size:
            raise BundleError(f"it is truncated: {stream.size} bytes do not hold its MANIFEST")
        super().__init__(bytes(stream.read(BLOCK, size)))
        self._check_padding(self.members[0])

    def pieces(self, member: Member) -> Iterator[Buffer]:
        """See `Source.pieces`."""
        if member.size <= PIECE_BYTES:
            whole = memoryview(self._stream.read(member.offset, member.end - member.offset))
            if bytes(whole[:BLOCK]) != member.header:
                raise self._not_there(member)
            if len(whole) < member.end - member.offset:
                raise self._cut(member)
            if bytes(whole[BLOCK + member.size :]) != _ZEROS[: member.end - member.content - member.size]:
                raise self.refused(member, "is followed by bytes that should not be there")
            yield whole[BLOCK : BLOCK + member.size]
            return
        if self._stream.read(member.offset, BLOCK) != member.header:
            raise self._not_there(member)
        left, at = member.size, member.content
        while left:
            piece = self._stream.read(at, min(left, PIECE_BYTES))
            if not piece:
                raise self._cut(member)
            yield piece
            left, at = left - len(piece), at + len(piece)
        self._check_padding(member)

    def check_end(self) -> None:
        """See `Source.check_end`."""
        size = self._stream.size
        if size < self.total:
            raise BundleError(f"it is truncated: {self.total - size} bytes of {self.total} are missing")
        if size > self.total:
            raise BundleError(f"there are {size - self.total} bytes after its end")
        if self._stream.read(self.members[-1].end, len(archive.END)) != archive.END:
            raise BundleError("it does not end as it should")

    def at(self, member: Member) -> str:
        """See `Source.at`."""
        where = self._stream.where(member.content)
        return f"{where}: " if where else ""

    def close(self) -> None:
        """See `Source.close`."""
        self._stream.close()

    def _check_padding(self, member: Member) -> None:
        rest = member.end - member.content - member.size
        if self._stream.read(member.content + member.size, rest) != _ZEROS[:rest]:
            raise self.refused(member, "is followed by bytes that should not be there")

    def _not_there(self, member: Member) -> BundleError:
        if self._stream.size < member.content:
            return self._cut(member)
        return self.refused(
            member, "is not where it should be: its header is damaged, or another member is in its place"
        )

    def _cut(self, member: Member) -> BundleError:
        return self.refused(member, f"is cut off: the bundle is truncated at {self._stream.size} of {self.total} bytes")


class FolderSource(Source):
    """A folder to which an archive was unpacked. What else lies there is not looked at."""

    def __init__(self, folder: Path) -> None:
        self.place = folder
        self._sound: set[Path] = set()
        descriptor = open_plain(folder / archive.MANIFEST)
        with os.fdopen(descriptor, "rb") as file:
            if os.fstat(descriptor).st_size > MOST_BYTES:
                raise BundleError(f"its MANIFEST is larger than {MOST_BYTES} bytes")
            super().__init__(file.read())

    def pieces(self, member: Member) -> Iterator[Buffer]:
        """See `Source.pieces`."""
        path = self._path(member)
        descriptor = open_plain(path)
        try:
            if os.fstat(descriptor).st_size != member.size:
                raise self.refused(member, f"has {os.fstat(descriptor).st_size} bytes instead of {member.size}")
            if member.size <= _BUFFER_BYTES:
                yield os.read(descriptor, member.size)
                return
            buffer = self.scratch.room("piece", _BUFFER_BYTES)
            left = member.size
            while left:
                count = os.readv(descriptor, [buffer[: min(left, _BUFFER_BYTES)]])
                if not count:
                    raise self.refused(member, "was cut while it was read")
                yield buffer[:count]
                left -= count
        except OSError as error:
            raise BundleError(f"cannot read {path}: {error.strerror}", subject=path) from error
        finally:
            os.close(descriptor)

    def file(self, member: Member) -> Path | None:
        """See `Source.file`."""
        path = self._path(member)
        try:
            facts = path.lstat()
        except OSError:  # reading it says what is wrong
            return None
        return path if stat.S_ISREG(facts.st_mode) and facts.st_uid == os.geteuid() else None

    def check_end(self) -> None:
        """See `Source.check_end`. A folder has no end."""

    def close(self) -> None:
        """See `Source.close`."""

    def _path(self, member: Member) -> Path:
        assert self.place is not None
        path = self.place / member.name  # made of digests, kinds and fixed words only
        for folder in (path.parent, *path.parent.parents):
            if folder in self._sound or folder == self.place:
                break
            if folder.is_symlink():
                raise self.refused(member, f"lies behind a link: {folder}")
            self._sound.add(folder)
        return path


def joined(pieces: Iterable[Buffer], size: int, room: memoryview | None = None) -> Buffer:
    """Return pieces of `size` bytes together as one, without copying where it is one already.

    Args:
        pieces: what to join; each may be overwritten once the next one is asked for, if there are several.
        size: bytes of all of them.
        room: as many bytes to put them into; None: new ones.
    """
    whole: Buffer = b""
    done = 0
    for piece in pieces:
        if len(piece) == size:
            whole = piece
            continue
        if room is None:
            room = memoryview(bytearray(size))
        room[done : done + len(piece)] = piece
        done += len(piece)
        whole = room[:done]
    return whole


def open_source(path: Path, stream: Stream | None = None) -> Source:
    """Open a bundle and check its MANIFEST and signature.

    Args:
        path: of an archive, one of its volumes or their list, or a folder that one was unpacked to.
        stream: the archive, wherever it is, in place of what is at `path`.

    Raises:
        NotFoundError: there is nothing.
        BundleError: it is none, or its head is damaged.
    """
    try:
        source = _open(path, stream)
        try:
            source.check_signature()
        except BaseException:
            source.close()
            raise
    except BundleError as error:
        raise BundleError(f"{path}: {error.what}", subject=path, hint=error.hint) from error
    return source


def _open(path: Path, stream: Stream | None) -> Source:
    if stream is not None:
        return ArchiveSource(stream)
    if path.is_dir():
        if not os.path.lexists(path / archive.MANIFEST):
            raise NotFoundError(f"no bundle in {path}", subject=path, hint="give an archive, or where one was unpacked")
        return FolderSource(path)
    base = base_of(path)
    if base is None and not path.exists():
        raise NotFoundError(f"no bundle {path}", subject=path, hint="give an archive, its volumes or a folder")
    if base is None:
        return _over(FileStream([path.resolve()]), path)
    volumes, told = open_volumes(base)
    source = _over(volumes, base)
    if source.id != told.manifest:
        source.close()
        raise BundleError("its volumes belong to another list", hint="do not mix volumes of several bundles")
    source.volumes = tuple(each.blake3 for each in told.volumes)
    return source


def _over(stream: FileStream, path: Path) -> ArchiveSource:
    try:
        return ArchiveSource(stream, path)
    except BaseException:
        stream.close()
        raise


def open_bytes(data: Buffer) -> Source:
    """Open a bundle in memory, as `open_source`."""
    return open_source(Path("bundle"), MemoryStream(data))


def objects_of(source: Source) -> Iterator[tuple[Member, PackedObject]]:
    """Yield the members that are objects, with what the MANIFEST says of them."""
    for member in source.members:
        if isinstance(member.what, PackedObject):
            yield member, member.what
