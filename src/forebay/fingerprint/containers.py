"""Describers of the standard library's values: containers, numbers, dates, paths, patterns, files."""

from __future__ import annotations

import contextlib
import contextvars
import dis
import functools
import os
from collections.abc import Iterable, Mapping
from types import FunctionType
from typing import Any

from forebay.errors import InputError
from forebay.fingerprint.atoms import atom, plain, shorten
from forebay.fingerprint.digests import file_digest
from forebay.fingerprint.graph import Node
from forebay.fingerprint.keytree import Concern
from forebay.fingerprint.origins import origin_of_class
from forebay.fingerprint.walk import Walk, describes, qualified

LARGE = {"dict": 100, "list": 32, "tuple": 32, "set": 16, "frozenset": 16}
"""A container of more atoms than this is one part of a key, not a part per element."""


class FileContent:
    """A file as a value: its key is its content, not its path."""

    __slots__ = ("path",)

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)

    def __repr__(self) -> str:
        return f"FileContent({self.path!r})"

    def __fspath__(self) -> str:
        return self.path


@describes("forebay.fingerprint.containers.FileContent")
def _file_content(walk: Walk, node: Node, value: FileContent) -> None:
    node.kind, node.detail = "file", shorten(os.path.basename(value.path))
    try:
        node.content = file_digest(value.path, walk.memo).encode()
    except InputError as error:
        walk.fail(node, error.what, hint=error.hint)


@describes(*(f"builtins.{name}" for name in ("str", "int", "float", "complex", "bytes", "bytearray")))
def _atom(walk: Walk, node: Node, value: Any) -> None:
    # Only subclasses' values come here, as a plain value of the base.
    for base in (str, int, float, complex, bytes, bytearray):
        if isinstance(value, base):
            make: Any = base
            found = atom(make(value) if base is bytearray else make.__new__(base, value))
            assert found is not None
            node.kind, node.content, node.detail = found


@describes("builtins.list", "builtins.tuple")
def _sequence(walk: Walk, node: Node, value: Any) -> None:
    base: Any = list if isinstance(value, list) else tuple
    items: Any = base(base.__iter__(value))
    node.kind = base.__name__
    if _is_large(node, items):
        return
    names = getattr(type(value), "_fields", None) if type(value) is not tuple else None
    for number, item in enumerate(items):
        label = str(names[number]) if isinstance(names, tuple) and len(names) == len(items) else str(number)
        walk.child(node, label, item, str(number).encode())


@describes("builtins.set", "builtins.frozenset")
def _set(walk: Walk, node: Node, value: Any) -> None:
    base: Any = set if isinstance(value, set) else frozenset
    items: Any = base(base.__iter__(value))
    node.kind, node.ordered = base.__name__, False
    if _is_large(node, items):
        return
    for item in items:
        found = atom(item)
        walk.child(node, found[2] if found else type(item).__name__, item, b"")


@describes("builtins.dict", "builtins.mappingproxy")
def mapping(walk: Walk, node: Node, value: Mapping[Any, Any]) -> None:
    """Describe a mapping, whatever its order."""
    items: Any = dict(dict.items(value)) if isinstance(value, dict) else dict(value)
    node.kind, node.ordered = "dict", False
    if _is_large(node, items):
        return
    for key, item in items.items():
        found = atom(key)
        if found is None:
            _pair(walk, node, type(key).__name__, (key, item))
        else:
            label = key if isinstance(key, str) else found[2]
            walk.child(node, shorten(label), item, plain(key))


def _pair(walk: Walk, node: Node, label: str, pair: tuple[Any, Any], key: bytes = b"item") -> None:
    inner = Node(node, label)
    inner.kind = "item"
    walk.child(inner, "key", pair[0])
    walk.child(inner, "value", pair[1])
    walk.link(node, label, inner, key)


def _is_large(node: Node, items: Any) -> bool:
    node.detail = f"{len(items)} items" if len(items) != 1 else "1 item"
    if len(items) <= LARGE[node.kind]:
        return False
    content = plain(items)
    if content is not None:
        node.content = content
    return content is not None


@describes("collections.OrderedDict")
def _ordered_dict(walk: Walk, node: Node, value: Mapping[Any, Any]) -> None:
    node.kind = "OrderedDict"  # two of them are equal only in the same order
    for number, pair in enumerate(value.items()):
        _pair(walk, node, shorten(str(pair[0])) if type(pair[0]) is str else str(number), pair, str(number).encode())


