"""Describers of functions, methods and generators."""

from __future__ import annotations

import functools
import sys
from types import CodeType, FunctionType, ModuleType
from typing import Any

from forebay.fingerprint import hazards
from forebay.fingerprint.containers import FileContent
from forebay.fingerprint.graph import Node
from forebay.fingerprint.keytree import Concern
from forebay.fingerprint.names import Names, closure_cell, foreign
from forebay.fingerprint.origins import STDLIB, Origin, origin_of_file, origin_of_module
from forebay.fingerprint.sources import code_info
from forebay.fingerprint.walk import Walk, describes


@describes("builtins.function")
def _function(walk: Walk, node: Node, value: FunctionType) -> None:
    code = value.__code__
    node.detail = f"{value.__qualname__.rpartition('<locals>.')[2]}()"
    origin = _origin_of_function(value)
    if not origin.is_user:
        foreign(walk, node, "function", _code_name(code, origin), origin)
        # A decorator from a package wraps the user's function in a closure.
        for name, cell in zip(code.co_freevars, value.__closure__ or (), strict=True):
            if not _is_dispatch_cache(value, name):
                closure_cell(walk, node, f"closure.{name}", cell)
        return
    info = code_info(code)
    walk.subjects.append((node, value))
    if value.__dict__:
        walk.attributed.append((node, value))
    _defaults(walk, node, value)
    cells = dict(zip(code.co_freevars, value.__closure__ or (), strict=True))
    Names(walk, node, info, value.__globals__, value.__builtins__).describe(cells)


def _code_name(code: CodeType, origin: Origin) -> str:
    """Return a name for installed code; not the function's, which functools.wraps() takes from what it wraps."""
    parts = code.co_filename.replace("\\", "/").split("/")
    name = f"{'/'.join(parts[-2:])} {code.co_qualname}"
    # A package's stamp fixes its lines. Python's minor version does not, nor does a line tell lambdas apart.
    if origin.kind == "package":
        name += f" {code.co_firstlineno}"
    return f"{name} {code.co_code.hex()}" if code.co_name == "<lambda>" else name


def _origin_of_function(value: FunctionType) -> Origin:
    path = value.__code__.co_filename
    if path.startswith("<") and not path.startswith("<frozen"):  # made by exec, by a class decorator for instance
        return origin_of_module(value.__module__) if isinstance(value.__module__, str) else origin_of_file(path)
    return origin_of_file(path)


def _is_dispatch_cache(value: FunctionType, name: str) -> bool:
    # functools.singledispatch remembers what it has dispatched, which changes with every use.
    return value.__code__.co_filename == functools.__file__ and name in ("dispatch_cache", "cache_token")


def _defaults(walk: Walk, node: Node, value: FunctionType) -> None:
    code = value.__code__
    defaults = value.__defaults__ or ()
    names = code.co_varnames[: code.co_argcount]
    for name, default in zip(names[len(names) - len(defaults) :], defaults, strict=True):
        walk.child(node, f"default.{name}", default)
    for name, default in sorted((value.__kwdefaults__ or {}).items()):
        walk.child(node, f"default.{name}", default)


@describes("builtins.method")
def _method(walk: Walk, node: Node, value: Any) -> None:
    name = hazards.known_name(value)
    if _drawn(walk, node, name):
        return
    node.kind, node.detail = "method", f"{value.__func__.__qualname__}()"
    walk.child(node, "function", value.__func__)
    walk.child(node, "self", value.__self__)


@describes("builtins.builtin_function_or_method", "builtins.method-wrapper")
def builtin(walk: Walk, node: Node, value: Any) -> None:
    """Describe compiled code by its name; a method also by the object it is bound to."""
    owner = getattr(value, "__self__", None)
    name = hazards.known_name(value)
    if _drawn(walk, node, name):
        return
    if owner is None or isinstance(owner, ModuleType | type):
        module = value.__module__ or getattr(owner, "__module__", None) or getattr(owner, "__name__", "builtins")
        compiled(walk, node, str(module), value.__qualname__)
        return
    node.kind, node.content, node.detail = "method", value.__name__.encode(), f"{value.__name__}()"
    walk.child(node, "self", owner)


