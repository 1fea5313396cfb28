"""Where the bytes of an archive are: in one file, in volumes, or in memory; read at any offset."""

from __future__ import annotations

import json
import os
import re
import stat
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, cast

from blake3 import blake3

from forebay.errors import BundleError
from forebay.types import Buffer, is_hex64

VOLUMES = ".volumes.json"
_MOST_LIST_BYTES = 64 * 2**20
_MOST_VOLUMES = 1000
_HEAD, _TAIL = b'{"check":"', b'",'


class Stream(Protocol):
    """Bytes that can be read at any offset."""

    size: int

    def read(self, offset: int, size: int) -> Buffer:
        """Return `size` bytes from `offset`, fewer only at the end."""
        ...

    def where(self, offset: int) -> str:
        """Say in which file an offset is, for people; "" where it is in none."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class MemoryStream:
    """An archive in memory."""

    def __init__(self, data: Buffer) -> None:
        self._view = memoryview(data)
        self.size = len(data)

    def read(self, offset: int, size: int) -> Buffer:
        """See `Stream.read`."""
        return self._view[offset : offset + size]

    def where(self, offset: int) -> str:
        """See `Stream.where`."""
        return ""

    def close(self) -> None:
        """See `Stream.close`."""
        self._view.release()


class FileStream:
    """An archive in one file, or in several that follow each other."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._files: list[int] = []
        sizes: list[int] = []
        try:
            for path in paths:
                self._files.append(open_plain(path))
                sizes.append(os.fstat(self._files[-1]).st_size)
        except BaseException:
            self.close()
            raise
        self.sizes = tuple(sizes)
        self._starts = [0, *accumulate(sizes)][:-1]
        self.size = sum(sizes)

    def read(self, offset: int, size: int) -> Buffer:
        """See `Stream.read`."""
        number = bisect_right(self._starts, offset) - 1
        parts: list[bytes] = []
        while size > 0 and number < len(self._files):
            try:
                part = os.pread(self._files[number], size, offset - self._starts[number])
            except OSError as error:  # told as what it is: whoever writes meanwhile takes OSErrors for his own
                raise BundleError(f"cannot read {self._paths[number]}: {error.strerror}") from error
            if part:
                parts.append(part)
                offset, size = offset + len(part), size - len(part)
            if offset >= self._starts[number] + self.sizes[number]:
                number += 1
            elif not part:  # the file was cut after we opened it
                break
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def where(self, offset: int) -> str:
        """See `Stream.where`."""
        return self._paths[bisect_right(self._starts, offset) - 1].name

    def close(self) -> None:
        """See `Stream.close`."""
        while self._files:
            os.close(self._files.pop())

    def __enter__(self) -> FileStream:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()


def open_plain(path: Path | str, folder: int | None = None) -> int:
    """Open a plain file for reading; a link as its last part, a pipe or a device is refused.

    Raises:
        BundleError: it is not a plain file, is not there, or may not be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror}", subject=path) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise BundleError(f"{path} is not a plain file", subject=path)
    return descriptor


@dataclass(frozen=True, slots=True)
class Volume:
    """One volume: its size in bytes and BLAKE3."""

    size: int
    blake3: str


@dataclass(frozen=True, slots=True)
class VolumeList:
    """What ``OUT.volumes.json`` says: the id of the MANIFEST, and every volume in order."""

    manifest: str
    volumes: tuple[Volume, ...]

    def encode(self) -> bytes:
        """Return the bytes of the file."""
        told = [{"blake3": each.blake3, "size": each.size} for each in self.volumes]
        fields = {"format": 1, "manifest": self.manifest, "volumes": told}
        line = json.dumps(fields, sort_keys=True, separators=(",", ":")).encode() + b"\n"
        return _HEAD + blake3(line).hexdigest().encode() + _TAIL + line[1:]

    @classmethod
    def decode(cls, data: bytes) -> VolumeList:
        """Return what the bytes of the file say.

        Raises:
            BundleError: they are not what `encode` wrote.
        """
        try:
            fields = cast("dict[str, Any]", json.loads(data))
            told = cast("list[dict[str, Any]]", fields["volumes"])
            found = cls(fields["manifest"], tuple(Volume(each["size"], each["blake3"]) for each in told))
            sound = all(type(each.size) is int and each.size > 0 and is_hex64(each.blake3) for each in found.volumes)
        except (KeyError, TypeError, ValueError, RecursionError, AttributeError) as error:
            raise BundleError("its list of volumes is damaged") from error
        if not sound or not 0 < len(found.volumes) <= _MOST_VOLUMES or found.encode() != data:
            raise BundleError("its list of volumes is damaged")
        return found


def volume_path(base: Path, number: int) -> Path:
    """Return the path of a volume of the archive `base`."""
    return base.with_name(f"{base.name}.{number:03d}")


def list_path(base: Path) -> Path:
    """Return the path of the list of volumes of the archive `base`."""
    return base.with_name(base.name + VOLUMES)


def base_of(path: Path) -> Path | None:
    """Return the archive that a path of a list or volume means, or that is there in volumes only; None: neither."""
    if path.name.endswith(VOLUMES):
        return path.with_name(path.name.removesuffix(VOLUMES))
    cut = re.fullmatch(r"(.+)\.\d{3}", path.name)
    if cut is not None and list_path(path.with_name(cut[1])).exists():
        return path.with_name(cut[1])
    return path if not path.exists() and list_path(path).exists() else None


def read_list(base: Path) -> VolumeList:
    """Return what the list of volumes of the archive `base` says.

    Raises:
        BundleError: it is damaged.
    """
    with FileStream([list_path(base)]) as listing:
        if listing.size > _MOST_LIST_BYTES:
            raise BundleError("its list of volumes is too large")
        return VolumeList.decode(bytes(listing.read(0, listing.size)))


def open_volumes(base: Path) -> tuple[FileStream, VolumeList]:
    """Open an archive in volumes.

    Raises:
        BundleError: a volume is not there or not of its size, or the list is damaged.
    """
    told = read_list(base)
    paths = [volume_path(base, number) for number in range(len(told.volumes))]
    missing = [path.name for path in paths if not path.exists()]
    if missing:
        raise BundleError(f"volume {missing[0]} is not there", subject=base, hint="put all volumes into one folder")
    stream = FileStream(paths)
    for path, size, volume in zip(paths, stream.sizes, told.volumes, strict=True):
        if size != volume.size:
            stream.close()
            raise BundleError(f"volume {path.name} has {size} bytes instead of {volume.size}", subject=path)
    return stream, told
