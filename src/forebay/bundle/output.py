"""The file, or the volumes, that an archive is written to: under names of their own until all is there."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from blake3 import blake3

from forebay.bundle.stream import Volume, VolumeList, list_path, volume_path
from forebay.errors import InputError, StoreError, StoreFullError
from forebay.types import Buffer

Result = TypeVar("Result")

PART = ".part"
LOG = ".part.log"
_GATHER_BYTES = 2**20
_FLUSH_BYTES = 32 * 2**20
_MOST_VOLUMES = 1000
_OPEN = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


class Output:
    """Bytes written in order, which can be looked at and overwritten until `finish` gives them their names.

    Args:
        base: what it will be called; volumes have ``.000`` and so on behind it.
        volume_bytes: of each volume but the last; None: one file.
        replace: whether it may be there already.

    Raises:
        InputError: it is there already.
        StoreError: its folder cannot be written.
    """

    def __init__(self, base: Path, volume_bytes: int | None, *, replace: bool) -> None:
        self.base = base
        self._volume_bytes = volume_bytes
        self._files: list[int] = []
        self._held = bytearray()
        self._flusher = ThreadPoolExecutor(1, thread_name_prefix="forebay-flush")
        self._flushing: Future[None] | None = None
        self._unflushed = 0
        for there in (base, list_path(base)):
            if there.exists() and not replace:
                raise InputError(f"{there} is there already", subject=there, hint="remove it, or give --replace")
        self.size = sum(self._sizes())
        """Bytes so far."""

    def write(self, data: Buffer) -> None:
        """Append."""
        view = memoryview(data)
        if view.nbytes >= _GATHER_BYTES:
            self._put_held()
            self._put(self.size, view)
            self.size += view.nbytes
            return
        self._held += view
        self.size += view.nbytes
        if len(self._held) >= _GATHER_BYTES:
            self._put_held()

    def flush(self) -> None:
        """Hand everything to the system."""
        self._put_held()

    def overwrite(self, offset: int, data: Buffer) -> None:
        """Write over what is there."""
        self._put_held()
        self._put(offset, memoryview(data))

    def read(self, offset: int, size: int) -> bytes:
        """Return bytes that were written, fewer at the end."""
        self._put_held()
        parts: list[bytes] = []
        for number, start, count in self._spans(offset, size):
            part = os.pread(self._file(number), count, start)
            parts.append(part)
            if len(part) < count:
                break
        return b"".join(parts)

    def truncate(self, size: int) -> None:
        """Drop all that was written from `size` on."""
        self._put_held()
        if self._flushing is not None:
            self._flushing.result()
        limit = self._volume_bytes
        number = 0 if limit is None else size // limit
        while len(self._files) > number + 1:
            os.close(self._files.pop())
            self._part(len(self._files)).unlink()
        os.ftruncate(self._file(number), size if limit is None else size - number * limit)
        self.size = size

    def finish(self, manifest: str) -> list[Path]:
        """Make it durable and give it its names; return them, the list of volumes last.

        Args:
            manifest: id of the MANIFEST.
        """
        self._put_held()
        if self._flushing is not None:
            self._flushing.result()
        for file in self._files:
            self.told(lambda file=file: os.fsync(file))
        if self._volume_bytes is None:
            self._part(0).replace(self.base)
            done = [self.base]
        else:
            told = VolumeList(manifest, tuple(self._volume(number) for number in range(len(self._files))))
            done = [volume_path(self.base, number) for number in range(len(self._files))]
            for number, path in enumerate(done):
                self._part(number).replace(path)
            done.append(self._write_list(told))
        self.log_path.unlink(missing_ok=True)
        self.close()
        _flush_folder(self.base.parent)
        return done

    @property
    def log_path(self) -> Path:
        """Where it is noted how far it is."""
        return self.base.with_name(self.base.name + LOG)

    def close(self) -> None:
        """Let go of the files; what is unfinished stays and can be gone on with."""
        try:
            self._put_held()
        except StoreError:
            pass  # told before, or what brought us here is told; the next attempt sees what is there
        self._flusher.shutdown(wait=True)
        while self._files:
            os.close(self._files.pop())

    def _write_list(self, told: VolumeList) -> Path:
        path = list_path(self.base)
        part = path.with_name(path.name + PART)
        with part.open("wb") as file:
            file.write(told.encode())
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        return path

    def _volume(self, number: int) -> Volume:
        hasher, offset = blake3(max_threads=4), 0
        while piece := os.pread(self._files[number], 8 * 2**20, offset):
            hasher.update(piece)
            offset += len(piece)
        return Volume(offset, hasher.hexdigest())

    def _sizes(self) -> Iterator[int]:
        """Open what an earlier attempt left, and yield its sizes."""
        number = 0
        while number == 0 or (self._volume_bytes is not None and self._part(number).exists()):
            yield os.fstat(self._file(number)).st_size
            number += 1

    def _put_held(self) -> None:
        if self._held:
            held, self._held = self._held, bytearray()
            self._put(self.size - len(held), memoryview(held))

    def _put(self, offset: int, view: memoryview) -> None:
        at = 0
        for number, start, count in self._spans(offset, view.nbytes):
            self._write_at(self._file(number), start, view[at : at + count])
            at += count

    def _write_at(self, file: int, offset: int, view: memoryview) -> None:
        while view:
            done = self.told(lambda offset=offset, view=view: os.pwrite(file, view, offset))
            offset, view = offset + done, view[done:]
            self._unflushed += done
        if self._unflushed >= _FLUSH_BYTES and (self._flushing is None or self._flushing.done()):
            self._flush_along(file)

    def _flush_along(self, file: int) -> None:
        """Let the disk write while we pack on: at the end little is left to wait for."""
        if self._flushing is not None:
            self._flushing.result()  # a flush that failed says that content is lost: no later one makes it good
        self._unflushed = 0
        self._flushing = self._flusher.submit(self._flush_one, file)

    def _flush_one(self, file: int) -> None:
        self.told(lambda: getattr(os, "fdatasync", os.fsync)(file))

    def _spans(self, offset: int, size: int) -> Iterator[tuple[int, int, int]]:
        """Yield (volume, offset in it, bytes) of a stretch."""
        limit = self._volume_bytes
        if limit is None:
            yield 0, offset, size
            return
        while size > 0:
            number, start = divmod(offset, limit)
            count = min(size, limit - start)
            yield number, start, count
            offset, size = offset + count, size - count

    def _file(self, number: int) -> int:
        if number >= _MOST_VOLUMES:
            raise InputError(f"more than {_MOST_VOLUMES} volumes", hint="give a larger --volume-size")
        while number >= len(self._files):
            path = self._part(len(self._files))
            self._files.append(self.told(lambda path=path: os.open(path, _OPEN, 0o666)))
        return self._files[number]

    def _part(self, number: int) -> Path:
        path = self.base if self._volume_bytes is None else volume_path(self.base, number)
        return path.with_name(path.name + PART)

    def told(self, work: Callable[[], Result]) -> Result:
        """Do what writes, so that what goes wrong names the bundle.

        Raises:
            StoreFullError: no room.
            StoreError: it cannot be written for another reason.
        """
        try:
            return work()
        except OSError as error:
            what = f"cannot write {self.base}: {error.strerror}"
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                hint = "make room and give the same command again: it goes on where it stopped"
                if error.errno == errno.EFBIG:
                    hint = "no file may be as large there (FAT32: 4 GiB less a byte); try --volume-size 4GB"
                raise StoreFullError(what, subject=self.base, hint=hint) from error
            raise StoreError(what, subject=self.base, hint="choose a place that can be written") from error


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError:
        pass  # some file systems cannot; nothing better can be done
    finally:
        os.close(descriptor)
