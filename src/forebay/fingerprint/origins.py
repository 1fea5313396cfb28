"""Where code comes from: the user, an installed distribution, or Python itself.

The user's own code is keyed by content. Code of an installed distribution is keyed by the distribution: its name,
version and a stamp of its files, so that another build under the same version number, or a file edited in place, is
another key. The stamp comes from the distribution's RECORD (PEP 376, PEP 427), which lists every file with its
sha256; only files that do not look as RECORD says are read. Python's own code is keyed by Python's minor version.

What is found about a distribution holds for the life of the process, as does the code that was imported from it.
"""

from __future__ import annotations

import base64
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, ModuleType

from forebay.errors import InputError
from forebay.fingerprint.digests import digest_bytes, file_digest

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
FIRST_PYTHON = "3.11"
"""The version whose keys do not name it in every function: they are older than the others' and stay as they are."""

_CLASS_MAKERS = ("types", "abc")
"""Modules whose functions make classes that bear the module's name: `types.new_class`, `abc.ABCMeta` …"""
_SITES = ("site-packages", "dist-packages")
_CODE = (".py", ".so", ".pyd", ".dylib", ".dll")
_STDLIB = os.path.dirname(os.path.realpath(os.__file__)) + os.sep


@dataclass(frozen=True, slots=True)
class Origin:
    """Where some code comes from.

    Attributes:
        kind: ``user``, ``package`` or ``stdlib``.
        content: stands for the code in keys, where it is not the user's: distribution, version, stamp.
        detail: the same for people: ``numpy 2.1.0``.
    """

    kind: str
    content: bytes = b""
    detail: str = ""

    @property
    def is_user(self) -> bool:
        """Whether it is the user's own code, to be keyed by content."""
        return self.kind == "user"


USER = Origin("user")
STDLIB = Origin("stdlib", f"python {PYTHON}".encode(), f"python {PYTHON}")

_by_file: dict[str, Origin] = {}
_packages: dict[tuple[str, str], Origin] = {}
_distributions: dict[str, tuple[_Distribution, ...]] = {}


def origin_of_module(name: str) -> Origin:
    """Return where the module of this name comes from, whether it is loaded or not; it is not imported."""
    module = sys.modules.get(name)
    if name == "__main__":
        return USER
    if name == "builtins":
        return STDLIB
    path = _file_of(module) if module is not None else _file_by_name(name)
    if path:
        return origin_of_file(path)
    return STDLIB if name.partition(".")[0] in sys.stdlib_module_names else USER


def origin_of_class(cls: type) -> Origin:
    """Return where a class comes from.

    A class made by a call bears the module of whoever called `type`, or what it was told to bear.
    """
    name = cls.__module__
    if not isinstance(name, str):
        return USER
    origin = origin_of_module(name)
    return origin if origin.is_user or not _bears_anothers_name(cls, name) else USER


def _bears_anothers_name(cls: type, module: str) -> bool:
    """Whether the module that a class names does not hold it, and it was made for the user."""
    found: object = sys.modules.get(module)
    for part in cls.__qualname__.split("."):
        found = getattr(found, "__dict__", {}).get(part)  # no getattr: a module may import what it is asked for
    if found is cls or module == "builtins":
        return False
    return module in _CLASS_MAKERS or any(map(_is_users, vars(cls).values()))


def _is_users(member: object) -> bool:
    function = getattr(member, "fget", None) or getattr(member, "__func__", member)
    code = function.__code__ if isinstance(function, FunctionType) else None
    return code is not None and not code.co_filename.startswith("<") and origin_of_file(code.co_filename).is_user


def origin_of_file(path: str) -> Origin:
    """Return where the code in this file comes from."""
    found = _by_file.get(path)
    if found is None:
        found = _by_file[path] = _classify(path)
    return found


def _file_of(module: ModuleType) -> str:
    file = getattr(module, "__file__", None)
    if isinstance(file, str):
        return file
    folders = getattr(module, "__path__", None)  # a namespace package has no file
    return next((os.path.join(folder, "") for folder in folders if isinstance(folder, str)), "") if folders else ""


def _file_by_name(name: str) -> str:
    import importlib.util

    top = name.partition(".")[0]
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return ""
    if spec is None:
        return ""
    folders = list(spec.submodule_search_locations or ())
    return spec.origin if spec.origin and spec.has_location else (os.path.join(folders[0], "") if folders else "")


def _classify(path: str) -> Origin:
    if path.startswith("<frozen "):
        return STDLIB
    parts = os.path.abspath(path).split(os.sep)
    site_at = max((number for number, part in enumerate(parts) if part in _SITES), default=-1)
    if 0 <= site_at < len(parts) - 1:
        return _package(os.sep.join(parts[: site_at + 1]), parts[site_at + 1 :])
    return STDLIB if os.path.realpath(path).startswith(_STDLIB) else USER


