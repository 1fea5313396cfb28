"""Source code as it matters: the syntax tree without what cannot change a result.

Comments and formatting never reach a syntax tree. Docstrings, annotations, type comments, ``pass`` and other
statements that are constants are left out here, as are the name and the decorators of the outermost function (a
decorator's effect is seen in the object it returned). A lambda reads as a function that returns its body. In a nested
class body annotations stay: dataclasses and their kin make fields of them.

The text is the same for every Python version that parses the code: fields that are empty or None are not written. Only
characters that a newer Unicode knows may be written otherwise, as `repr` does.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import cast

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda

_SKIPPED = frozenset({"annotation", "returns", "type_comment", "ctx", "kind", "type_ignores"})


def function_text(node: FunctionNode) -> str:
    """Return the normal form of a function's source.

    Raises:
        RecursionError: it is nested too deeply.
    """
    out: list[str] = ["async" if isinstance(node, ast.AsyncFunctionDef) else "function"]
    _arguments(node.args, out, defaults=False)
    _function_body(node, out)
    return "".join(out)


def _function_body(node: FunctionNode, out: list[str]) -> None:
    if isinstance(node, ast.Lambda):
        out.append("[Return(")
        _field("value", node.body, out)
        out.append(");]")
    else:
        _statements(node.body, out)


def _arguments(args: ast.arguments, out: list[str], *, defaults: bool) -> None:
    # The outermost function's defaults are values, keyed as values; those of nested functions are code.
    out.append("(")
    for name in ("posonlyargs", "args", "kwonlyargs"):
        out.append(f"{name}={','.join(arg.arg for arg in getattr(args, name))};")
    for name in ("vararg", "kwarg"):
        arg = getattr(args, name)
        out.append(f"{name}={arg.arg if arg else ''};")
    if defaults:
        _field("defaults", args.defaults, out)
        out.append("kw_defaults=[")
        for default in args.kw_defaults:
            if default is None:
                out.append("none,")
            else:
                _node(default, out)
        out.append("]")
    out.append(")")


def _statements(body: list[ast.stmt], out: list[str], *, in_class: bool = False) -> None:
    out.append("[")
    for statement in body:
        for kept in _kept(statement, in_class=in_class):
            _node(kept, out)
            out.append(";")
    out.append("]")


def _kept(statement: ast.stmt, *, in_class: bool) -> Iterator[ast.stmt]:
    if isinstance(statement, ast.Pass) or (
        isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    ):
        return
    if isinstance(statement, ast.AnnAssign) and not in_class:
        if statement.value is not None:
            yield ast.Assign(targets=[statement.target], value=statement.value)
        return
    yield statement


def _node(node: ast.AST, out: list[str]) -> None:
    out.append(type(node).__name__)
    out.append("(")
    if isinstance(node, ast.Constant):
        out.append(constant_text(node.value))
    elif isinstance(node, ast.ClassDef):
        out.append(node.name)
        for name in ("decorator_list", "type_params", "bases", "keywords"):
            _field(name, getattr(node, name, None), out)
        _statements(node.body, out, in_class=True)
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        if not isinstance(node, ast.Lambda):
            out.append(node.name)
            _field("decorator_list", node.decorator_list, out)
        _arguments(node.args, out, defaults=True)
        _function_body(node, out)
    elif isinstance(node, ast.AnnAssign):
        _field("target", node.target, out)
        _node(node.annotation, out)
        _field("value", node.value, out)
    else:
        for name in node._fields:
            value = getattr(node, name, None)
            if value is not None and name not in _SKIPPED:
                _field(name, value, out)
    out.append(")")


def _field(name: str, value: object, out: list[str]) -> None:
    if value is None or value == []:
        return
    out.append(f"{name}=")
    if isinstance(value, ast.AST):
        _node(value, out)
    elif isinstance(value, list):
        items = cast("list[object]", value)
        if isinstance(items[0], ast.stmt):
            _statements(cast("list[ast.stmt]", items), out)
        else:
            out.append("[")
            for item in items:
                # A None stands for something: {**more} has one among its keys.
                _node(item, out) if isinstance(item, ast.AST) else out.append(repr(item))
                out.append(",")
            out.append("]")
    else:
        out.append(repr(value))
    out.append(",")


def constant_text(value: object) -> str:
    """Return a constant's canonical text, with its type; sets are sorted."""
    if isinstance(value, tuple | frozenset):
        texts = [constant_text(item) for item in cast("tuple[object, ...]", tuple(value))]
        return f"{type(value).__name__}({','.join(texts if isinstance(value, tuple) else sorted(texts))})"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"int {value:x}"
    return f"{type(value).__name__} {value!r}"
