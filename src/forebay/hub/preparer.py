"""The process that prepares (`forebay.hub.preparing`), and how it is kept for the next configuration.

It costs a second or more before it prepares anything: ``datasets`` is imported, and the card of a dataset with many
configurations read. So whoever asks for configurations one by one keeps it for a while.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from forebay.types import JSON, Key

IDLE_SECONDS = 20.0
"""A process that nobody asks for anything ends by itself after so long."""
_SURELY_THERE_SECONDS = IDLE_SECONDS / 2
_WORK = "preparing-v1"
_ABANDONED_SECONDS = 86400.0


class PreparerEnded(Exception):
    """The process ended before its work was done; the text says how."""


class Preparer:
    """One process with a work folder of its own. To be used from one thread at a time.

    Args:
        home: of the store in which the work folder is made, so that what is made can be linked into it.

    Attributes:
        home: as given.
        work: the folder; it goes with the process.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        root = home / _WORK
        _sweep(root)
        self.work = root / f"{os.getpid()}-{time.time_ns()}"
        self.work.mkdir(parents=True)
        self._laid: tuple[Key, Path] | None = None
        self._used = time.monotonic()
        command = [sys.executable, "-P", str(Path(__file__).with_name("preparing.py"))]
        with (self.work / "log").open("wb") as errors:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, encoding="utf-8",
                process_group=0,  # an interrupt is for us: we end it
            )  # fmt: skip
        try:
            self.tell({"work": str(self.work), "idle_seconds": IDLE_SECONDS})
        except BaseException:
            self.close()
            raise

    def folder(self, key: Key, name: str) -> tuple[Path, bool]:
        """Return the folder for the files of a dataset, and whether it was there: only the latest one's is kept.

        Args:
            key: of the listing that it shows.
            name: what the library will call the dataset.
        """
        if self._laid is not None and self._laid[0] == key:
            return self._laid[1], True
        if self._laid is not None:
            shutil.rmtree(self._laid[1].parent, ignore_errors=True)
        folder = self.work / key[:16] / name
        folder.mkdir(parents=True)
        self._laid = (key, folder)
        return folder, False

    def tell(self, value: JSON) -> None:
        """Send a line.

        Raises:
            PreparerEnded: nobody is there to read it.
        """
        requests = cast("IO[str]", self._process.stdin)
        try:
            requests.write(json.dumps(value) + "\n")
            requests.flush()
        except BrokenPipeError:
            raise self._ended() from None

    def answers(self) -> Iterator[dict[str, Any]]:
        """Yield what it answers to a request, to the end.

        Raises:
            PreparerEnded: it ended before that.
        """
        for line in cast("IO[str]", self._process.stdout):
            said = json.loads(line)
            if "done" in said:
                self._used = time.monotonic()
                return
            yield said
        raise self._ended()

    def tidy(self) -> None:
        """Remove what has been made so far: whoever wanted it has linked or copied it."""
        for name in ("out", "cache"):
            shutil.rmtree(self.work / name, ignore_errors=True)

    @property
    def is_ready(self) -> bool:
        """Whether it can be asked: it runs, and is not about to end for idleness."""
        return self._process.poll() is None and time.monotonic() - self._used < _SURELY_THERE_SECONDS

    def close(self) -> None:
        """End the process, whatever it is doing, and remove its folder."""
        process = self._process
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            try:
                cast("IO[str]", stream).close()
            except BrokenPipeError:
                pass  # a request that it did not live to read
        shutil.rmtree(self.work, ignore_errors=True)

    def leave(self) -> None:
        """In a forked child: let go of the parent's process, so that it notices when the parent ends."""
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in (self._process.stdin, self._process.stdout):
            os.dup2(nothing, cast("IO[str]", stream).fileno(), inheritable=False)
        os.close(nothing)
        self._process.returncode = 0  # it is not ours to wait for

    def _ended(self) -> PreparerEnded:
        code = self._process.wait()
        try:
            tail = (self.work / "log").read_text("utf-8", "replace").strip().splitlines()[-1:]
        except OSError:
            tail = []  # it ended in good order, and removed its folder
        return PreparerEnded(f"it ended with code {code}: {(tail or ['no word of why'])[0]}")


class Preparers:
    """Keeps one process for the next who needs it. Safe to use from several threads, and after fork().

    The process ends with `close`, with the interpreter, when nobody has needed it for `IDLE_SECONDS`, and when its
    owner is killed.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._kept: Preparer | None = None
        self._all: set[Preparer] = set()
        self._watched = False

    @contextmanager
    def one(self, home: Path) -> Generator[Preparer]:
        """Give a process, which is nobody else's meanwhile; after an error it is not kept.

        Args:
            home: of the store for which it works.
        """
        self._watch()
        preparer = self._take(home)
        try:
            yield preparer
        except BaseException:
            self._close(preparer)
            raise
        with self._guard:
            before, self._kept = self._kept, preparer
        if before is not None:
            self._close(before)

    def close(self) -> None:
        """End the process that is kept."""
        with self._guard:
            kept, self._kept = self._kept, None
        if kept is not None:
            self._close(kept)

    def __enter__(self) -> Preparers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take(self, home: Path) -> Preparer:
        with self._guard:
            kept, self._kept = self._kept, None
        if kept is not None:
            if kept.home == home and kept.is_ready:
                return kept
            self._close(kept)
        made = Preparer(home)
        with self._guard:
            self._all.add(made)
        return made

    def _close(self, preparer: Preparer) -> None:
        preparer.close()
        with self._guard:
            self._all.discard(preparer)

    def _watch(self) -> None:
        with self._guard:
            watched, self._watched = self._watched, True
        if not watched:
            weakref.finalize(self, _close_all, self._all).atexit = True
            leave = weakref.WeakMethod(self._leave)
            os.register_at_fork(after_in_child=lambda: (found := leave()) and found())

    def _leave(self) -> None:
        self._guard = threading.Lock()
        for preparer in self._all:
            preparer.leave()
        self._all.clear()
        self._kept = None


def _close_all(preparers: set[Preparer]) -> None:
    for preparer in preparers:
        preparer.close()


def _sweep(root: Path) -> None:
    """Remove what killed preparations left."""
    for path in root.iterdir() if root.is_dir() else ():
        try:
            if time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
                shutil.rmtree(path, ignore_errors=True)
        except OSError:
            continue  # its owner was quicker