def _package(site: str, inside: list[str]) -> Origin:
    """Return the origin of a file, given as parts of its path inside a folder of installed packages."""
    relative = "/".join(inside)
    owner = _owner(site, inside[0], relative)
    key = (site, owner.folder if owner is not None else inside[0])
    if owner is not None and not owner.lists(relative):  # a file that somebody has put there
        key = (site, relative)
    if key not in _packages:
        if owner is None:
            stamp = _content_stamp(Path(site, inside[0]))
            name = inside[0].partition(".")[0]
            _packages[key] = Origin("package", f"{name} files {stamp}".encode(), f"{name} (files {stamp[:8]})")
        else:
            stamp = owner.stamp(Path(site, inside[0]))
            if key == (site, relative):
                stamp += _digest_or_absent(Path(site, relative))
            content = f"{owner.name} {owner.version} {stamp}".encode()
            _packages[key] = Origin("package", content, f"{owner.name} {owner.version}")
    return _packages[key]


def _owner(site: str, top: str, relative: str) -> _Distribution | None:
    if site not in _distributions:
        _distributions[site] = tuple(_installed(site))
    wanted = _normal(top.partition(".")[0])
    named = [dist for dist in _distributions[site] if dist.name == wanted]
    for dist in (*named, *_distributions[site]):
        if dist.record and dist.lists(relative):
            return dist
    for dist in (*named, *_distributions[site]):
        if dist.record and dist.lists(f"{top}/"):
            return dist
    return next((dist for dist in named if not dist.record), None)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _installed(site: str) -> Iterator[_Distribution]:
    try:
        names = sorted(os.listdir(site))
    except OSError:
        return
    for name in names:
        stem, _, ending = name.rpartition(".")
        if ending in ("dist-info", "egg-info"):
            project, _, version = stem.partition("-")
            yield _Distribution(site, name, _normal(project), version.partition("-")[0])


class _Distribution:
    """One installed distribution, by its ``.dist-info`` or ``.egg-info``."""

    __slots__ = ("_record", "folder", "name", "site", "version")

    def __init__(self, site: str, folder: str, name: str, version: str) -> None:
        self.site = site
        self.folder = folder
        self.name = name
        self.version = version
        self._record: str | None = None

    @property
    def record(self) -> str:
        """RECORD's text; empty when there is none."""
        if self._record is None:
            try:
                self._record = Path(self.site, self.folder, "RECORD").read_text("utf-8", "replace")
            except OSError:
                self._record = ""
        return self._record

    def lists(self, path: str) -> bool:
        """Tell whether RECORD lists a file; of a folder (its path ends in ``/``), whether it lists anything in it."""
        start = path if path.endswith("/") else f"{path},"
        return self.record.startswith(start) or f"\n{start}" in self.record or not self.record

    def stamp(self, package: Path) -> str:
        """Return a digest of the files as they are; `package` is what to read where there is no RECORD."""
        if not self.record:
            return _content_stamp(package)
        written = os.stat(Path(self.site, self.folder, "RECORD")).st_mtime_ns
        lines: list[str] = []
        for line in self.record.splitlines():
            path, sha256, size = (*line.rsplit(",", 2), "", "")[:3]
            path = path.strip('"')
            # Scripts carry the machine's path, dist-info the installer's name, bytecode is made here:
            # none of them is the package.
            if path.startswith(("..", "/")) or ".dist-info/" in path or path.endswith(".pyc"):
                continue
            lines.append(f"{path} {sha256}")
            if path.endswith(_CODE):
                lines.extend(self._edited(path, sha256, size, written))
        return digest_bytes("\n".join(sorted(lines)).encode())

    def _edited(self, path: str, sha256: str, size: str, written: int) -> Iterator[str]:
        file = os.path.join(self.site, path)
        try:
            stat = os.stat(file)
            if str(stat.st_size) == size and max(stat.st_mtime_ns, 0) <= written:
                return
            content = Path(file).read_bytes()
        except OSError:
            yield f"{path} is missing"
            return
        if not sha256 or sha256 != _record_hash(content):
            yield f"{path} is {digest_bytes(content)}"


def _record_hash(content: bytes) -> str:
    import hashlib

    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def _content_stamp(package: Path) -> str:
    """Return a digest of all code in a package's folder, or of a single file."""
    if not package.is_dir():
        return _digest_or_absent(package)
    lines: list[str] = []
    for folder, folders, files in os.walk(package):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        for name in files:
            if name.endswith(_CODE):
                file = Path(folder, name)
                lines.append(f"{file.relative_to(package).as_posix()} {_digest_or_absent(file)}")
    return digest_bytes("\n".join(sorted(lines)).encode())


def _digest_or_absent(file: Path) -> str:
    try:
        return file_digest(file)
    except InputError:
        return "absent"
