"""Describers of functions, methods and generators: their code, and all that it names."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Mapping
from pathlib import PurePath
from types import CodeType, FunctionType, ModuleType
from typing import Any

from forebay.fingerprint import hazards
from forebay.fingerprint.atoms import ATOM_TYPES, shorten
from forebay.fingerprint.bytecode import Argument, Load
from forebay.fingerprint.containers import FileContent
from forebay.fingerprint.graph import Node
from forebay.fingerprint.keytree import Concern
from forebay.fingerprint.origins import STDLIB, Origin, origin_of_file, origin_of_module
from forebay.fingerprint.scratch import is_counter
from forebay.fingerprint.sources import CodeInfo, code_info
from forebay.fingerprint.walk import Walk, describes

_MISSING: Any = object()
# These tell where code stands, which is never in a key.
_PLACES = frozenset(
    {"__file__", "__name__", "__spec__", "__loader__", "__package__", "__path__", "__cached__", "__builtins__"}
)


@describes("builtins.function")
def _function(walk: Walk, node: Node, value: FunctionType) -> None:
    code = value.__code__
    node.detail = f"{value.__qualname__.rpartition('<locals>.')[2]}()"
    origin = _origin_of_function(value)
    if not origin.is_user:
        foreign(walk, node, "function", f"{value.__module__}.{value.__qualname__}", origin)
        # A decorator from a package wraps the user's function in a closure.
        for name, cell in zip(code.co_freevars, value.__closure__ or (), strict=True):
            if not _is_dispatch_cache(value, name):
                _cell(walk, node, f"closure.{name}", cell)
        return
    info = code_info(code)
    _defaults(walk, node, value)
    cells = dict(zip(code.co_freevars, value.__closure__ or (), strict=True))
    _Names(walk, node, info, value.__globals__, value.__builtins__).describe(cells)


def _origin_of_function(value: FunctionType) -> Origin:
    path = value.__code__.co_filename
    if path.startswith("<") and not path.startswith("<frozen"):  # made by exec, by a class decorator for instance
        return origin_of_module(value.__module__) if isinstance(value.__module__, str) else origin_of_file(path)
    return origin_of_file(path)


def _is_dispatch_cache(value: FunctionType, name: str) -> bool:
    # functools.singledispatch remembers what it has dispatched, which changes with every use.
    return value.__code__.co_filename == functools.__file__ and name in ("dispatch_cache", "cache_token")


def foreign(walk: Walk, node: Node, kind: str, name: str, origin: Origin) -> None:
    """Describe something that is not the user's code by its name and where it comes from."""
    node.kind, node.content = kind, name.encode("utf-8", "surrogatepass")
    node.detail = node.detail or name
    package(walk, node, origin.kind, origin)


def package(walk: Walk, node: Node, label: str, origin: Origin) -> None:
    """Let `node` depend on a distribution, or on Python."""
    walk.link(node, label, walk.leaf(node, label, "package", origin.content, origin.detail))


def _defaults(walk: Walk, node: Node, value: FunctionType) -> None:
    code = value.__code__
    defaults = value.__defaults__ or ()
    names = code.co_varnames[: code.co_argcount]
    for name, default in zip(names[len(names) - len(defaults) :], defaults, strict=True):
        walk.child(node, f"default.{name}", default)
    for name, default in sorted((value.__kwdefaults__ or {}).items()):
        walk.child(node, f"default.{name}", default)


def _cell(walk: Walk, node: Node, label: str, cell: Any) -> None:
    try:
        content = cell.cell_contents
    except ValueError:
        walk.link(node, label, walk.leaf(node, label, "empty cell", b""))
    else:
        walk.child(node, label, content)


