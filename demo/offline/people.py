"""Two users: alice, who has a network, and bob, who has none; each with a home and a store of their own."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_AWAY = Path(__file__).with_name("away.py")
_KEPT = ("LANG", "LC_ALL", "PYTHONPATH", "LD_LIBRARY_PATH")


@dataclass(frozen=True, slots=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who runs commands.

    Attributes:
        home: all that is theirs.
        path: folders for PATH, before the system's own.
        variables: of their environment, beside the usual ones.
        uid, gid: whose the commands are.
        cut: they have no network.
        needs: folders that they must be able to read, beside their Pythons.
    """

    home: Path
    path: tuple[Path, ...]
    variables: Mapping[str, str] = field(default_factory=dict)
    uid: int = field(default_factory=os.getuid)
    gid: int = field(default_factory=os.getgid)
    cut: bool = False
    needs: tuple[Path, ...] = ()

    def move_in(self) -> None:
        """Make the home, which nobody else may look into."""
        (self.home / "tmp").mkdir(parents=True)
        for folder in (self.home, self.home / "tmp"):
            folder.chmod(0o700)
            os.chown(folder, self.uid, self.gid)

    def run(self, *command: str) -> Done:
        """Run a command as this user and wait for its end."""
        folders = os.pathsep.join(map(str, [*self.needs, *_pythons(self.path)]))
        away = [sys.executable, str(_AWAY), str(self.uid), str(self.gid), folders] if self.cut else []
        begun = time.perf_counter()
        done = subprocess.run(
            [*away, *command], cwd=self.home, env=self._environment(), capture_output=True, text=True, check=False
        )
        return Done(done.returncode, done.stdout, done.stderr, time.perf_counter() - begun)

    def forebay(self, *arguments: str) -> Done:
        """Run Forebay on this user's store."""
        return self.run(sys.executable, "-m", "forebay.cli", "--home", str(self.home / "store"), *arguments)

    def _environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        path = os.pathsep.join([*map(str, self.path), os.defpath])
        return {**kept, "PATH": path, "HOME": str(self.home), "TMPDIR": str(self.home / "tmp"), **self.variables}


def elsewhere(home: Path, path: tuple[Path, ...], needs: tuple[Path, ...], package: str) -> tuple[Person, list[str]]:
    """Return a user who is as far away as this system lets us, and what it did not let us.

    Another user, with no network, at best; else the same user without network; else the same one, and a dead hub.

    Args:
        home: of that user; made here.
        path: as of `Person`; the first has the Python that must be able to import `package`.
        needs: as of `Person`.
        package: what must be found there.
    """
    notes: list[str] = []
    tries: list[Person] = []
    if os.getuid() == 0:
        nobody = pwd.getpwnam("nobody")
        tries.append(Person(home, path, uid=nobody.pw_uid, gid=nobody.pw_gid, cut=True, needs=needs))
    else:
        notes.append("bob is the same system user as alice: only root may become another")
    tries.append(Person(home, path, cut=True, needs=needs))
    for person in tries:
        person.move_in()
        why = _hindrance(person, package)
        if why is None:
            return person, notes
        what = "bob cannot be another system user" if person.uid != os.getuid() else "the network cannot be cut"
        notes.append(f"{what}: {why}")
        (home / "tmp").rmdir()
        home.rmdir()
    person = Person(home, path)
    person.move_in()
    return person, notes


def _hindrance(person: Person, package: str) -> str | None:
    """Return why a user could not do their part; None: they can."""
    code = "import forebay.cli, os, sys; [os.listdir(folder) for folder in sys.argv[1:]]"
    there = (
        f"import importlib.util as u, sys; sys.exit(u.find_spec({package!r}) is None and {package!r} + ' is not there')"
    )
    for command in (
        [sys.executable, "-c", code, *map(str, person.needs)],
        [str(person.path[0] / "python"), "-c", there],
    ):
        try:
            done = person.run(*command)
        except OSError as error:
            return str(error)
        if done.code:
            return (done.err.strip().splitlines() or [f"{command[0]} ended with code {done.code}"])[-1]
    return None


def _pythons(path: tuple[Path, ...]) -> Iterator[Path]:
    """Yield the folders of the Pythons of Forebay and of the programs in `path`: environments and their bases."""
    yield from (Path(sys.prefix), Path(sys.base_prefix))
    for folder in path:
        yield from (folder.parent, Path(os.path.realpath(folder / "python")).parents[1])