@describes("collections.defaultdict")
def _default_dict(walk: Walk, node: Node, value: Any) -> None:
    node.kind = "defaultdict"
    walk.child(node, "default_factory", value.default_factory)
    walk.part(node, "items", mapping, value)


@describes("collections.deque")
def _deque(walk: Walk, node: Node, value: Any) -> None:
    node.kind = "deque"
    walk.child(node, "maxlen", value.maxlen)
    walk.child(node, "items", list(value))


@describes("builtins.memoryview")
def _memoryview(walk: Walk, node: Node, value: memoryview) -> None:
    node.kind, node.detail = "memoryview", f"{value.nbytes} bytes"
    node.content = f"{value.format}{value.shape}".encode() + value.tobytes()


@describes("array.array")
def _array(walk: Walk, node: Node, value: Any) -> None:
    node.kind, node.detail = "array", f"{value.typecode}, {len(value)} items"
    node.content = value.typecode.encode() + value.tobytes()


@describes("datetime.datetime", "datetime.time", "datetime.date")
def _moment(walk: Walk, node: Node, value: Any) -> None:
    node.kind = next(base.__name__ for base in type(value).__mro__ if base.__module__ == "datetime")
    zone = getattr(value, "tzinfo", None)
    naive = value.replace(tzinfo=None) if zone is not None else value
    node.detail = value.isoformat()
    node.content = naive.isoformat().encode()
    if getattr(value, "fold", 0):
        node.content += b" fold"
    if zone is not None:
        walk.child(node, "tzinfo", zone)


@describes("datetime.timedelta", "datetime.timezone")
def _repr_is_all(walk: Walk, node: Node, value: Any) -> None:
    node.kind, node.detail = type(value).__name__, str(value)
    node.content = repr(value).encode()


@describes("decimal.Decimal", "fractions.Fraction", "uuid.UUID")
def _number(walk: Walk, node: Node, value: Any) -> None:
    # Decimal("1.0") and Decimal("1.00") are equal numbers, yet print and round differently: they stay apart.
    node.kind, node.detail = type(value).__name__, shorten(str(value))
    node.content = str(value).encode()


@describes("pathlib.PurePath", "pathlib._local.PurePath", whole=True)
def _path(walk: Walk, node: Node, value: Any) -> None:
    node.kind, node.detail = "path", shorten(str(value))
    node.content = value.as_posix().encode("utf-8", "surrogateescape")


@describes("re.Pattern", "_regex.Pattern", "regex._regex.Pattern")
def _pattern(walk: Walk, node: Node, value: Any) -> None:
    flags = int(value.flags)
    node.kind, node.detail = "pattern", f"{shorten(repr(value.pattern))} with flags {flags}"
    node.content = b"%d " % flags + (plain(value.pattern) or b"")
    if lists := getattr(value, "named_lists", None):
        walk.child(node, "named_lists", dict(lists))
    if type(value).__module__ != "re":
        walk.child(node, "library", type(value))


@describes("_struct.Struct")
def _struct(walk: Walk, node: Node, value: Any) -> None:
    node.kind, node.detail, node.content = "struct", value.format, value.format.encode()


@describes("random.Random")
def _random(walk: Walk, node: Node, value: Any) -> None:
    node.kind, node.detail = "random state", type(value).__name__
    walk.child(node, "state", value.getstate())


@describes("random.SystemRandom")
def _system_random(walk: Walk, node: Node, value: Any) -> None:
    node.kind = "system random"
    text = "draws numbers that cannot be drawn again; use a seeded random.Random"
    node.notes.append(Concern("random", "random.SystemRandom", "", False, text))


@describes("_io.StringIO", "_io.BytesIO")
def _memory_file(walk: Walk, node: Node, value: Any) -> None:
    node.kind = type(value).__name__
    if value.closed:
        node.content = b"closed"
        return
    walk.child(node, "value", value.getvalue())
    walk.child(node, "position", value.tell())


@describes("_io.TextIOWrapper", "_io.BufferedReader", "_io.BufferedWriter", "_io.BufferedRandom", "_io.FileIO")
def _open_file(walk: Walk, node: Node, value: Any) -> None:
    node.kind = "open file"
    name = getattr(value, "name", None)
    standard = {"<stdin>": "stdin", "<stdout>": "stdout", "<stderr>": "stderr"}.get(name) if type(name) is str else None
    if standard == "stdin":
        node.notes.append(Concern("file", "sys.stdin", "", False, "what it reads cannot be read again"))
    if standard or value.closed or not value.readable():
        # What is only written to is no input of the work.
        node.content = (standard or ("closed" if value.closed else "written to")).encode()
        return
    if type(name) is not str or not os.path.isfile(name):
        walk.fail(node, f"open file {name!r} is a pipe, a socket or gone", hint="open the file inside the function")
    node.detail = shorten(os.path.basename(name))
    walk.child(node, "content", FileContent(name))
    walk.child(node, "encoding", getattr(value, "encoding", None))
    walk.child(node, "position", _position(value))


