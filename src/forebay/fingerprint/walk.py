"""The walk from a value to everything it depends on.

Each kind of value has a describer: a function that gives its node a kind and canonical content, and names the values it
depends on (`Walk.child`). Describers are found by the type's qualified name along its MRO, so that no framework is
imported to recognise its values. The walk is a work list, not recursion: depth is no limit, and what is reached twice
is described once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from forebay.errors import UnhashableError
from forebay.fingerprint.atoms import ATOM_TYPES, atom
from forebay.fingerprint.digests import FileMemo
from forebay.fingerprint.graph import Edge, Node, set_digests, to_tree
from forebay.fingerprint.keytree import KeyTree

if TYPE_CHECKING:
    from forebay.fingerprint.seeding import Draws

HINT = 'give the function version="…" (raise it when results change), or cache=False'


class Walk:
    """One walk: the nodes made so far, and those still to be described."""

    def __init__(self, label: str, memo: FileMemo | None = None) -> None:
        self.label = label
        self.memo = memo
        self.entries: dict[int, str] = {}
        """By id, objects of which only one method is called; their other methods' state does not matter."""
        self.named: set[str] = set()
        """Attribute names that the code reached so far mentions."""
        self.named_by_text: set[str] = set()
        """What it may mean where it finds attributes by text, ``*`` for any; see `References`."""
        self.deferred: list[Callable[[], None]] = []
        """Run when all code has been reached; they may reach more."""
        self.subjects: list[tuple[Node, Any]] = []
        """Functions and classes, of which code may read more than it is known to; see `introspection`."""
        self.attributed: list[tuple[Node, Any]] = []
        """Those of them that are functions with attributes."""
        self._nodes: dict[int, Node] = {}
        self._alive: list[object] = []  # ids are names only while the value lives
        self._queue: deque[tuple[Node, object]] = deque()

    def tree(self, value: object) -> KeyTree:
        """Return the key of `value`."""
        from forebay.fingerprint.introspection import read_attributes

        root = self.node(None, self.label, value)
        read: set[tuple[int, str]] = set()
        while self._queue or self.deferred or read_attributes(self, read):
            while self._queue:
                node, item = self._queue.popleft()
                describer_of(type(item))(self, node, item)
            if self.deferred:
                self.deferred.pop(0)()
        if "random" in vars(self):
            self.random.settle(root)
        set_digests(root)
        return to_tree(root)

    @cached_property
    def random(self) -> Draws:
        """What code draws at random; made when there is code, as plain values need nothing that reads code."""
        from forebay.fingerprint.seeding import Draws

        return Draws()

    def node(self, parent: Node | None, label: str, value: object) -> Node:
        """Return the node of `value`, which is described later if it is new."""
        if type(value) in ATOM_TYPES:
            return self.atom(parent, label, value)
        known = self._nodes.get(id(value))
        if known is not None:
            known.reached += 1
            return known
        node = Node(parent, label)
        self._nodes[id(value)] = node
        self._alive.append(value)
        self._queue.append((node, value))
        return node

    def atom(self, parent: Node | None, label: str, value: object) -> Node:
        """Return a new node for an atom."""
        found = atom(value)
        assert found is not None  # the callers have looked at the type
        return self.leaf(parent, label, *found)

    def leaf(self, parent: Node | None, label: str, kind: str, content: bytes, detail: str = "") -> Node:
        """Return a new node without children."""
        node = Node(parent, label)
        node.kind, node.content, node.detail = kind, content, detail
        return node

    def child(self, node: Node, label: str, value: object, key: bytes | None = None) -> None:
        """Let `node` depend on `value`; `key` stands for `label` in the digest where labels may clash."""
        self.link(node, label, self.node(node, label, value), key)

    def link(self, node: Node, label: str, target: Node, key: bytes | None = None) -> None:
        """Let `node` depend on the node `target`."""
        node.edges.append(Edge(label, label.encode("utf-8", "surrogatepass") if key is None else key, target))

    def part(self, node: Node, label: str, describe: Describer, value: Any) -> None:
        """Let `node` depend on `value` as `describe` sees it."""
        inner = Node(node, label)
        describe(self, inner, value)
        self.link(node, label, inner)

    def fail(self, node: Node, what: str, *, hint: str = HINT) -> NoReturn:
        """Say that no key can be made, and of what.

        Raises:
            UnhashableError: always; its subject is the path from the root to the value.
        """
        raise UnhashableError(f"no key can be made of {node.path}: {what}", subject=node.path, hint=hint)


Describer: TypeAlias = Callable[[Walk, Node, Any], None]

_by_name: dict[str, Describer] = {}
_whole: set[str] = set()
_by_type: dict[type, Describer] = {}


def describes(*names: str, whole: bool = False) -> Callable[[Describer], Describer]:
    """Register a describer for types by qualified name, ``collections.deque``.

    A `whole` one also describes instances of subclasses; for any other, a subclass's instance is its class, its
    attributes, and its value as the describer sees it.
    """

    def register(describer: Describer) -> Describer:
        for name in names:
            _by_name[name] = describer
            if whole:
                _whole.add(name)
        return describer

    return register


def qualified(cls: type) -> str:
    """Return module and qualified name of a class."""
    return f"{cls.__module__}.{cls.__qualname__}"


def describer_of(cls: type) -> Describer:
    """Return what describes instances of exactly this class."""
    found = _by_type.get(cls)
    if found is None:
        from forebay.fingerprint import registry

        found = registry.choose(cls, _by_name, _whole)
        # A class made anew in every call would fill the memo; those of modules stay.
        if "<locals>" not in cls.__qualname__:
            _by_type[cls] = found
    return found
