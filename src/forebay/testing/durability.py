"""What of a disk is durable, and what a power cut leaves of the rest: the model behind `MemoryFilesystem`.

A folder has its names as processes see them, its names as they are durable, and between the two the changes that were
not flushed. A worked example, after ``create a``, ``flush_dir``, ``rename a -> b``::

    names    {"b": file}
    durable  {"a": file}
    changes  [b := file, a := nothing (only if the former survives)]

A power cut applies some of the changes to the durable names, in their order: {"a"}, {"a", "b"} or {"b"}.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random

BLOCK_BYTES = 4096


@dataclass(eq=False, slots=True)
class File:
    """Content that only grows; the first `flushed` bytes of it are durable."""

    number: int
    mode: int
    mtime_ns: int
    ctime_ns: int
    content: bytearray = field(default_factory=bytearray)
    flushed: int = 0
    links: int = 0
    opened: int = 0

    @property
    def size(self) -> int:
        """Length in bytes."""
        return len(self.content)

    @property
    def allocated_bytes(self) -> int:
        """Room that the content takes: whole blocks."""
        return -(-len(self.content) // BLOCK_BYTES) * BLOCK_BYTES

    def flush(self) -> None:
        """Make the content durable; says nothing about names."""
        self.flushed = len(self.content)


@dataclass(eq=False, slots=True)
class Folder:
    """Names, durable names, and the changes between them."""

    number: int
    mode: int
    mtime_ns: int
    ctime_ns: int
    names: dict[str, Node] = field(default_factory=dict)
    durable: dict[str, Node] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    links: int = 0

    size = 0
    allocated_bytes = 0

    def flush(self) -> None:
        """Make all names durable, and what they depend on in other folders."""
        for change in list(self.changes):
            change.settle()


Node = File | Folder


@dataclass(eq=False, slots=True)
class Change:
    """One name set or removed, not durable yet; if `after` is given, it survives only if that does."""

    order: int
    folder: Folder
    name: str
    node: Node | None
    after: Change | None
    settled: bool = False

    def settle(self) -> None:
        """Become durable, as do what this depends on and all earlier changes of the same name."""
        if self.settled:
            return
        for earlier in [each for each in self.folder.changes if each.name == self.name and each.order <= self.order]:
            self.folder.changes.remove(earlier)
            earlier.settled = True
            if earlier.after is not None:
                earlier.after.settle()
        apply(self.folder.durable, self)


def apply(names: dict[str, Node], change: Change) -> None:
    """Set or remove the name."""
    if change.node is None:
        names.pop(change.name, None)
    else:
        names[change.name] = change.node


class Disk:
    """Folders and files from the root down, and the room that content takes."""

    def __init__(self, now_ns: int, first_number: int = 2, first_order: int = 0) -> None:
        self._numbers = count(first_number)
        self._orders = count(first_order)
        self.root = Folder(1, 0o755, now_ns, now_ns, links=1)
        self.used_bytes = 0

    def new_file(self, mode: int, now_ns: int) -> File:
        """Make a file without a name."""
        return File(next(self._numbers), mode, now_ns, now_ns)

    def new_folder(self, mode: int, now_ns: int) -> Folder:
        """Make a folder without a name."""
        return Folder(next(self._numbers), mode, now_ns, now_ns)

    def set_name(self, folder: Folder, name: str, node: Node | None, after: object) -> Change:
        """Set or remove a name, as processes see it."""
        change = Change(next(self._orders), folder, name, node, after if isinstance(after, Change) else None)
        replaced = folder.names.get(name)
        if replaced is not None:
            replaced.links -= 1
        if node is not None:
            node.links += 1
        apply(folder.names, change)
        folder.changes.append(change)
        return change

    def free_if_gone(self, file: File) -> None:
        """Give the room of a file back that has neither a name nor a descriptor."""
        if file.links == 0 and file.opened == 0:
            self.used_bytes -= file.allocated_bytes

    def walk(self) -> Iterator[tuple[Path, Node]]:
        """Yield every path and what is there, parents first."""
        yield from _walk(Path("/"), self.root)

    def copy(self) -> Disk:
        """Return an independent disk in the same state; nobody has a file open there."""
        return _Copy(self).disk


def _walk(path: Path, node: Node) -> Iterator[tuple[Path, Node]]:
    yield path, node
    if isinstance(node, Folder):
        for name, child in node.names.items():
            yield from _walk(path / name, child)


class _Copy:
    """A copy of a disk, node by node, that keeps hard links and unflushed changes."""

    def __init__(self, old: Disk) -> None:
        self._nodes: dict[int, Node] = {}
        self._changes: dict[int, Change] = {}
        root = self._node(old.root)
        assert isinstance(root, Folder)
        highest = max(node.number for node in self._nodes.values())
        last = max((change.order for change in self._changes.values()), default=-1)
        self.disk = Disk(0, highest + 1, last + 1)
        self.disk.root = root
        self.disk.used_bytes = _used_bytes(root)

    def _node(self, old: Node) -> Node:
        if id(old) in self._nodes:
            return self._nodes[id(old)]
        if isinstance(old, File):
            new = File(old.number, old.mode, old.mtime_ns, old.ctime_ns, bytearray(old.content), old.flushed, old.links)
            self._nodes[id(old)] = new
            return new
        folder = Folder(old.number, old.mode, old.mtime_ns, old.ctime_ns, links=old.links)
        self._nodes[id(old)] = folder
        folder.names = {name: self._node(child) for name, child in old.names.items()}
        folder.durable = {name: self._node(child) for name, child in old.durable.items()}
        folder.changes = [self._change(change) for change in old.changes]
        return folder

    def _change(self, old: Change) -> Change:
        if id(old) in self._changes:
            return self._changes[id(old)]
        folder = self._node(old.folder)
        assert isinstance(folder, Folder)
        node = None if old.node is None else self._node(old.node)
        after = None if old.after is None or old.after.settled else self._change(old.after)
        # Copying the folder may have copied this very change, which is among its own.
        return self._changes.setdefault(id(old), Change(old.order, folder, old.name, node, after))


@dataclass(frozen=True, slots=True)
class Survival:
    """How a power cut chooses: each unflushed thing survives with `share`; without `chance`, all or nothing does."""

    chance: Random | None
    share: float

    def keeps(self) -> bool:
        """Choose for one thing."""
        return self.share == 1.0 if self.chance is None else self.chance.random() < self.share

    def content(self, file: File) -> bytes:
        """Choose what is left of a file's content: at least what was flushed."""
        whole, flushed = bytes(file.content), file.flushed
        if self.keeps() or flushed == len(whole):
            return whole
        if self.chance is None:
            return whole[:flushed]
        cut = self.chance.randint(flushed, len(whole))
        left = (whole[:flushed], whole[:cut], whole[:cut].ljust(len(whole), b"\0"))
        return self.chance.choice(left)


