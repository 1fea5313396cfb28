"""Finding what a recipe names: functions, by file or dotted name, and the files that they read."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from forebay.config import user_path
from forebay.errors import RecipeError
from forebay.pipeline.recipes import document, importing
from forebay.pipeline.recipes.recipe import Recipe

if TYPE_CHECKING:
    pass


def find(spelled: str, recipe: Recipe, where: str, imports: ExitStack) -> object:
    """Return the object that `ops.py:clean` or `package.module:clean` names.

    Args:
        spelled: what the recipe says.
        recipe: says what is relative to what.
        where: begins messages.
        imports: until it is closed, the object's module is where its name leads.

    Raises:
        RecipeError: it is not there, or cannot be imported.
    """
    place, colon, attribute = spelled.rpartition(":")
    if not colon:
        place, _, attribute = spelled.rpartition(".")
    if not place or not attribute or (attribute == "py" and not colon):
        raise RecipeError(f"{where}cannot find function {spelled!r}", subject=spelled,
                          hint='write "ops.py:clean" or "package.module:clean"')  # fmt: skip
    load = _from_file if place.endswith(".py") else _from_name
    module = load(place, recipe, where, imports)
    found: object = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            names = [name for name in dir(found) if not name.startswith("_")]
            raise RecipeError(f"{where}{place} has no {attribute!r}", subject=spelled,
                              hint=document.nearest(attribute, names, "define it there, or name another"))  # fmt: skip
        found = getattr(found, part)
    return found


def _folders(recipe: Recipe) -> list[Path]:
    return [recipe.base] + ([recipe.path.parent] if recipe.path else [])


def _file(place: str, recipe: Recipe, where: str) -> Path:
    """A file that a recipe names: relative to the working folder, else to the recipe's."""
    for folder in _folders(recipe):
        path = folder / user_path(place)
        if path.is_file():
            return path.resolve()
    raise _no_file(place, where)


def _no_file(place: str, where: str) -> RecipeError:
    hint = "it is relative to the working folder or to the recipe's"
    return RecipeError(f"{where}no such file: {place}", subject=place, hint=hint)


def files(places: Iterable[str], recipe: Recipe, where: str) -> list[tuple[str, Path]]:
    """Return each file that a recipe says a function reads: its label and its path; a folder stands for all below it.

    Raises:
        RecipeError: there is no such file.
    """
    found: list[tuple[str, Path]] = []
    for place in places:
        paths = [folder / user_path(place) for folder in _folders(recipe)]
        path = next((path for path in paths if path.exists()), None)
        if path is None:
            raise _no_file(place, where)
        inside = sorted(it for it in path.rglob("*") if it.is_file()) if path.is_dir() else [path]
        for file in inside:
            label = place if file == path else f"{place.rstrip('/')}/{file.relative_to(path).as_posix()}"
            found.append((label, file))
    return found


def _from_file(place: str, recipe: Recipe, where: str, imports: ExitStack) -> ModuleType:
    """Import a Python file."""
    file = _file(place, recipe, where)
    imports.enter_context(importing.own(file.parent))
    try:
        return _executed(file)
    except Exception as error:  # the user's module may raise anything while it is imported
        hint = ""
        if isinstance(error, ImportError) and "no known parent package" in str(error):
            if (file.parent / "__init__.py").is_file():
                return _from_package(file, place, where, imports)
            hint = "it is imported by itself: write `import c` instead of `from . import c`, or add an __init__.py"
        raise _cannot_import(where, place, error, hint) from error


def _from_package(file: Path, place: str, where: str, imports: ExitStack) -> ModuleType:
    """Import a Python file that imports relatively, as the part of its package that it is."""
    import importlib

    folder, name = importing.package_of(file)
    imports.enter_context(importing.own(folder))
    sys.modules.pop(name, None)  # in a long-lived process the file may have been edited since
    try:
        return importlib.import_module(name)
    except Exception as error:  # the user's module may raise anything while it is imported
        raise _cannot_import(where, place, error) from error


def _cannot_import(where: str, place: str, error: Exception, hint: str = "") -> RecipeError:
    return RecipeError(f"{where}cannot import {place}: {type(error).__name__}: {error}", subject=place, hint=hint)


def _executed(file: Path) -> ModuleType:
    import importlib.util  # only for recipes with functions of their own

    name = file.stem
    loaded = sys.modules.get(name)
    if loaded is not None and getattr(loaded, "__file__", None) == str(file):
        del sys.modules[name]  # in a long-lived process the file may have been edited since
    elif loaded is not None:
        name = f"_recipe_{name}"  # never hide another module of that name
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        # Not by the loader: it takes bytecode it has kept for the text's if size and second of the last edit agree.
        exec(compile(file.read_bytes(), str(file), "exec", dont_inherit=True), module.__dict__)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _from_name(place: str, recipe: Recipe, where: str, imports: ExitStack) -> ModuleType:
    import importlib

    folders = _folders(recipe)
    for folder in folders:
        importing.let_import(folder)
    home = next((folder for folder in folders if importing.holds(folder, place.partition(".")[0])), None)
    if home is not None:
        imports.enter_context(importing.own(home))
    try:
        return importlib.import_module(place)
    except Exception as error:  # the user's module may raise anything while it is imported
        raise _cannot_import(where, place, error) from error
