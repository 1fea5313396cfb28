"""Where an evaluation program is installed: its package's folder, version and interpreter; nothing of it is run."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from forebay.config import user_path
from forebay.errors import NotFoundError

_ASK = """
import sys
sys.path.remove('')  # the working folder
from importlib.util import find_spec
found = find_spec({!r})
print(found.origin if found and found.origin else '')
"""
_ASK_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Harness:
    """An installed program.

    Attributes:
        package: what it is imported as.
        version: as its metadata says, or "unknown".
        folder: of the package.
        python: the interpreter that runs it; None where a bare folder was given.
    """

    package: str
    version: str
    folder: Path
    python: Path | None

    def version_of(self, package: str) -> str:
        """Return the version of a package installed beside it, or "unknown"."""
        return _version(package, self.folder.parent / package)


def find(package: str, scripts: Sequence[str], python: Path | None = None) -> Harness:
    """Find an installed program.

    Args:
        package: what it is imported as.
        scripts: its commands, looked for on PATH where `python` is not given.
        python: an interpreter, an environment's folder, or the folder of the package itself.

    Raises:
        NotFoundError: it is not there.
    """
    if python is not None:
        return _given(package, python)
    for script in scripts:
        found = _on_path(script)
        interpreter = _interpreter(Path(found)) if found else None
        folder = _folder(package, interpreter) if interpreter else None
        if folder is not None:
            return Harness(package, _version(package, folder), folder, interpreter)
    own = Path(sys.executable)
    folder = _folder(package, own)
    if folder is not None:
        return Harness(package, _version(package, folder), folder, own)
    what = f"no {' or '.join(scripts)} on PATH"
    raise NotFoundError(what, subject=package, hint=f"give --python, the interpreter that has {package}")


def _given(package: str, given: Path) -> Harness:
    path = user_path(given).absolute()
    if path.name == package and (path / "__init__.py").is_file():
        return Harness(package, _version(package, path), path, None)
    inside = [path / "bin" / "python", path / "Scripts" / "python.exe"]
    interpreter = next((each for each in inside if each.exists()), path) if path.is_dir() else path
    named = _on_path(str(given)) if not interpreter.exists() and os.sep not in str(given) else None
    interpreter = Path(named) if named else interpreter
    if not interpreter.is_file():
        hint = "give a python, an environment, or the package's folder"
        raise NotFoundError(f"no interpreter {given}", subject=given, hint=hint)
    folder = _folder(package, interpreter)
    if folder is None:
        raise NotFoundError(f"{interpreter} has no {package}", subject=given, hint="install it there, or give another")
    return Harness(package, _version(package, folder), folder, interpreter)


def _on_path(name: str) -> str | None:
    import shutil

    return shutil.which(name)


def _folder(package: str, python: Path) -> Path | None:
    return _beside(package, python) or _asked(package, python)


def _beside(package: str, python: Path) -> Path | None:
    """Look where environments keep packages; what is installed otherwise (editable, say) only Python itself finds."""
    root = python.parent.parent
    folders = [*root.glob("lib/python3*/site-packages"), *root.glob("Lib/site-packages")]
    if len(folders) != 1 or not (folders[0] / package / "__init__.py").is_file():
        return None  # of several Pythons in one place each has its own
    return folders[0] / package


def _asked(package: str, python: Path) -> Path | None:
    import subprocess

    command = [str(python), "-E", "-c", _ASK.format(package)]  # not -I: what a user has installed for himself counts
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_ASK_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    origin = done.stdout.strip()
    return Path(origin).parent if origin else None


def _interpreter(script: Path) -> Path | None:
    """Return the interpreter in the first line of an installed command."""
    try:
        with script.open("rb") as file:
            head = file.read(1024).splitlines()
    except OSError:
        return None
    if head and head[0].startswith(b"#!"):
        words = os.fsdecode(head[0][2:]).split()
        if words and Path(words[0]).name.startswith("python") and Path(words[0]).is_file():
            return Path(words[0])
    places = [script.parent / "python", script.resolve().parent / "python"]  # a path with spaces starts a shell first
    return next((place for place in places if place.is_file()), None)


def _version(package: str, folder: Path) -> str:
    """Return the version that the package's metadata names."""
    stems = (package, package.replace("_", "-"))
    for found in _metadata_folders(folder.parent, stems):
        for line in (found / "METADATA").read_text("utf-8", "replace").splitlines():
            if line.startswith("Version:"):
                return line.partition(":")[2].strip()
    return "unknown"


def _metadata_folders(site: Path, stems: Iterable[str]) -> list[Path]:
    found = [path for stem in stems for path in site.glob(f"{stem}-*.dist-info")]
    return sorted(path for path in found if (path / "METADATA").is_file())
