"""What the store's crash tests share: a store on a disk in memory, whose index lies in a real folder."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from blake3 import blake3

from forebay.config import Settings
from forebay.errors import ObjectDamagedError, ObjectMissingError
from forebay.io import Filesystem
from forebay.store import Store
from forebay.testing import FaultyFilesystem, MemoryFilesystem, Operation, WorldStopped
from forebay.types import Cost, Digest, Entry, Key

COUNTED = ("objects-v1", "entries-v1", "quarantine", "tmp")


def key(text: str) -> Key:
    return Key(blake3(text.encode()).hexdigest())


def payload(text: str, size: int = 1000) -> bytes:
    """Bytes that no codec shrinks away, told by their name."""
    return blake3(text.encode()).digest(size)


def digest_of(data: bytes) -> Digest:
    return Digest(blake3(data).hexdigest())


def put(store: Store, name: str, *payloads: bytes, kind: str = "delta", seconds: float = 1.0, **more: object) -> Entry:
    """Commit an entry under `name` whose objects are o0, o1 …"""
    entry = Entry(kind, key(name), meta={"name": name}, cost=Cost(seconds), **more)  # type: ignore[arg-type]
    return store.commit(entry, {f"o{n}": data for n, data in enumerate(payloads)})


def check(store: Store, name: str, payloads: tuple[bytes, ...], kind: str = "delta") -> bool:
    """Tell whether the entry is there; if it is whole, its bytes must be right."""
    entry = store.get(kind, key(name))
    if entry is None or not store.complete(entry):
        return False
    assert entry.meta["name"] == name
    try:
        found = [bytes(store.read(entry.object(f"o{n}").digest)) for n in range(len(payloads))]
    except (ObjectDamagedError, ObjectMissingError):
        return False
    assert found == list(payloads)
    return True


def counted_bytes(disk: MemoryFilesystem, home: Path) -> int:
    """What the budget is about, as it lies on the disk; a file of two names counts once."""
    found = (Path(path) for path in disk.tree())
    files = (disk.stat(path) for path in found if path.relative_to(home).parts[0] in COUNTED)
    return sum({each.inode: each.size for each in files}.values())


def under(disk: MemoryFilesystem, home: Path, *folders: str) -> set[str]:
    """Paths of all files in these folders of the store."""
    files = (Path(path).relative_to(home) for path in disk.tree())
    return {str(path) for path in files if path.parts[0] in folders}


@dataclass
class World:
    """A store on a disk in memory; the index is in the real folder `home`, and can be put back.

    Each `run` begins from the same disk and the same index.
    """

    home: Path
    settings: Settings
    disk: MemoryFilesystem = field(default_factory=MemoryFilesystem)
    _left: dict[int, dict[str, bytes]] = field(default_factory=dict)

    @classmethod
    def made(cls, home: Path, prepare: Callable[[Store], object], **settings: object) -> World:
        home.mkdir()
        world = cls(home, Settings(home=home, min_free_bytes=0, **settings))  # type: ignore[arg-type]
        with world.open(world.disk) as store:
            prepare(store)
        world.disk = world.disk.power_cut("keep")  # all that was done before is durable
        shutil.copytree(home, world._kept)
        return world

    @property
    def _kept(self) -> Path:
        return self.home.with_name("kept-index")

    def open(self, fs: Filesystem) -> Store:
        return Store.open(self.settings, fs=fs)

    def restore_index(self) -> None:
        shutil.rmtree(self.home)
        shutil.copytree(self._kept, self.home)

    def index_left_by(self, fs: FaultyFilesystem) -> None:
        """Put the index back as the process with this file system left it."""
        self.lose_index()
        for name, content in self._left[id(fs)].items():
            (self.home / name).write_bytes(content)

    def lose_index(self) -> None:
        for path in self.home.iterdir():
            path.unlink()

    def age_index(self) -> None:
        """Let the sessions in the index be of an earlier boot, as they are after a power cut."""
        self._rename_sessions(lambda host, boot: (host, "0" * len(boot)))

    def move_index(self) -> None:
        """Let the sessions in the index be of another machine, which may be at work still."""
        self._rename_sessions(lambda host, boot: ("0" * len(host), boot))

    def _rename_sessions(self, change: Callable[[str, str], tuple[str, str]]) -> None:
        if not (self.home / "index.sqlite").exists():
            return
        with sqlite3.connect(self.home / "index.sqlite") as db:
            if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'sessions'").fetchone():
                return
            for (token,) in db.execute("SELECT token FROM sessions").fetchall():
                host, boot, rest = token.split("-", 2)
                new = "-".join((*change(host, boot), rest))
                for table in ("sessions", "intents"):
                    db.execute(f"UPDATE {table} SET token = ? WHERE token = ?", (new, token))
        db.close()

    def work(self, do: Callable[[Store], object]) -> Callable[[FaultyFilesystem], None]:
        """Return work for `each_crash`: from the start, `do` it, watching the budget at every operation."""

        def run(fs: FaultyFilesystem) -> None:
            self.restore_index()
            fs._hook = self.watch(fs)  # type: ignore[attr-defined]
            store = None
            try:
                store = self.open(fs)
                do(store)
            except WorldStopped:
                if store is not None:
                    store.abandon()
                raise
            else:
                store.abandon()
            finally:
                self._left[id(fs)] = {path.name: path.read_bytes() for path in self.home.iterdir()}

        return run

    def watch(self, fs: FaultyFilesystem) -> Callable[[Operation], None]:
        assert isinstance(fs.inner, MemoryFilesystem)
        disk, limit = fs.inner, self.settings.max_bytes

        def look(operation: Operation) -> None:
            if limit is not None and operation.changes:
                size = counted_bytes(disk, self.home)
                assert size <= limit, f"{size} bytes of {limit} before {operation}\n{fs.told()}"

        return look


def agree(store: Store, disk: MemoryFilesystem, home: Path) -> None:
    """The index says what the files say: every counted byte, every entry."""
    usage = store.usage()
    files: Mapping[str, bytes] = disk.tree()
    sizes = dict.fromkeys(COUNTED, 0)
    for path, content in files.items():
        folder = Path(path).relative_to(home).parts[0]
        if folder in sizes:
            sizes[folder] += len(content)
    assert usage.object_bytes == sizes["objects-v1"]
    assert usage.entry_bytes == sizes["entries-v1"]
    assert usage.damaged_bytes == sizes["quarantine"]
    assert usage.reserved_bytes == 0
    assert sizes["tmp"] == 0
