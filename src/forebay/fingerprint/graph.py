"""The graph of everything a value depends on, and the digest of each of its nodes.

Functions call each other and objects point back at their owners, so what a value depends on is a graph, with cycles.
A node outside any cycle gets its digest from its children's, as in a Merkle tree. The nodes of a cycle (a strongly
connected component, found by Tarjan's algorithm, SIAM J. Comput. 1(2), 1972) get theirs by colour refinement: each
starts with its own content, then takes its children's colours in, until no further two nodes can be told apart; then
each takes in the set of all transitions. So a digest says the same wherever the walk began, and two cycles that no
program can tell apart (by unfolding them) have the same digests.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from forebay.fingerprint.keytree import Concern, KeyTree, concerns, own_digest, prefixed, tree_digest
from forebay.types import Key

_DEPTH = 40
_NODES = 4000  # beyond these limits a tree shows no children; the digest covers them all the same


class Edge(NamedTuple):
    """One thing a node depends on."""

    label: str
    """For people; several edges of one node may share it."""
    key: bytes
    """Takes part in the digest in the label's place."""
    node: Node


class Node:
    """One value, function, class … while its key is being made."""

    __slots__ = (
        "content", "detail", "digest", "edges", "kind", "label", "low", "notes", "order", "ordered", "own", "parent",
        "reached", "where",
    )  # fmt: skip

    def __init__(self, parent: Node | None, label: str) -> None:
        self.parent = parent
        self.label = label
        self.kind = ""
        self.content = b""
        self.detail = ""
        self.where = ""
        self.edges: list[Edge] = []
        self.ordered = True
        self.notes: list[Concern] = []
        self.own = b""
        self.digest = b""
        self.reached = 1
        self.order = -1
        self.low = 0

    @property
    def path(self) -> str:
        """Where the value was found, from the root: ``fn.closure model.conn``."""
        labels: list[str] = []
        node: Node | None = self
        while node is not None:
            labels.append(node.label)
            node = node.parent
        return ".".join(reversed(labels))


def set_digests(root: Node) -> None:
    """Give every node reachable from `root` its digest."""
    for component in _components(root):
        for node in component:
            node.own = own_digest(node.kind, node.content)
        if len(component) == 1 and all(edge.node is not component[0] for edge in component[0].edges):
            node = component[0]
            node.digest = _digest(node, [edge.node.digest for edge in node.edges])
        else:
            _refine(component)


def _digest(node: Node, children: list[bytes]) -> bytes:
    if not children:
        return node.own
    pairs = [(edge.key, digest) for edge, digest in zip(node.edges, children, strict=True)]
    return tree_digest(node.own, pairs if node.ordered else sorted(pairs))


def _refine(component: list[Node]) -> None:
    inside = {id(node) for node in component}
    colours = {id(node): node.own for node in component}
    while True:
        following = {
            id(node): _digest(
                node,
                [
                    own_digest("inside", colours[id(edge.node)]) if id(edge.node) in inside else edge.node.digest
                    for edge in node.edges
                ],
            )
            for node in component
        }
        stable = len(set(following.values())) == len(set(colours.values()))
        if stable:
            break
        colours = following
    transitions = b"".join(sorted({colours[name] + following[name] for name in inside}))
    for node in component:
        node.digest = own_digest("cycle", following[id(node)] + prefixed(transitions))


def _components(root: Node) -> Iterator[list[Node]]:
    """Yield strongly connected components, each after all that it points at."""
    counter = 0
    path: list[Node] = []
    waiting: set[int] = set()
    stack: list[tuple[Node, Iterator[Edge]]] = []

    def enter(node: Node) -> None:
        nonlocal counter
        node.order = node.low = counter
        counter += 1
        path.append(node)
        waiting.add(id(node))
        stack.append((node, iter(node.edges)))

    enter(root)
    while stack:
        node, edges = stack[-1]
        for edge in edges:
            child = edge.node
            if not child.edges:  # most nodes are leaves
                if not child.digest:
                    child.own = child.digest = own_digest(child.kind, child.content)
                continue
            if child.order < 0:
                enter(child)
                break
            if id(child) in waiting:
                node.low = min(node.low, child.order)
        else:
            stack.pop()
            if stack:
                above = stack[-1][0]
                above.low = min(above.low, node.low)
            if node.low == node.order:
                component: list[Node] = []
                while not component or component[-1] is not node:
                    component.append(path.pop())
                    waiting.discard(id(component[-1]))
                yield component


def to_tree(root: Node) -> KeyTree:
    """Return the key tree of `root`: what is reached twice is shown once, and as a leaf wherever else it is reached."""
    unfolding = _Unfolding()
    tree = unfolding.tree(root, root.label, 0)
    if unfolding.has_hidden:  # what is too deep to be shown is told all the same
        noted = [note for node in _reachable(root) for note in node.notes]
        shown = set(concerns(tree))
        tree = replace(tree, notes=tree.notes + tuple(dict.fromkeys(note for note in noted if note not in shown)))
    return tree


def _reachable(root: Node) -> Iterator[Node]:
    seen = {id(root)}
    stack = [root]
    while stack:
        node = stack.pop()
        yield node
        for edge in node.edges:
            if id(edge.node) not in seen:
                seen.add(id(edge.node))
                stack.append(edge.node)


class _Unfolding:
    def __init__(self) -> None:
        self.has_hidden = False
        self._shown: set[int] = set()

    def tree(self, node: Node, label: str, depth: int) -> KeyTree:
        if not node.edges:
            return self._leaf(node, label)
        if id(node) in self._shown:
            return replace(self._leaf(node, label), notes=())
        if depth >= _DEPTH or len(self._shown) >= _NODES:
            self.has_hidden = True
            return replace(self._leaf(node, label), notes=())
        self._shown.add(id(node))
        edges = node.edges
        if not node.ordered:
            edges = sorted(edges, key=lambda edge: (edge.label, edge.key, edge.node.digest))
        return KeyTree(
            label,
            node.kind,
            Key(node.digest.hex()),
            node.own.hex()[:16],
            node.detail,
            node.where,
            tuple([self.tree(edge.node, edge.label, depth + 1) for edge in edges]),
            tuple(node.notes),
        )

    def _leaf(self, node: Node, label: str) -> KeyTree:
        own = node.own.hex()[:16] if node.edges else ""
        return KeyTree(label, node.kind, Key(node.digest.hex()), own, node.detail, node.where, (), tuple(node.notes))