def _position(value: Any) -> int | None:
    try:
        return int(value.tell())
    except OSError:
        return None  # a text file cannot tell while it is iterated over


@describes(
    "_thread.lock", "_thread.RLock", "_thread._local", "_threading_local.local", "threading.Condition",
    "threading.Event", "threading.Semaphore", "threading.Barrier", "threading._RLock", "logging.Logger",
    "multiprocessing.synchronize.SemLock", "logging.LoggerAdapter", "logging.Handler",
    whole=True,
)  # fmt: skip
def _stateless(walk: Walk, node: Node, value: Any) -> None:
    # Locks and loggers say when and where, never what: their state cannot change a result.
    cls: type = type(value)
    node.kind, node.content = "object", _family(cls).encode()
    node.detail = cls.__qualname__
    own = _assigned(cls)
    state = {name: item for name, item in getattr(value, "__dict__", {}).items() if name not in own}
    if origin_of_class(cls).is_user:
        walk.child(node, "class", cls)
    if _is_local(cls):
        _local(walk, node, state)
    else:
        attributes(walk, node, state)


def _is_local(cls: type) -> bool:
    return any(qualified(base) in ("_thread._local", "_threading_local.local") for base in cls.__mro__)


def _local(walk: Walk, node: Node, state: Mapping[str, Any]) -> None:
    """Describe the values of this thread; others, connections for instance, are made anew by each."""
    for name in sorted(state):
        content = plain(state[name])
        if content is not None:
            walk.child(node, name, state[name])
        else:
            text = "is kept for each thread, and not in the key; make it inside the function"
            node.notes.append(Concern("state", f"threading.local.{name}", "", True, text))


def _assigned(cls: type) -> frozenset[str]:
    """Return the attributes that those bases of a class which are not the user's assign."""
    bases = [base for base in cls.__mro__ if not origin_of_class(base).is_user]
    return frozenset({"manager"}).union(*map(_assigned_by, bases))  # logging's own, assigned from outside


@functools.cache
def _assigned_by(base: type) -> frozenset[str]:
    functions = [function for function in vars(base).values() if isinstance(function, FunctionType)]
    steps = [step for function in functions for step in dis.get_instructions(function)]
    return frozenset(str(step.argval) for step in steps if step.opname == "STORE_ATTR")


def _family(cls: type) -> str:
    names = [f"{base.__module__}.{base.__qualname__}" for base in cls.__mro__]
    return next((name for name in names if name.startswith(("_thread.", "threading.", "multiprocessing."))), "logging")


@describes("contextvars.ContextVar", "_contextvars.ContextVar")
def _context_variable(walk: Walk, node: Node, value: Any) -> None:
    node.kind, node.detail = "context variable", value.name
    walk.child(node, "name", value.name)
    with contextlib.suppress(LookupError):
        walk.child(node, "value", value.get())
    with contextlib.suppress(LookupError):
        walk.child(node, "default", contextvars.Context().run(value.get))


@describes("weakref.ReferenceType", "weakref.ref", whole=True)
def _weak_reference(walk: Walk, node: Node, value: Any) -> None:
    node.kind = "weak reference"
    walk.child(node, "to", value())


@describes(
    "threading.Thread", "multiprocessing.process.BaseProcess", "concurrent.futures._base.Executor", "_socket.socket",
    "concurrent.futures._base.Future", "asyncio.events.AbstractEventLoop", "subprocess.Popen",
    "queue.Queue", "_queue.SimpleQueue",
    whole=True,
)  # fmt: skip
def _living(walk: Walk, node: Node, value: Any) -> None:
    walk.fail(node, f"a {type(value).__qualname__} is a connection to something alive, not a value")


def attributes(walk: Walk, node: Node, state: Mapping[str, Any], skip: Iterable[str] = ()) -> None:
    """Let `node` depend on attributes by name, in alphabetical order."""
    for name in sorted(set(state).difference(skip)):
        walk.child(node, name, state[name])
