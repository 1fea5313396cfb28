"""Whether numbers drawn from a global generator are drawn after a seed.

A seed makes a draw harmless only if it is set in the same call and before: in the same code further up, by a helper
that this code names further up, or by code through which alone the draw is reached. A seed in ``__init__`` says nothing
of the numbers that ``__call__`` draws later, for who knows what else has drawn in between.

Attributes are followed by name: the method ``_draw`` is reached from the code that says ``._draw``.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field

from forebay.fingerprint.bytecode import References
from forebay.fingerprint.graph import Node
from forebay.fingerprint.keytree import Concern

_CODE = ("function", "generator")
_WRAPPERS = ("method", "staticmethod", "classmethod", "partial", "property", "cached_property", "singledispatchmethod")
_OWNERS = ("class", "object", "model")
_CALLED = ("__init__", "__new__", "__post_init__", "__call__", "__enter__")
_NEVER = float("inf")


@dataclass(slots=True)
class Code:
    """A piece of code, and how many edges its node had before each of its loads, and after the last."""

    references: References
    edges: list[int] = field(default_factory=list[int])

    def tick(self, number: int) -> int:
        """Return when the load comes that made an edge; 0 for edges that no load made."""
        at = bisect_right(self.edges, number) - 1
        return self.references.load_ticks[at] if 0 <= at < len(self.references.load_ticks) else 0


@dataclass(slots=True)
class Draws:
    """What a walk has seen of seeds and draws.

    Attributes:
        seeds: code that seeds a family (``random``, ``numpy``, ``torch``), and when.
        draws: code that draws from a family without having seeded it itself, and when.
        code: all code, by the id of its node.
    """

    seeds: list[tuple[Node, str, int]] = field(default_factory=list[tuple[Node, str, int]])
    draws: list[tuple[Node, str, Concern, int]] = field(default_factory=list[tuple[Node, str, Concern, int]])
    code: dict[int, Code] = field(default_factory=dict[int, Code])

    def settle(self, root: Node) -> None:
        """Note on each draw that no seed comes before that it does not."""
        for family in dict.fromkeys(family for _, family, _, _ in self.draws):
            seeds = {id(node): (node, tick) for node, of, tick in reversed(self.seeds) if of == family}
            cover = _Cover(root, seeds, self.code) if seeds else None
            for node, of, concern, tick in self.draws:
                if of == family and (cover is None or cover.is_bare(node, tick)):
                    node.notes.append(concern)


class _Cover:
    """What the seeds of one family cover."""

    def __init__(self, root: Node, seeds: dict[int, tuple[Node, int]], code: dict[int, Code]) -> None:
        self.code = code
        self.parents, self.nodes = _parents(root)
        self.helped: dict[int, int] = {}
        """Of code that names a helper which seeds: when it does."""
        self._spread([node for node, _ in seeds.values()])
        self.seeded = dict(self.helped)
        for name, (_, tick) in seeds.items():
            self.seeded[name] = min(tick, self.seeded.get(name, tick))
        self.reached = self._reach(root)

    def is_bare(self, node: Node, tick: int) -> bool:
        """Tell whether a draw may come before any seed."""
        return id(node) in self.reached and self.helped.get(id(node), _NEVER) >= tick

    def _spread(self, todo: list[Node]) -> None:
        """Find the code that seeds by naming what seeds."""
        seen = {id(node) for node in todo}
        while todo:
            for parent, number, label in self.parents.get(id(todo.pop()), ()):
                found: list[Node] = []
                if parent.kind in _CODE:
                    code = self.code.get(id(parent))
                    self._help(parent, code.tick(number) if code is not None else 0)
                    found = [parent]
                elif parent.kind in _WRAPPERS or (parent.kind == "class" and label in _CALLED):
                    found = [parent]
                elif parent.kind == "class" and not label.startswith("__"):
                    for name, code in self.code.items():
                        if label in code.references.ticks and name in self.nodes:
                            self._help(self.nodes[name], code.references.ticks[label])
                            found.append(self.nodes[name])
                todo.extend(node for node in found if id(node) not in seen)
                seen.update(map(id, found))

    def _help(self, node: Node, tick: int) -> None:
        self.helped[id(node)] = min(tick, self.helped.get(id(node), tick))

    def _reach(self, root: Node) -> set[int]:
        """Return what is reached from `root` by a way on which nothing seeds."""
        covered = {
            attribute
            for name, seeded in self.seeded.items()
            if name in self.code
            for attribute, tick in self.code[name].references.ticks.items()
            if tick > seeded
        }
        named: set[str] = set()
        waiting: dict[str, list[Node]] = {}
        seen, todo = {id(root)}, [root]

        def reach(node: Node) -> None:
            if id(node) not in seen:
                seen.add(id(node))
                todo.append(node)

        while todo:
            node = todo.pop()
            seeded = self.seeded.get(id(node), _NEVER)
            code = self.code.get(id(node))
            for attribute, tick in code.references.ticks.items() if code is not None else ():
                if tick < seeded and attribute not in named:
                    named.add(attribute)
                    for owned in waiting.pop(attribute, ()):
                        reach(owned)
            for number, edge in enumerate(node.edges):
                if code is not None and code.tick(number) > seeded:
                    continue
                if node.kind in _OWNERS and edge.label in covered and edge.label not in named:
                    waiting.setdefault(edge.label, []).append(edge.node)
                else:
                    reach(edge.node)
        return seen


def _parents(root: Node) -> tuple[dict[int, list[tuple[Node, int, str]]], dict[int, Node]]:
    """Return what points at each node, with the edge's number and label, and all nodes by id."""
    parents: dict[int, list[tuple[Node, int, str]]] = {}
    nodes = {id(root): root}
    todo = [root]
    while todo:
        node = todo.pop()
        for number, edge in enumerate(node.edges):
            parents.setdefault(id(edge.node), []).append((node, number, edge.label))
            if id(edge.node) not in nodes:
                nodes[id(edge.node)] = edge.node
                todo.append(edge.node)
    return parents, nodes
