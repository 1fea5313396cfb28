"""Whether numbers drawn from a global generator are drawn after a seed.

A seed makes a draw harmless only if it is set in the same call and before: in the same code further up, by a helper
that this code names further up, or by code through which alone the draw is reached. A seed in ``__init__`` says nothing
of the numbers that ``__call__`` draws later, for who knows what else has drawn in between.

Attributes are followed by name: the method ``_draw`` is reached from the code that says ``._draw``.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from forebay.fingerprint.graph import Node
from forebay.fingerprint.keytree import Concern

_CODE = ("function", "generator")
_WRAPPERS = ("method", "staticmethod", "classmethod", "partial", "property", "cached_property", "singledispatchmethod")
_OWNERS = ("class", "object", "model")
_CALLED = ("__init__", "__new__", "__post_init__", "__call__", "__enter__")


@dataclass(slots=True)
class Draws:
    """What a walk has seen of seeds and draws.

    Attributes:
        seeds: code that seeds a family (``random``, ``numpy``, ``torch``), and how many edges it had by then.
        draws: code that draws from a family without having seeded it itself, and how many edges it had by then.
        code: all code, with the attributes that it names.
    """

    seeds: list[tuple[Node, str, int]] = field(default_factory=list[tuple[Node, str, int]])
    draws: list[tuple[Node, str, Concern, int]] = field(default_factory=list[tuple[Node, str, Concern, int]])
    code: list[tuple[Node, frozenset[str]]] = field(default_factory=list[tuple[Node, frozenset[str]]])

    def settle(self, root: Node) -> None:
        """Note on each draw that no seed comes before that it does not."""
        for family in dict.fromkeys(family for _, family, _, _ in self.draws):
            seeds = {id(node): (node, count) for node, of, count in reversed(self.seeds) if of == family}
            cover = _Cover(root, seeds, self.code) if seeds else None
            for node, of, concern, count in self.draws:
                if of == family and (cover is None or cover.is_bare(node, count)):
                    node.notes.append(concern)


class _Cover:
    """What the seeds of one family cover."""

    def __init__(self, root: Node, seeds: dict[int, tuple[Node, int]], code: list[tuple[Node, frozenset[str]]]) -> None:
        self.attributes = {id(node): names for node, names in code}
        self.code = code
        self.parents = _parents(root)
        self.helped: dict[int, int] = {}
        """Of code that names a helper which seeds: the number of its edges that come before."""
        self._spread([node for node, _ in seeds.values()])
        self.covered_from = dict(self.helped)
        for name, (_, count) in seeds.items():
            self.covered_from[name] = min(count, self.covered_from.get(name, count))
        self.reached = self._reach(root)

    def is_bare(self, node: Node, count: int) -> bool:
        """Tell whether a draw, after so many edges of its code, may come before any seed."""
        return id(node) in self.reached and self.helped.get(id(node), count + 1) > count

    def _spread(self, todo: list[Node]) -> None:
        """Find the code that seeds by naming what seeds."""
        seen = {id(node) for node in todo}
        while todo:
            for parent, number, label in self.parents.get(id(todo.pop()), ()):
                spreads = parent.kind in _WRAPPERS or (parent.kind == "class" and label in _CALLED)
                found = [parent] if spreads else []
                if parent.kind in _CODE:
                    found = [parent]
                    self.helped[id(parent)] = min(number + 1, self.helped.get(id(parent), number + 1))
                elif parent.kind == "class" and not label.startswith("__"):
                    found = [node for node, names in self.code if label in names]
                    self.helped.update({id(node): 0 for node in found})
                todo.extend(node for node in found if id(node) not in seen)
                seen.update(id(node) for node in found)

    def _reach(self, root: Node) -> set[int]:
        """Return what is reached from `root` by a way on which nothing seeds."""
        covered = frozenset(name for node in self.covered_from for name in self.attributes.get(node, ()))
        named: set[str] = set()
        waiting: dict[str, list[Node]] = {}
        seen, todo = {id(root)}, [root]
        while todo:
            node = todo.pop()
            edges = node.edges[: self.covered_from.get(id(node), len(node.edges))]
            if id(node) in self.attributes and id(node) not in self.covered_from:
                for name in self.attributes[id(node)] - named:
                    named.add(name)
                    todo.extend(waiting.pop(name, []))
            for edge in edges:
                if id(edge.node) in seen:
                    continue
                if node.kind in _OWNERS and edge.label in covered and edge.label not in named:
                    waiting.setdefault(edge.label, []).append(edge.node)
                    continue
                seen.add(id(edge.node))
                todo.append(edge.node)
        return seen


def _parents(root: Node) -> dict[int, list[tuple[Node, int, str]]]:
    parents: dict[int, list[tuple[Node, int, str]]] = {}
    seen, todo = {id(root)}, [root]
    while todo:
        node = todo.pop()
        for number, edge in enumerate(node.edges):
            parents.setdefault(id(edge.node), []).append((node, number, edge.label))
            if id(edge.node) not in seen:
                seen.add(id(edge.node))
                todo.append(edge.node)
    return parents
