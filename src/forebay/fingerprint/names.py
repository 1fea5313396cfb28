"""From the names in a piece of code to what they mean."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import PurePath
from types import FunctionType, ModuleType
from typing import Any

from forebay.fingerprint import hazards
from forebay.fingerprint.arguments import evaluated
from forebay.fingerprint.atoms import ATOM_TYPES, shorten
from forebay.fingerprint.bytecode import Load, is_writing
from forebay.fingerprint.containers import FileContent
from forebay.fingerprint.graph import Node
from forebay.fingerprint.origins import FIRST_PYTHON, PYTHON, STDLIB, Origin, origin_of_module
from forebay.fingerprint.scratch import is_counter
from forebay.fingerprint.seeding import Code
from forebay.fingerprint.sources import CodeInfo
from forebay.fingerprint.walk import Walk

_MISSING: Any = object()
# These tell where code stands, which is never in a key.
_PLACES = frozenset(
    {"__file__", "__name__", "__spec__", "__loader__", "__package__", "__path__", "__cached__", "__builtins__"}
)


def foreign(walk: Walk, node: Node, kind: str, name: str, origin: Origin) -> None:
    """Describe something that is not the user's code by its name and where it comes from."""
    node.kind, node.content = kind, name.encode("utf-8", "surrogatepass")
    node.detail = node.detail or name
    package(walk, node, origin.kind, origin)


def package(walk: Walk, node: Node, label: str, origin: Origin) -> None:
    """Let `node` depend on a distribution, or on Python."""
    walk.link(node, label, walk.leaf(node, label, "package", origin.content, origin.detail))


def closure_cell(walk: Walk, node: Node, label: str, cell: Any) -> None:
    """Let `node` depend on what a closure holds."""
    try:
        content = cell.cell_contents
    except ValueError:
        walk.link(node, label, walk.leaf(node, label, "empty cell", b""))
    else:
        walk.child(node, label, content)


class Names:
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
        self.seeded: set[str] = set()
        self.tick = 0

    def describe(self, cells: Mapping[str, Any]) -> None:
        """Describe the node as this code, and let it depend on what its names mean; `cells` holds its closure."""
        node, info = self.node, self.info
        node.kind, node.content, node.where = "function", info.content, info.where
        self.walk.named |= info.references.attributes
        self.walk.named_by_text |= info.references.named
        code = Code(info.references)
        self.walk.random.code[id(node)] = code
        attributed: set[str] = set()
        for load, self.tick in zip(info.references.loads, info.references.load_ticks, strict=True):
            code.edges.append(len(node.edges))
            if load.scope == "free":
                attributed.add(load.root)
                self._free(load, cells)
            elif load.scope == "import":
                self._import(load)
            else:
                self._global(load)
        code.edges.append(len(node.edges))
        for name in cells.keys() - attributed:  # handed on to nested code, or read by super()
            if not info.bumps(name):
                self._cell(name, cells[name])
        if PYTHON != FIRST_PYTHON:  # builtins and the methods of text differ: `sum` of floats, `str.isalpha`
            package(self.walk, node, "python", STDLIB)
        told = {note.name.rpartition(".")[2] for note in node.notes}
        for name in hazards.reading_attributes(info.references.attributes):
            if name not in told:
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
        elif not (is_counter(value) and self.info.bumps(load.root)):
            self._object(f"closure.{load.root}", value, load)

    def _cell(self, name: str, cell: Any) -> None:
        if self._first("cell", name):
            closure_cell(self.walk, self.node, f"closure.{name}", cell)

    def _global(self, load: Load) -> None:
        value = self.globals.get(load.root, _MISSING)
        if value is _MISSING:
            self._builtin(load)
        elif load.root in _PLACES:
            if load.root == "__file__":
                self.node.notes.append(hazards.BESIDE.concern("__file__", self._where(load)))
        elif isinstance(value, ModuleType):
            self._module(value, load)
        elif not (is_counter(value) and self.info.bumps(load.root)):
            self._object(load.root, value, load)

    def _builtin(self, load: Load) -> None:
        value = self.builtins.get(load.root, _MISSING)
        if value is _MISSING:
            self._absent(load.root)
            return
        self._look_up(f"builtins.{load.root}", load)
        if not _is_of_python(load.root, value):
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
            self._module(module, load)
            return
        self._look_up(".".join((name, *load.chain)), load)
        origin = origin_of_module(name)
        if origin.is_user:
            self._absent(name)
        else:
            self._foreign_module(name, name, origin)

    def _foreign_module(self, label: str, name: str, origin: Origin) -> None:
        content = name.partition(".")[0].encode() + b" " + origin.content
        if self._first("origin", f"{label} {origin.detail}"):
            self.walk.link(self.node, label, self.walk.leaf(self.node, label, "package", content, origin.detail))

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
            self._foreign_module(label, module.__name__, origin)
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
        if family := hazards.seeds(name, empty=load.call.empty):
            self.seeded.add(family)
            self.walk.random.seeds.append((self.node, family, self.tick))
            return False
        if reads := hazards.READ_BY.get(name):
            self.walk.named_by_text.add(reads)
            return False
        found = hazards.hazard(name, empty=load.call.empty)
        if found is None:
            return False
        if found.family and "generator" in load.call.keywords:  # torch draws from the generator it is given
            return False
        concern = found.concern(name.removeprefix("builtins."), self._where(load))
        if found.family:
            if found.family not in self.seeded:
                self.walk.random.draws.append((self.node, found.family, concern, self.tick))
            return True
        self.node.notes.append(concern)
        return name.startswith("sys.modules")

    def _environment(self, name: str, load: Load) -> bool:
        if name not in hazards.ENVIRONMENT and not name.startswith("os.environ"):
            return False
        if load.call.stored:
            return True
        places = dict(load.call.arguments)
        name_given = places.get("0") or places.get("key")
        variable = evaluated(name_given, self.globals) if name_given else None
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
        given = {place: evaluated(argument, self.globals) for place, argument in load.call.arguments}
        path, mode = given.get("0", given.get("file")), given.get("1", given.get("mode"))
        if isinstance(mode, str) and is_writing(mode):
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


def _is_of_python(name: str, value: Any) -> bool:
    """Tell whether a builtin is the one that the interpreter has under that name."""
    module = getattr(value, "__module__", None)
    if module == "_sitebuiltins" or value is Ellipsis or value is NotImplemented or name in _PLACES:
        return True
    return module in ("builtins", "io", "_io") and getattr(value, "__name__", "") in (name, "OSError")


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
