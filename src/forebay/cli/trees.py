"""A tree as lines, as `tree` draws it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Node:
    """One line of a tree, and what hangs on it."""

    text: str
    children: tuple[Node, ...] = ()


def lines(nodes: tuple[Node, ...], indent: str = "") -> Iterator[str]:
    """Yield a line per node, children below their parent::

    ├─ operator  text_length_filter
    │  └─ min_len  10
    └─ input  0c1d…
    """
    for number, node in enumerate(nodes, start=1):
        last = number == len(nodes)
        yield f"{indent}{'└─' if last else '├─'} {node.text}"
        yield from lines(node.children, f"{indent}{'   ' if last else '│  '}")
