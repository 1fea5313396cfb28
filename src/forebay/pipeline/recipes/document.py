"""A YAML document as plain values that remember on which line each key and list item stood."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from forebay.errors import RecipeError


@dataclass(frozen=True, slots=True)
class Document:
    """Values of a recipe; `lines` maps a path such as ``("process", 3)`` to its line, from 1."""

    values: dict[str, object]
    lines: dict[tuple[object, ...], int]
    path: Path | None

    def line(self, *path: object) -> int:
        """Return the line of a key or list item, or 0 where it has none."""
        return self.lines.get(path, 0)

    def where(self, *path: object) -> str:
        """Return ``recipe.yaml:12: `` to begin a message with, or ""."""
        if self.path is None:
            return ""
        line = self.line(*path)
        return f"{self.path.name}:{line}: " if line else f"{self.path.name}: "

    def override(self, text: str) -> None:
        """Set one value in place: ``process.3.text_length_filter.min_len=20``.

        Raises:
            RecipeError: not of that form, or the path leads nowhere.
        """
        dotted, equals, value = text.partition("=")
        if not equals or not dotted:
            raise RecipeError(f"not an override: {text!r}", subject=text, hint="write key=value, e.g. np=2")
        parts = dotted.strip().split(".")
        target: object = self.values
        for depth, part in enumerate(parts[:-1]):
            target = _descend(target, part, ".".join(parts[: depth + 1]), text, parts[depth + 1])
        new = _scalar(value, text)
        if isinstance(target, list):
            items = cast("list[object]", target)
            items[_index(items, parts[-1], text)] = new
        elif isinstance(target, dict):
            cast("dict[str, object]", target)[parts[-1]] = new
        else:
            raise RecipeError(f"override {text!r}: nothing can be set there", subject=text)


def parse(text: str, path: Path | None) -> Document:
    """Parse YAML (or JSON, which is YAML) with line numbers.

    Raises:
        RecipeError: not YAML, or not a mapping of text keys.
    """
    import yaml  # here, because most commands read no recipe

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
    name = path.name if path else "recipe"
    try:
        node = loader.get_single_node()
        values = loader.construct_document(node) if node is not None else {}
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise RecipeError(f"{name}:{line}: not YAML: {error.problem}", subject=path) from error
    except (yaml.YAMLError, ValueError) as error:
        raise RecipeError(f"{name}: not YAML: {error}", subject=path) from error
    finally:
        loader.dispose()
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in cast("dict[object, object]", values)):
        raise RecipeError(f"{name}: a recipe is a mapping of names", subject=path, hint="begin with dataset_path: …")
    lines: dict[tuple[object, ...], int] = {}
    _mark(node, (), lines, yaml)
    return Document(cast("dict[str, object]", values), lines, path)


def nearest(name: str, known: Iterable[str], otherwise: str = "see the recipe's documentation for known names") -> str:
    """Return ``did you mean X?`` for the nearest known name, or a hint where to look."""
    from difflib import get_close_matches  # slow to import, and only for a mistake

    close = get_close_matches(name, sorted(known), n=1, cutoff=0.6)
    return f"did you mean {close[0]}?" if close else otherwise


def _mark(node: Any, path: tuple[object, ...], lines: dict[tuple[object, ...], int], yaml: Any) -> None:
    """Note the lines of keys and items, three levels deep: enough for an operator's parameters."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            lines[(*path, key.value)] = key.start_mark.line + 1
            if len(path) < 3:
                _mark(value, (*path, key.value), lines, yaml)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            lines[(*path, index)] = item.start_mark.line + 1
            if len(path) < 3:
                _mark(item, (*path, index), lines, yaml)


def _descend(target: object, part: str, so_far: str, text: str, following: str) -> object:
    if isinstance(target, list):
        items = cast("list[object]", target)
        index = _index(items, part, text)
        if isinstance(items[index], str):  # an operator written as a bare name gets parameters now
            items[index] = {items[index]: {}}
        item = items[index]
        if isinstance(item, dict) and part in item and following not in item:
            # process.text_length_filter.min_len: who names the operator means its parameters
            return _descend(cast("dict[str, object]", item), part, so_far, text, following)
        return item
    if isinstance(target, dict):
        values = cast("dict[str, object]", target)
        if values.get(part) is None:
            values[part] = {}
        return values[part]
    raise RecipeError(f"override {text!r}: {so_far} does not lead to {following!r}", subject=text)


def _index(items: list[object], part: str, text: str) -> int:
    """A list position: its number from 0, or an operator's name."""
    if part.isdigit() and int(part) < len(items):
        return int(part)
    named = [at for at, item in enumerate(items) if item == part or (isinstance(item, dict) and part in item)]
    if len(named) > 1:
        hint = f"say which by its number, from 0: {', '.join(map(str, named))}"
        raise RecipeError(f"override {text!r}: {len(named)} items are {part!r}", subject=text, hint=hint)
    if named:
        return named[0]
    raise RecipeError(
        f"override {text!r}: no item {part!r} in a list of {len(items)}", subject=text, hint="count from 0"
    )


def _scalar(value: str, text: str) -> object:
    import yaml  # here, because most commands read no recipe

    try:
        found: object = yaml.load(value, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise RecipeError(f"override {text!r}: the value is not YAML", subject=text) from error
    except UnicodeEncodeError:  # a file whose name is not in UTF-8
        return value
    plain = isinstance(found, str) and not value.lstrip().startswith(("'", '"', "!", "|", ">", "&"))
    return value.strip() if plain else found  # of a plain text all counts: "my data #1" ends in no comment