def survivors(disk: Disk, survival: Survival) -> Disk:
    """Return the disk that a power cut may leave."""
    left = disk.copy()
    folders = _folders(left)
    kept: set[int] = set()
    for folder in folders:
        folder.names = dict(folder.durable)
    for change in sorted((each for folder in folders for each in folder.changes), key=lambda each: each.order):
        if (change.after is None or id(change.after) in kept) and survival.keeps():
            kept.add(id(change))
            apply(change.folder.names, change)
    for folder in folders:
        folder.changes.clear()
        folder.durable = dict(folder.names)
    return _recounted(left, survival)


def _folders(disk: Disk) -> list[Folder]:
    """Every folder that has, had, or may again have a name."""
    found: dict[int, Folder] = {}
    todo: list[Node] = [disk.root]
    while todo:
        node = todo.pop()
        if isinstance(node, File) or id(node) in found:
            continue
        found[id(node)] = node
        todo += node.names.values()
        todo += node.durable.values()
        todo += [change.node for change in node.changes if change.node is not None]
        todo += [change.after.folder for change in node.changes if change.after is not None]
    return list(found.values())


def _recounted(disk: Disk, survival: Survival) -> Disk:
    """Choose the content of what is left, and count links and room anew."""
    nodes = {id(node): node for _, node in disk.walk()}
    for node in nodes.values():
        node.links = 0
        if isinstance(node, File):
            node.content = bytearray(survival.content(node))
            node.flushed = len(node.content)
    disk.root.links = 1
    for node in nodes.values():
        if isinstance(node, Folder):
            for child in node.names.values():
                child.links += 1
    disk.used_bytes = _used_bytes(disk.root)
    return disk


def _used_bytes(root: Folder) -> int:
    files = {id(node): node for _, node in _walk(Path("/"), root) if isinstance(node, File)}
    return sum(file.allocated_bytes for file in files.values())
