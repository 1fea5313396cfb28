"""Counters that never speak: state which code only ever bumps, so that it cannot change a result.

``self.calls += 1`` changes an object with every call; were the count part of the key, an object that has been used once
would have another key. A name or attribute counts as bumped when the code does nothing with it but add to it, store
into it or grow it as a statement of its own, and never lets its value flow anywhere else. If it is read in any other
way, it is state, and in the key.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import cast

from forebay.fingerprint.syntax import FunctionNode

BUMPABLE = frozenset(
    {"int", "float", "bool", "NoneType", "str", "list", "dict", "set", "deque", "Counter", "defaultdict"}
)
"""Names of the types whose values count as counters; adding to any other object may do anything."""

# A value may flow out of an expression through these.
_OUTLETS = (ast.Call, ast.NamedExpr, ast.Yield, ast.YieldFrom, ast.Await)
_GROWING = frozenset({"append", "extend", "add", "update", "appendleft", "insert", "setdefault", "clear", "discard"})


@dataclass(slots=True)
class Use:
    """How code uses the names it shares with others (or the attributes of ``self``).

    Attributes:
        bumped: those it bumps.
        read: those it reads otherwise.
        escapes: whether ``self`` itself is handed on, so that anything may be read from it.
    """

    bumped: set[str] = field(default_factory=set)
    read: set[str] = field(default_factory=set)
    escapes: bool = False


def bumped_names(node: FunctionNode) -> frozenset[str]:
    """Return the names that a function only bumps; of interest are those that are global or free."""
    use = Use()
    _visit(node.body, _Names(use), None)
    return frozenset(use.bumped - use.read)


def is_counter(value: object) -> bool:
    """Tell whether adding to `value` does nothing but change it."""
    return type(value).__module__ in ("builtins", "collections") and type(value).__name__ in BUMPABLE


def attribute_use(node: FunctionNode) -> Use:
    """Return how a method uses the attributes of its first parameter."""
    use = Use()
    arguments = [*node.args.posonlyargs, *node.args.args]
    if not arguments:
        use.escapes = True
        return use
    _visit(node.body, _Attributes(use, arguments[0].arg), None)
    return use


class _Names:
    """Sees plain names."""

    def __init__(self, use: Use) -> None:
        self.use = use

    def target(self, node: ast.AST) -> str:
        return node.id if isinstance(node, ast.Name) else ""

    def other(self, node: ast.AST) -> None:
        """Take note of anything else."""


class _Attributes:
    """Sees the attributes of ``self``."""

    def __init__(self, use: Use, owner: str) -> None:
        self.use = use
        self.owner = owner

    def target(self, node: ast.AST) -> str:
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == self.owner:
            return node.attr
        return ""

    def other(self, node: ast.AST) -> None:
        if isinstance(node, ast.Name) and node.id in (self.owner, "super"):
            self.use.escapes = True


def _visit(node: object, seen: _Names | _Attributes, own: str | None) -> None:
    """Sort the uses below `node`; reading `own` is allowed, for it flows into itself only."""
    if isinstance(node, list):
        for item in cast("list[object]", node):
            _visit(item, seen, own)
    elif isinstance(node, ast.AST) and not _bump(node, seen):
        _look(node, seen, own)


def _bump(node: ast.AST, seen: _Names | _Attributes) -> bool:
    """Handle a statement that bumps something; tell whether it was one."""
    if isinstance(node, ast.AugAssign):
        place, value = node.target, node.value
    elif isinstance(node, ast.Assign) and len(node.targets) == 1:
        place, value = node.targets[0], node.value
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Attribute):
        call = node.value
        method = cast("ast.Attribute", call.func)
        name = _root(method.value, seen) if method.attr in _GROWING else ""
        if not name:
            return False
        seen.use.bumped.add(name)
        _visit_indices(method.value, seen)
        _visit([*call.args, *call.keywords], seen, None)
        return True
    else:
        return False
    name = _root(place, seen)
    if not name:
        return False
    seen.use.bumped.add(name)
    _visit_indices(place, seen)
    _visit(value, seen, name if not any(isinstance(part, _OUTLETS) for part in ast.walk(value)) else None)
    return True


def _root(node: ast.AST, seen: _Names | _Attributes) -> str:
    while not (name := seen.target(node)) and isinstance(node, ast.Subscript):
        node = node.value
    return name


def _visit_indices(node: ast.AST, seen: _Names | _Attributes) -> None:
    while isinstance(node, ast.Subscript):
        _visit(node.slice, seen, None)
        node = node.value


def _look(node: ast.AST, seen: _Names | _Attributes, own: str | None) -> None:
    name = seen.target(node)
    if name:
        if name != own:
            seen.use.read.add(name)
        return
    seen.other(node)
    for child in ast.iter_child_nodes(node):
        _visit(child, seen, own)
