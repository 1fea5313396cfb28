"""A folder of leases: who gets one, and who is found dead (design/0002)."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path

from forebay.io.filesystem import Filesystem
from forebay.io.heart import HEART, Heart
from forebay.io.lease import Lease, LeaseTerms, Progress, generations, parse
from forebay.io.process import ProcessName

_NAME = re.compile(r"[0-9a-z][0-9a-z_-]+")
_MOST_WATCHED = 4096


class LeaseFolder:
    """Gives out leases on names; all processes with the same folder agree on who has them.

    Safe to use from several threads, and after fork().

    Args:
        fs: the file system.
        root: the folder; made when first needed. Leases are files ``ab/<name>.<generation>.json`` in it.
        lease_seconds: a lease whose heartbeat is older than this is dead; all users of a folder should say the same.
        clock: a monotonic clock in seconds.
        heart: who beats for leases; None: nobody, the holder calls `Lease.beat` itself.
        me: tells who the calling process is.
        dir_mode: permissions of folders made here, less the umask; files have them without the right to search.
    """

    def __init__(
        self,
        fs: Filesystem,
        root: Path,
        *,
        lease_seconds: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
        heart: Heart | None = HEART,
        me: Callable[[], ProcessName] = ProcessName.mine,
        dir_mode: int = 0o777,
    ) -> None:
        self._fs = fs
        self._root = root
        self._terms = LeaseTerms(fs, heart, lease_seconds, clock, file_mode=dir_mode & 0o666)
        self._me = me
        self._dir_mode = dir_mode
        self._watched: dict[tuple[str, int], tuple[int, float]] = {}  # name, generation -> heartbeat ns, seen since

    def acquire(self, name: str) -> Lease | None:
        """Get the lease on `name`, taking it over from a dead owner; None: somebody alive has it. Never waits.

        Args:
            name: two or more lower-case letters, digits, ``-`` or ``_``: a key.

        Raises:
            OSError: the folder cannot be written (EROFS, EACCES, ENOSPC …).
        """
        folder = self._folder(name)
        highest = self._highest(name)
        if highest and self._is_alive(name, highest):
            return None
        path = folder / f"{name}.{highest + 1}.json"
        token = os.urandom(8).hex()
        if not self._create(path, token):
            return None  # another was faster
        # We may have looked, slept, and created long after: then others have come and gone, and the highest generation
        # that we saw means nothing. Whoever is alive keeps the work.
        others = [each for each in generations(self._fs, folder, name) if each != highest + 1]
        if any(each > highest + 1 or self._is_alive(name, each) for each in others):
            self._fs.unlink(path)
            return None
        self._watched.pop((name, highest), None)
        return Lease(self._terms, name, path, token)

    def progress(self, name: str) -> Progress | None:
        """Return how far the work under `name` is; None: nobody alive does it."""
        highest = self._highest(name)
        if not highest or not self._is_alive(name, highest):
            return None
        owner = self._owner(name, highest)
        try:
            told = parse(self._fs.read(self._path(name, highest).with_suffix(".progress")))
        except FileNotFoundError:
            told = {}
        text, done, total = told.get("text"), told.get("done"), told.get("total")
        return Progress(
            text=text if isinstance(text, str) else "",
            done=done if isinstance(done, int) else 0,
            total=total if isinstance(total, int) else 0,
            host=owner.host if owner else "",
            pid=owner.pid if owner else 0,
        )

    def names(self) -> list[str]:
        """Return the names that leases, alive or dead, or remains of them are there for, sorted."""
        found: set[str] = set()
        for folder, is_dir in self._scan(self._root):
            if is_dir:
                found.update(file_name.partition(".")[0] for file_name, _ in self._scan(self._root / folder))
        return sorted(name for name in found if _NAME.fullmatch(name))

    def sweep(self) -> int:
        """Remove what dead owners left, and return how many names that concerned.

        Each is taken over and released, so it is as safe at any moment as working is.
        """
        swept = 0
        for name in self.names():
            lease = self.acquire(name)
            if lease is not None:
                lease.release(tidy=True)
                swept += 1
        return swept

    def _create(self, path: Path, token: str) -> bool:
        content = json.dumps({**self._me().to_json(), "token": token}, sort_keys=True).encode()
        try:
            try:
                file = self._fs.create(path, mode=self._terms.file_mode)
            except FileNotFoundError:
                self._fs.make_dirs(path.parent, mode=self._dir_mode)
                file = self._fs.create(path, mode=self._terms.file_mode)
        except FileExistsError:
            return False
        try:
            file.write(content)
            file.close()
        except OSError:
            file.close()
            self._fs.unlink(path)
            raise
        return True

    def _is_alive(self, name: str, generation: int) -> bool:
        """Tell whether that owner still works. Dead: it surely ended, or its heartbeat is older than lease_seconds."""
        owner = self._owner(name, generation)
        if owner is not None and owner.is_gone():
            return False
        try:
            beat_ns = self._fs.stat(self._path(name, generation)).mtime_ns
        except FileNotFoundError:
            return False  # released just now
        # Both heartbeat and now are by the clock of the machine that keeps the disk.
        if self._disk_now_ns(name) - beat_ns > self._terms.lease_seconds * 1e9:
            return False
        return not self._seen_still(name, generation, beat_ns)

    def _seen_still(self, name: str, generation: int, beat_ns: int) -> bool:
        """Tell whether we ourselves saw no beat for lease_seconds: and find the dead if the disk's clock went back."""
        now = self._terms.clock()
        seen_ns, since = self._watched.get((name, generation), (None, now))
        if seen_ns != beat_ns:
            if len(self._watched) >= _MOST_WATCHED:
                self._watched.clear()
            self._watched[name, generation] = (beat_ns, now)
            return False
        return now - since > self._terms.lease_seconds

    def _disk_now_ns(self, name: str) -> int:
        folder = self._folder(name)
        try:
            self._fs.touch(folder)
            return self._fs.stat(folder).mtime_ns
        except OSError:  # we may only read here
            return int(self._fs.now() * 1e9)

    def _owner(self, name: str, generation: int) -> ProcessName | None:
        try:
            # Opening the file also makes an NFS client fetch its attributes anew, so the stat that follows is fresh.
            return ProcessName.from_json(parse(self._fs.read(self._path(name, generation))))
        except FileNotFoundError:
            return None

    def _highest(self, name: str) -> int:
        try:
            return max(generations(self._fs, self._folder(name), name), default=0)
        except FileNotFoundError:
            return 0

    def _scan(self, folder: Path) -> list[tuple[str, bool]]:
        try:
            return list(self._fs.scan(folder))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _folder(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise ValueError(f"not a name for a lease: {name!r}; two or more lower-case letters, digits, - and _")
        return self._root / name[:2]

    def _path(self, name: str, generation: int) -> Path:
        return self._folder(name) / f"{name}.{generation}.json"