class _Names:
    """Follows the names in one piece of code to what they mean."""

    def __init__(
        self, walk: Walk, node: Node, info: CodeInfo, names: Mapping[str, Any], builtins: Mapping[str, Any]
    ) -> None:
        self.walk = walk
        self.node = node
        self.info = info
        self.globals = names
        self.builtins = builtins
        self.done: set[tuple[str, str]] = set()

    def describe(self, cells: Mapping[str, Any]) -> None:
        node, info = self.node, self.info
        node.kind, node.content, node.where = "function", info.content, info.where
        self.walk.named |= info.references.attributes
        attributed: set[str] = set()
        for load in info.references.loads:
            if load.scope == "free":
                attributed.add(load.root)
                self._free(load, cells)
            elif load.scope == "import":
                self._import(load)
            else:
                self._global(load)
        for name in cells.keys() - attributed:  # handed on to nested code, or read by super()
            if name not in info.bumped:
                self._cell(name, cells[name])
        for name in hazards.reading_attributes(info.references.attributes):
            node.notes.append(hazards.FILE.concern(f".{name}()", info.where))

    def _where(self, load: Load) -> str:
        return f"{self.info.where.rpartition(':')[0]}:{load.line}"

    def _first(self, kind: str, label: str) -> bool:
        new = (kind, label) not in self.done
        self.done.add((kind, label))
        return new

    def _free(self, load: Load, cells: Mapping[str, Any]) -> None:
        try:
            value = cells[load.root].cell_contents
        except ValueError:
            self._cell(load.root, cells[load.root])
            return
        if isinstance(value, ModuleType):
            self._module(value, load)
        elif not (load.root in self.info.bumped and is_counter(value)):
            self._object(f"closure.{load.root}", value, load)

    def _cell(self, name: str, cell: Any) -> None:
        if self._first("cell", name):
            _cell(self.walk, self.node, f"closure.{name}", cell)

    def _global(self, load: Load) -> None:
        value = self.globals.get(load.root, _MISSING)
        if value is _MISSING:
            self._builtin(load)
        elif load.root in _PLACES:
            return
        elif isinstance(value, ModuleType):
            self._module(value, load)
        elif not (load.root in self.info.bumped and is_counter(value)):
            self._object(load.root, value, load)

    def _builtin(self, load: Load) -> None:
        value = self.builtins.get(load.root, _MISSING)
        if value is _MISSING:
            self._absent(load.root)
            return
        self._look_up(f"builtins.{load.root}", load)
        if getattr(value, "__module__", "builtins") not in ("builtins", "_io", None, "_sitebuiltins"):
            self._object(load.root, value, load)  # somebody has put it there

    def _absent(self, label: str) -> None:
        if self._first("absent", label):
            self.walk.link(self.node, label, self.walk.leaf(self.node, label, "absent", b""))

    def _object(self, label: str, value: Any, load: Load) -> None:
        """Depend on an object that is no module, as a whole."""
        name = hazards.known_name(value)
        if name and self._look_up(".".join((name, *load.chain)), load):
            return
        if self._first("object", label):
            self.walk.child(self.node, label, value)
        if load.chain and isinstance(value, FunctionType) and load.chain[0] in value.__dict__:
            attribute = f"{label}.{load.chain[0]}"
            if self._first("object", attribute):
                self.walk.child(self.node, attribute, value.__dict__[load.chain[0]])

    def _import(self, load: Load) -> None:
        name = load.root
        if name.startswith("."):
            import importlib.util

            try:
                name = importlib.util.resolve_name(name, str(self.globals.get("__package__") or ""))
            except ImportError:
                self._absent(load.root)
                return
        module = sys.modules.get(name)
        if module is None and origin_of_module(name).is_user:
            module = _imported(name)
        if module is not None:
            # An import by itself is no use; what is taken from the module is.
            if load.chain or load.arguments:
                self._module(module, load)
            else:
                self._origin(name, origin_of_module(name))
        elif origin_of_module(name).is_user:
            self._absent(name)
        else:
            self._look_up(".".join((name, *load.chain)), load)
            self._origin(name, origin_of_module(name))

    def _origin(self, label: str, origin: Origin) -> None:
        if not origin.is_user and self._first("origin", f"{label} {origin.detail}"):
            package(self.walk, self.node, label, origin)

    def _module(self, module: ModuleType, load: Load) -> None:
        """Depend on what the code takes from a module; on all of it where the module itself is handed on."""
        label = (load.root if load.scope != "import" else module.__name__).lstrip(".")
        value: Any = module
        rest = load.chain
        while rest:
            value = module.__dict__.get(rest[0], _MISSING)
            if value is _MISSING:
                value = sys.modules.get(f"{module.__name__}.{rest[0]}", _MISSING)
            if not isinstance(value, ModuleType):
                break
            module, rest = value, rest[1:]
        found = self._look_up(".".join((module.__name__, *rest)), load)
        origin = origin_of_module(module.__name__)
        written = ".".join((label, *load.chain[: len(load.chain) - len(rest) + 1]))
        if origin.is_user:
            self._member(module, written, value, rest)
        elif not found:
            content = f"{module.__name__.partition('.')[0]} "
            if self._first("origin", f"{label} {content}{origin.detail}"):
                inner = self.walk.leaf(self.node, label, "module", content.encode(), content.strip())
                package(self.walk, inner, origin.kind, origin)
                self.walk.link(self.node, label, inner)
            if rest and type(value) in ATOM_TYPES and rest[0] not in _PLACES and self._first("object", written):
                self.walk.child(self.node, written, value)

    def _member(self, module: ModuleType, label: str, value: Any, rest: tuple[str, ...]) -> None:
        if rest and rest[0] in _PLACES:
            return
        if value is _MISSING:
            try:
                value = getattr(module, rest[0])
            except Exception:  # noqa: BLE001 - a module's own __getattr__ may raise anything; then the code would, too
                self._absent(label)
                return
        if self._first("object", label):
            self.walk.child(self.node, label, value)
        if len(rest) > 1 and isinstance(value, FunctionType) and rest[1] in value.__dict__:
            self.walk.child(self.node, f"{label}.{rest[1]}", value.__dict__[rest[1]])

    def _look_up(self, name: str, load: Load) -> bool:
        """Take note of a name that the table of hazards knows; tell whether nothing else need be known of it."""
        if name.startswith("os.") and self._environment(name, load):
            return True
        if name in ("builtins.open", "io.open") and self._open(load):
            return True
        if family := hazards.seeds(name, empty=load.empty):
            self.walk.seeded.add(family)
            return False
        found = hazards.hazard(name, empty=load.empty)
        if found is None:
            return False
        concern = found.concern(name.removeprefix("builtins."), self._where(load))
        if found.family:
            self.walk.draws.append((self.node, found.family, concern))
            return True
        self.node.notes.append(concern)
        return False

    def _environment(self, name: str, load: Load) -> bool:
        if name not in hazards.ENVIRONMENT and not name.startswith("os.environ"):
            return False
        variable = self._literal(load.arguments[0]) if load.arguments else None
        if not isinstance(variable, str):
            self.node.notes.append(hazards.UNREAD_ENVIRONMENT.concern(name, self._where(load)))
            return True
        label = f"environment.{variable}"
        if self._first("environment", variable):
            # The variable belongs to the user's code, not to Forebay's settings.
            setting = os.environ.get(variable)
            content = b"unset" if setting is None else b"set " + setting.encode("utf-8", "surrogateescape")
            detail = "unset" if setting is None else _told(variable, setting)
            self.walk.link(self.node, label, self.walk.leaf(self.node, label, "environment", content, detail))
        return True

    def _open(self, load: Load) -> bool:
        """Depend on the content of a file that the code opens for reading under a fixed name."""
        path = self._literal(load.arguments[0]) if load.arguments else None
        mode = self._literal(load.arguments[1]) if len(load.arguments) > 1 else None
        writes = isinstance(mode, str) and len(mode) <= 4 and set(mode) <= set("rwaxbt+") and set(mode) & set("wax+")
        if writes:
            return True
        if not isinstance(path, str | PurePath):
            return False
        label = f"file.{os.path.basename(path)}"
        if self._first("file", str(path)):
            if os.path.isfile(path):
                self.walk.child(self.node, label, FileContent(path))
            else:
                self.walk.link(self.node, label, self.walk.leaf(self.node, label, "absent", b"file"))
        return True

    def _literal(self, argument: Argument) -> Any:
        return self.globals.get(argument.name) if argument.name else argument.constant


