"""Leases: one of many processes does some work, the others wait for it, and one takes over when it dies.

No locks of the operating system, so it works on NFS and FUSE; design/0002 tells the protocol and its races. A lease is
for thrift, never for truth: who publishes under a lease must do no harm if it was lost a moment ago.

Example::

    leases = LeaseFolder(fs, home / "leases-v1", lease_seconds=10)
    lease = leases.acquire(key)
    if lease is None:
        print(leases.progress(key))         # somebody alive is at it
    else:
        with lease:                          # released at the end; heartbeats meanwhile
            for done, part in enumerate(parts):
                work(part)
                lease.progress("tokenizing", done, len(parts))
                lease.check()                # LeaseLostError if somebody thought us dead
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from forebay.errors import LeaseLostError
from forebay.io.filesystem import Filesystem
from forebay.io.heart import Heart
from forebay.types import JSON

_BEATS_PER_LEASE = 4
"""Heartbeats within `lease_seconds`: three may come late before a lease looks dead."""

_PROGRESS_SECONDS = 0.25
"""Progress is written no more often than this; in between it is kept for the next heartbeat."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far some work is, as its owner last told.

    Attributes:
        text: what is being done, for people; may be "".
        done: units done.
        total: units in all; 0 where unknown.
        host: machine of the owner, "" where unknown.
        pid: process of the owner there, 0 where unknown.
    """

    text: str = ""
    done: int = 0
    total: int = 0
    host: str = ""
    pid: int = 0


@dataclass(frozen=True, slots=True)
class LeaseTerms:
    """What a lease needs to know of its folder: where it beats, how often, by which clock (monotonic, seconds), and the
    permissions of its files."""

    fs: Filesystem
    heart: Heart | None
    lease_seconds: float
    clock: Callable[[], float]
    file_mode: int = 0o666


class Lease:
    """The right to do some work, as long as it is not `lost`. Safe to use from any thread of the process that got it.

    In a forked child it is lost from the start, and releasing it there does nothing.
    """

    def __init__(self, terms: LeaseTerms, name: str, path: Path, token: str) -> None:
        self.name = name
        """What the lease is on: a key."""
        self.path = path
        """``<name>.<generation>.json``."""
        self.generation = generation_of(path.name, name) or 0
        self._terms = terms
        self._token = token
        self._pid = os.getpid()
        self._guard = threading.Lock()
        self._lost = False
        self._released = False
        self._confirmed = terms.clock()
        self._told: Progress | None = None  # kept for the next heartbeat
        self._told_at = -_PROGRESS_SECONDS
        self._has_progress_file = False
        if terms.heart is not None:
            terms.heart.add(self)

    @property
    def beat_seconds(self) -> float:
        """How often the heart beats for this."""
        return self._terms.lease_seconds / _BEATS_PER_LEASE

    @property
    def lost(self) -> bool:
        """Whether somebody else has taken the work over, or may have.

        Costs nothing while heartbeats go well; asks the disk when the last is long ago (the process was stopped).
        """
        if self._lost or self._pid != os.getpid():
            return True
        if not self._released and not self._is_fresh():
            self.confirm()
        return self._lost

    def confirm(self) -> bool:
        """Ask the disk now whether the lease is still ours, and show that we live; False: it is lost."""
        if self._pid != os.getpid():
            return False
        with self._guard:
            if not self._released and not self._lost:
                self._confirm()
            return not self._lost

    def check(self) -> None:
        """Raise if the lease is lost.

        Raises:
            LeaseLostError: somebody else does this work now; drop it, or publish nothing that could harm.
        """
        if self.lost:
            what = f"the lease on {self.name} was lost: its heartbeat stopped and another process took the work over"
            raise LeaseLostError(what, subject=self.name, hint="wait for the other's result, or start again")

    def progress(self, text: str = "", done: int = 0, total: int = 0) -> None:
        """Tell those who wait how far we are. Cheap: written a few times a second at most. Never raises."""
        if self._pid != os.getpid():
            return
        with self._guard:
            self._told = Progress(text, done, total)
            if self._terms.clock() - self._told_at >= _PROGRESS_SECONDS:
                self._write_progress()

    def beat(self) -> None:
        """Show that we live, and look whether somebody took over: what the heart calls."""
        if self._pid != os.getpid():
            return
        with self._guard:
            if self._released or self._lost:
                return
            try:
                self._confirm()
                self._write_progress()
            except BaseException:  # noqa: BLE001 - in the heart's thread nobody would hear it; a fault test's stop comes here
                self._lost = True

    def release(self, *, tidy: bool = False) -> None:
        """Give the work free. Does nothing if it is released already or lost. Never raises: a lease left over dies.

        Args:
            tidy: look for remains of earlier owners even where we know of none.
        """
        if self._pid != os.getpid():
            return
        with self._guard:
            if self._released:
                return
            self._released = True
            if self._terms.heart is not None:
                self._terms.heart.remove(self)
            try:
                if not self._is_fresh():
                    self._confirm()
                if not self._lost:  # a lost lease's files belong to the winner
                    self._remove_files(tidy or self.generation > 1 or self._has_progress_file)
            except OSError:
                pass  # it will look dead after lease_seconds

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _is_fresh(self) -> bool:
        """Whether the last confirmation is so young that nobody can have found us dead since."""
        return self._terms.clock() - self._confirmed < self._terms.lease_seconds / 2

    def _confirm(self) -> None:
        fs = self._terms.fs
        try:
            at = self._terms.clock()
            highest = max(generations(fs, self.path.parent, self.name), default=0)
            # The same name may bear another's lease, if all were removed since; so the token decides, not the name.
            if highest != self.generation or token_in(fs.read(self.path)) != self._token:
                self._lost = True
                return
            fs.touch(self.path)
            self._confirmed = at
        except FileNotFoundError:
            self._lost = True
        except OSError:
            # A failing disk: the lease is ours until others may have found it dead.
            self._lost = self._terms.clock() - self._confirmed > self._terms.lease_seconds

    def _write_progress(self) -> None:
        told, self._told = self._told, None
        if told is None or self._lost or self._released:
            return
        self._told_at = self._terms.clock()
        fs, path = self._terms.fs, self.path.with_suffix(".progress")
        new = self.path.with_suffix(".progress-new")
        try:
            try:
                file = fs.create(new, mode=self._terms.file_mode)
            except FileExistsError:  # left by an attempt that failed
                fs.unlink(new)
                file = fs.create(new, mode=self._terms.file_mode)
            self._has_progress_file = True
            try:
                file.write(json.dumps({"text": told.text, "done": told.done, "total": told.total}).encode())
            finally:
                file.close()
            fs.rename(new, path)
        except OSError:
            pass  # telling is a courtesy; a full disk fails the work itself soon enough

    def _remove_files(self, with_remains: bool) -> None:
        """Remove all files of this name, ours last, so that the highest generation is seen to the end."""
        if with_remains:
            for file_name, _ in self._terms.fs.scan(self.path.parent):
                generation = generation_of(file_name, self.name)
                if generation is not None and generation <= self.generation and file_name != self.path.name:
                    try:
                        self._terms.fs.unlink(self.path.parent / file_name)
                    except FileNotFoundError:
                        pass  # its late owner's progress, say, that was just renamed
        self._terms.fs.unlink(self.path)


def generation_of(file_name: str, name: str) -> int | None:
    """Return the generation of a file that belongs to the lease `name`, whatever its suffix; None: it does not."""
    if not file_name.startswith(f"{name}."):
        return None
    number = file_name[len(name) + 1 :].partition(".")[0]
    return int(number) if number.isdecimal() else None


def generations(fs: Filesystem, folder: Path, name: str) -> list[int]:
    """Return the generations of the lease `name` that have a file, in no order."""
    found = [generation_of(file_name, name) for file_name, _ in fs.scan(folder) if file_name.endswith(".json")]
    return [generation for generation in found if generation is not None]


def token_in(content: bytes) -> str | None:
    """Return the token in a lease file; None while it is not written, or damaged."""
    token = parse(content).get("token")
    return token if isinstance(token, str) else None


def parse(content: bytes) -> dict[str, JSON]:
    """Read a JSON object; {} where it is none: the writer was stopped, or has not come so far."""
    try:
        value: JSON = json.loads(content)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
