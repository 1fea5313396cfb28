"""From a code object to its source, and what is remembered about it.

The file on disk may have changed since the code was imported from it; keying the new text would file the old code's
results under the new code's key. So a file is parsed and compiled, and a function's source counts only if it compiles
to the code that is really in use. That also tells several lambdas on one line apart. Where nothing fits (code made by
`exec`, typed at a prompt, instrumented, or edited since), the bytecode itself is keyed.

What is remembered (per code object, by identity) never changes while the code object lives: a reloaded module has new
ones.
"""

from __future__ import annotations

import ast
import linecache
import os
import warnings
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType
from typing import cast

from forebay.fingerprint.bytecode import References, code_text, references, same_code
from forebay.fingerprint.origins import PYTHON
from forebay.fingerprint.scratch import bumped_names
from forebay.fingerprint.syntax import FunctionNode, function_text

_LAMBDA = "<lambda>"


@dataclass(frozen=True, slots=True)
class CodeInfo:
    """What is known about a code object.

    Attributes:
        content: normal form of its source, or of its bytecode.
        where: ``file:line``.
        references: the names it refers to.
        node: its syntax tree; None where there is no source.
    """

    content: bytes
    where: str
    references: References
    node: FunctionNode | None
    _bumped: list[frozenset[str]] = field(default_factory=list[frozenset[str]])

    def bumps(self, name: str) -> bool:
        """Tell whether all that the code ever does with a name is to bump it; see `scratch`."""
        if self.node is None:
            return False
        if not self._bumped:
            self._bumped.append(bumped_names(self.node))
        return name in self._bumped[0]


@dataclass(frozen=True, slots=True)
class _File:
    """One parsed source file: its functions and the code that they compile to, by name."""

    stat: tuple[int, ...]
    nodes: dict[str, list[FunctionNode]]
    codes: dict[str, list[CodeType]]


_infos: dict[int, tuple[weakref.ref[CodeType], CodeInfo]] = {}
_files: dict[str, _File | None] = {}


def code_info(code: CodeType) -> CodeInfo:
    """Return what is known about a code object."""
    found = _infos.get(id(code))
    if found is not None and found[0]() is code:
        return found[1]
    info = _make_info(code)
    name = id(code)
    _infos[name] = (weakref.ref(code, lambda _: _infos.pop(name, None)), info)
    return info


def _make_info(code: CodeType) -> CodeInfo:
    where = f"{readable_path(code.co_filename)}:{code.co_firstlineno}"
    node = _source_of(code)
    if node is not None:
        try:
            content = function_text(node).encode("utf-8", "surrogatepass")
            return CodeInfo(content, where, references(code), node)
        except RecursionError:
            pass  # an expression nested so deeply is keyed by its bytecode
    content = f"bytecode {PYTHON}\n{code_text(code)}".encode("utf-8", "surrogatepass")
    return CodeInfo(content, where, references(code), None)


def readable_path(path: str) -> str:
    """Return a path as people know it: from the current folder, or else its last two parts."""
    here = os.getcwd() + os.sep
    if path.startswith(here):
        return path[len(here) :]
    return "/".join(path.replace("\\", "/").rsplit("/", 2)[-2:])


def _source_of(code: CodeType) -> FunctionNode | None:
    file = _file(code.co_filename)
    if file is None:
        return None
    chosen = _compiled_to(code, file.codes.get(code.co_name, []))
    if chosen is None:
        return None
    nodes = [node for node in file.nodes.get(code.co_name, ()) if _first_line(node) == chosen.co_firstlineno]
    if len(nodes) <= 1:
        return nodes[0] if nodes else None
    return _innermost(nodes, chosen)


def _compiled_to(code: CodeType, candidates: list[CodeType]) -> CodeType | None:
    """Return the candidate that does the same as `code`, the one at the same place rather than another."""
    if code in candidates:
        return candidates[candidates.index(code)]  # equal: the same instructions at the same lines and columns
    same = [other for other in candidates if same_code(other, code)]
    placed = [other for other in same if _span(other) == _span(code)]
    return (placed or same or [None])[0]


def _first_line(node: FunctionNode) -> int:
    decorators: list[ast.expr] = [] if isinstance(node, ast.Lambda) else node.decorator_list
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def _span(code: CodeType) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Return where the code of a body begins and ends, as (line, column); None without column numbers."""
    begins: list[tuple[int, int]] = []
    ends: list[tuple[int, int]] = []
    for line, end_line, column, end_column in code.co_positions():
        # The first instructions carry the place (line, 0) of the whole definition.
        if line is None or end_line is None or column is None or end_column is None or (column, end_column) == (0, 0):
            continue
        begins.append((line, column))
        ends.append((end_line, end_column))
    return (min(begins), max(ends)) if begins else None


def _innermost(nodes: list[FunctionNode], code: CodeType) -> FunctionNode | None:
    """Return the smallest of several functions on one line that encloses all of `code`."""
    span = _span(code)
    if span is None:
        return None
    around: list[tuple[tuple[int, int], FunctionNode]] = []
    for node in nodes:
        body = node.body if isinstance(node, ast.Lambda) else node
        begin = (body.lineno, body.col_offset)
        end = (body.end_lineno or body.lineno, body.end_col_offset or body.col_offset)
        # A parenthesis belongs to no syntax node: a body in parentheses begins one column early at most in its code.
        if begin <= span[0] and span[1] <= end:
            around.append((begin, node))
    return max(around, key=lambda pair: pair[0])[1] if around else None


def _file(path: str) -> _File | None:
    stat = _stat(path)
    known = _files.get(path)
    if path in _files and (known is None or known.stat == stat):
        return known
    _files[path] = file = _parse(path, stat)
    return file


def _stat(path: str) -> tuple[int, ...]:
    try:
        found = os.stat(path)
    except OSError:
        return ()
    return (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _parse(path: str, stat: tuple[int, ...]) -> _File | None:
    try:
        # Notebooks and prompts keep what was typed in linecache, under a made-up name.
        text: bytes | str = Path(path).read_bytes() if stat else "".join(linecache.getlines(path))
        if not text:
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they were told when the code was imported
            tree = ast.parse(text, path)
            top = compile(tree, path, "exec", dont_inherit=True)
    except (OSError, SyntaxError, ValueError, RecursionError):
        return None  # not Python source, or not any longer: its bytecode is keyed
    nodes: dict[str, list[FunctionNode]] = {}
    for node in _functions(tree):
        nodes.setdefault(_LAMBDA if isinstance(node, ast.Lambda) else node.name, []).append(node)
    codes: dict[str, list[CodeType]] = {}
    for code in _nested(top):
        codes.setdefault(code.co_name, []).append(code)
    return _File(stat, nodes, codes)


def _functions(tree: ast.AST) -> Iterator[FunctionNode]:
    """Yield all functions of a syntax tree: `ast.walk`, in a third of its time."""
    stack: list[object] = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, list):
            stack.extend(cast("list[object]", node))
        elif isinstance(node, ast.AST):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                yield node
            stack.extend([getattr(node, name, None) for name in node._fields])


def _nested(code: CodeType) -> Iterator[CodeType]:
    stack = [code]
    while stack:
        for constant in stack.pop().co_consts:
            if isinstance(constant, CodeType):
                yield constant
                stack.append(constant)