def _told(variable: str, setting: str) -> str:
    # Keys are kept and shared: a secret must not be readable in them.
    secret = any(part in variable.upper() for part in ("TOKEN", "KEY", "SECRET", "PASS", "CRED", "AUTH"))
    return "set" if secret else shorten(repr(setting))


def _imported(name: str) -> ModuleType | None:
    """Import a module of the user's that his function would import anyway, so that its key does not depend on when."""
    import importlib

    try:
        return importlib.import_module(name)
    except Exception:  # noqa: BLE001 - it is the user's code, and may raise anything; the function will meet the same
        return None


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
    if found is None or not found.family:
        return False
    node.kind, node.content, node.detail = "function", name.encode(), f"{name}()"
    walk.draws.append((node, found.family, found.concern(name, "")))
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
    _Names(walk, node, info, frame.f_globals, frame.f_builtins).describe({})
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
        return
    node.kind, node.detail = type(value).__name__, type(value).__name__
    walk.child(node, "function", inner if inner is not None else value.func)


@describes("builtins.property")
def _property(walk: Walk, node: Node, value: property) -> None:
    node.kind = "property"
    for name in ("fget", "fset", "fdel"):
        if (function := getattr(value, name)) is not None:
            walk.child(node, name, function)


@describes("builtins.cell")
def _cell_value(walk: Walk, node: Node, value: Any) -> None:
    node.kind = "cell"
    _cell(walk, node, "content", value)


@describes("os._Environ")
def _all_variables(walk: Walk, node: Node, value: Any) -> None:
    node.kind = "environment"
    node.notes.append(hazards.UNREAD_ENVIRONMENT.concern("os.environ", ""))