def _drawn(walk: Walk, node: Node, name: str) -> bool:
    found = hazards.hazard(name, empty=False)
    if found is None or found.cacheable:
        return False
    node.kind, node.content, node.detail = "function", name.encode(), f"{name}()"
    if found.family:
        walk.random.draws.append((node, found.family, found.concern(name, ""), 0))
    else:
        node.notes.append(found.concern(name, ""))
    return True


@describes("builtins.method_descriptor", "builtins.wrapper_descriptor", "builtins.classmethod_descriptor")
@describes("builtins.getset_descriptor", "builtins.member_descriptor")
def _descriptor(walk: Walk, node: Node, value: Any) -> None:
    owner: type = value.__objclass__
    if origin_of_module(owner.__module__).is_user:
        node.kind, node.content = "slot", value.__name__.encode()
    else:
        compiled(walk, node, owner.__module__, f"{owner.__qualname__}.{value.__name__}")


def compiled(walk: Walk, node: Node, module: str, name: str) -> None:
    """Describe something compiled: by name where it is installed, by its library's content where it is the user's."""
    origin = origin_of_module(module)
    file = getattr(sys.modules.get(module), "__file__", None)
    if origin.is_user and file:
        node.kind, node.content, node.detail = "builtin", name.encode(), f"{name}()"
        walk.child(node, "library", FileContent(file))
    else:
        foreign(walk, node, "builtin", f"{module}.{name}", STDLIB if origin.is_user else origin)


@describes("builtins.code")
def _code(walk: Walk, node: Node, value: CodeType) -> None:
    info = code_info(value)
    node.kind, node.content, node.where, node.detail = "code", info.content, info.where, value.co_name


@describes("builtins.generator", "builtins.coroutine", "builtins.async_generator")
def _generator(walk: Walk, node: Node, value: Any) -> None:
    prefix = {"generator": "gi", "coroutine": "cr"}.get(type(value).__name__, "ag")
    code: CodeType = getattr(value, f"{prefix}_code")
    frame = getattr(value, f"{prefix}_frame")
    info = code_info(code)
    node.detail = f"{code.co_name}()"
    if frame is None:
        node.kind, node.content, node.where = "finished generator", info.content, info.where
        return
    variables = dict(frame.f_locals)
    Names(walk, node, info, frame.f_globals, frame.f_builtins).describe({})
    node.kind = "generator"
    if getattr(value, f"{prefix}_suspended", False):
        # How far it has come, and its variables; the iterators of the loops it is in cannot be seen.
        node.content += f"at {frame.f_lasti}".encode()
        text = "has begun, and hides part of its state; make it inside the function"
        node.notes.append(Concern("state", f"generator {code.co_name}", info.where, True, text))
    for name in sorted(variables):
        walk.child(node, f"variable.{name}", variables[name])


@describes("functools._lru_cache_wrapper", "builtins.staticmethod", "builtins.classmethod", "functools.cached_property")
@describes("functools.singledispatchmethod")
def _wrapped(walk: Walk, node: Node, value: Any) -> None:
    inner = getattr(value, "__wrapped__", None)
    if type(value).__name__ == "_lru_cache_wrapper" and isinstance(inner, FunctionType):
        _function(walk, node, inner)  # what it remembers cannot change a result
        walk.attributed.append((node, value))
        return
    node.kind, node.detail = type(value).__name__, type(value).__name__
    walk.child(node, "function", inner if inner is not None else value.func)
    if type(value).__name__ == "singledispatchmethod":
        walk.child(node, "dispatcher", value.dispatcher)


@describes("builtins.property")
def _property(walk: Walk, node: Node, value: property) -> None:
    node.kind = "property"
    for name in ("fget", "fset", "fdel"):
        if (function := getattr(value, name)) is not None:
            walk.child(node, name, function)


@describes("builtins.cell")
def _cell_value(walk: Walk, node: Node, value: Any) -> None:
    node.kind = "cell"
    closure_cell(walk, node, "content", value)


@describes("os._Environ")
def _all_variables(walk: Walk, node: Node, value: Any) -> None:
    node.kind = "environment"
    node.notes.append(hazards.UNREAD_ENVIRONMENT.concern("os.environ", ""))
