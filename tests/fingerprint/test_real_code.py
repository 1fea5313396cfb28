"""Rewriting real code without changing it keeps every key; changing one thing in a function changes its key.

The code is the standard library's, copied to where it counts as the user's.
"""

from __future__ import annotations

import ast
import importlib
import types
from pathlib import Path

import pytest

from forebay.fingerprint import tree

MODULES = ["textwrap", "copy", "difflib", "heapq", "shlex", "calendar", "statistics", "pprint"]
COMPARISONS = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}
SITES = 4


class Change(ast.NodeTransformer):
    """Changes the constant, comparison or attribute with this number."""

    def __init__(self, number):
        self.left = number
        self.done = False

    def _is_it(self):
        self.left -= 1
        self.done = self.done or self.left == -1
        return self.left == -1

    def visit_Expr(self, node):
        return node if isinstance(node.value, ast.Constant) else self.generic_visit(node)  # a docstring

    def visit_Constant(self, node):
        if isinstance(node.value, int | str) and self._is_it():
            return ast.Constant(node.value + (1 if isinstance(node.value, int) else "~"))
        return node

    def visit_Compare(self, node):
        self.generic_visit(node)
        if type(node.ops[0]) in COMPARISONS and self._is_it():
            node.ops[0] = COMPARISONS[type(node.ops[0])]()
        return node

    def visit_Attribute(self, node):
        self.generic_visit(node)
        if self._is_it():
            node.attr += "_"
        return node


def source(name):
    return Path(importlib.import_module(name).__file__).read_text("utf-8")


def changed(text, number):
    """Change site `number` of each function at the top level; return the new text and the names of those changed."""
    module = ast.parse(text)
    names = set()
    for function in module.body:
        if isinstance(function, ast.FunctionDef):
            change = Change(number)
            documented = ast.get_docstring(function) is not None
            function.body[documented:] = [change.visit(statement) for statement in function.body[documented:]]
            names |= {function.name} if change.done else set()
    return ast.unparse(module), names


def keys(module):
    own = {name: value for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__}
    return {name: tree(value).digest for name, value in own.items() if isinstance(value, types.FunctionType | type)}


@pytest.mark.parametrize("name", MODULES)
def test_rewritten_code_keeps_its_keys_and_changed_code_does_not(load, name):
    text = source(name)
    before = keys(load(text, name="code"))
    assert len(before) > 1
    assert keys(load(f"# moved\n\n{ast.unparse(ast.parse(text))}\n", name="code")) == before
    for number in range(SITES):
        other, names = changed(text, number)
        assert names or number
        after = keys(load(other, name="code"))
        assert {key for key in names if key in after and after[key] == before[key]} == set()
