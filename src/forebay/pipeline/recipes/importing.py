"""Importing what recipes name, so that each file finds what lies beside it and nothing of another folder's.

Python knows modules by name, so `helpers` of two folders are one to it: whichever was loaded first. While a step's
function is imported and keyed, its own folder comes before all that is not installed, and modules of the same names
from elsewhere step aside. Afterwards the names belong to whoever had them first; the others' modules live on in those
that imported them. Only an import inside a function comes too late for that, and is refused where it would go wrong.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from forebay.errors import RecipeError

_FOLDERS: dict[str, dict[str, ModuleType]] = {}
"""Folders with operators, first named first, and those of their modules whose names are another's."""
_STDLIB = os.path.dirname(os.__file__)
_NEVER = frozenset({"__main__", "forebay"})


@contextmanager
def own(folder: Path) -> Generator[None]:
    """Let what is imported within find what lies in `folder` before what lies in another one.

    Raises:
        RecipeError: a function there imports a module when it is called, and would be given another folder's.
    """
    home = str(folder)
    mine = _FOLDERS.setdefault(home, {})
    let_import(folder)
    aside = {name: module for name, module in sys.modules.items() if _stands_in_the_way(name, module, home)}
    for name in aside:
        del sys.modules[name]
    sys.modules.update(mine)
    path = list(sys.path)
    sys.path[:] = sorted(path, key=lambda entry: 0 if _installed(entry) else 1 if entry == home else 2)
    try:
        yield
        if aside or len(_FOLDERS) > 1:
            _refuse_late_imports(home)
    finally:
        sys.path[:] = path + [entry for entry in sys.path if entry not in path]
        for name, module in list(sys.modules.items()):
            top = name.partition(".")[0]
            if _home(sys.modules.get(top, module)) == home and (top in aside or _earlier(home, top)):
                mine[name] = sys.modules.pop(name)
        sys.modules.update(aside)


def let_import(folder: Path) -> None:
    """Let a user's file import what lies in a folder, after everything installed."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def holds(folder: str | Path, name: str) -> bool:
    """Tell whether a module or package of this name lies in a folder."""
    place = os.path.join(folder, name)
    return os.path.isfile(f"{place}.py") or os.path.isfile(os.path.join(place, "__init__.py"))


def package_of(file: Path) -> tuple[Path, str]:
    """Return the folder above the outermost package that a file belongs to, and the file's dotted name from there."""
    parts = [file.stem]
    folder = file.parent
    while (folder / "__init__.py").is_file():
        parts.insert(0, folder.name)
        folder = folder.parent
    return folder, ".".join(parts)


def _home(module: ModuleType) -> str:
    """The folder that a top-level module lies in; "" where there is none."""
    file = getattr(module, "__file__", None)
    if not isinstance(file, str):
        return ""
    folder, name = os.path.split(file)
    return os.path.dirname(folder) if name == "__init__.py" else folder


def _installed(path: str) -> bool:
    return "site-packages" in path or "dist-packages" in path or path.startswith(_STDLIB) or path.endswith(".zip")


def _stands_in_the_way(name: str, module: ModuleType, home: str) -> bool:
    top = name.partition(".")[0]
    if top in _NEVER:
        return False
    other = _home(sys.modules.get(top, module))
    return bool(other) and other != home and not _installed(other) and holds(home, top)


def _earlier(home: str, name: str) -> str:
    """A folder that was named before `home` and has a module of this name, too; "" where there is none."""
    for folder in _FOLDERS:
        if folder == home:
            break
        if holds(folder, name):
            return folder
    return ""


def _refuse_late_imports(home: str) -> None:
    files = {
        file: None
        for module in list(sys.modules.values())
        if isinstance(file := getattr(module, "__file__", None), str) and file.startswith(home + os.sep)
        and file.endswith(".py") and not _installed(file)
    }  # fmt: skip
    for file in files:
        for name, line in _late_imports(file):
            other = _earlier(home, name)
            if other and holds(home, name):
                raise RecipeError(
                    f"{file}:{line}: {name} is imported when the function is called, and {other} has another {name}",
                    subject=file, hint="import it at the top of the file, or rename one of the two",
                )  # fmt: skip


def _late_imports(file: str) -> Iterator[tuple[str, int]]:
    """Yield (top-level name, line) of each import inside a function."""
    import ast  # only where several folders have operators

    try:
        tree = ast.parse(Path(file).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return  # it says so itself when it is imported
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for node in ast.walk(function):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield alias.name.partition(".")[0], node.lineno
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                yield node.module.partition(".")[0], node.lineno
