"""evalscope: from benchmark names to what they load, by reading what the installed program says of itself.

``benchmarks/_meta/NAME.json`` tells id, subsets and splits; ``benchmarks/_index.json`` tells in which file a benchmark
is registered, whose text tells revisions and the other hub's id. None of its code is run.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from forebay.errors import NotFoundError
from forebay.integrations import harness as harnesses
from forebay.integrations import nltk
from forebay.integrations.harness import Harness
from forebay.integrations.reading import Found, Module, Reader, dotted_name
from forebay.integrations.remembering import Remembered
from forebay.integrations.tasks import REPOSITORY, Closure, Gap, HubOfLoad, Load, TaskNeeds
from forebay.integrations.trees import state_of

if TYPE_CHECKING:
    from forebay.store import Store
    from forebay.types import JSON, Key

TOOL = "evalscope"


def find(python: Path | None = None) -> Harness:
    """Find evalscope: the interpreter (or environment, or package folder) given, else the `evalscope` on PATH.

    Raises:
        NotFoundError: it is not installed there.
    """
    return harnesses.find("evalscope", ("evalscope",), python)


def resolve(asked: Sequence[str], harness: Harness, store: Store | None = None, hub: HubOfLoad = "ms") -> Closure:
    """Return what benchmarks need; what is known of this program is looked up.

    Args:
        asked: names or patterns, as after ``evalscope eval --datasets``.
        harness: see `find`.
        store: remembers each answer; None: nothing is remembered.
        hub: whom it will ask: ``ms``, or ``hf`` as with ``--dataset-hub huggingface``.

    Raises:
        NotFoundError: a name is none of its benchmarks.
    """
    known = _known(harness, store)

    def read() -> JSON:
        return Benchmarks(harness, hub).closure(asked).to_json()

    return Closure.from_json(cast("Any", known.get(["closure", hub, *asked], read)))


def remembered(asked: Sequence[str], harness: Harness, hub: HubOfLoad = "ms") -> list[Key]:
    """Return the keys under which a store remembers what `resolve` read for the same arguments."""
    return [_known(harness, None).key(["closure", hub, *asked])]


def _known(harness: Harness, store: Store | None) -> Remembered:
    return Remembered(store, TOOL, harness.version, state_of([harness.folder / "benchmarks"]))


@dataclass
class Benchmarks:
    """The benchmarks of an installed evalscope.

    Attributes:
        harness: where it is.
        hub: whom it will ask.
    """

    harness: Harness
    hub: HubOfLoad = "ms"

    def __post_init__(self) -> None:
        self._folder = self.harness.folder / "benchmarks"
        self._reader = Reader({"evalscope.benchmarks": self._folder})

    @cached_property
    def names(self) -> tuple[str, ...]:
        """All of them, sorted."""
        return tuple(sorted(path.stem for path in (self._folder / "_meta").glob("*.json")))

    @cached_property
    def _index(self) -> Mapping[str, str]:
        try:
            told = json.loads((self._folder / "_index.json").read_bytes())
        except (OSError, ValueError):
            return {}
        return cast("dict[str, str]", told) if isinstance(told, dict) else {}

    def closure(self, asked: Sequence[str]) -> Closure:
        """Return what benchmarks need.

        Raises:
            NotFoundError: a name is none of them.
        """
        members = {name: self._meant(name) for name in asked}
        tasks = sorted({task for each in members.values() for task in each})
        return Closure(TOOL, self.harness.version, tuple(members.items()), tuple(self.needs(task) for task in tasks))

    def _meant(self, name: str) -> tuple[str, ...]:
        found = tuple(each for each in self.names if each == name or fnmatchcase(each, name))
        if not found:
            import difflib

            near = difflib.get_close_matches(name, self.names, n=2)
            has = f"evalscope {self.harness.version} has {len(self.names)}"
            hint = f"did you mean {' or '.join(near)}?" if near else has
            raise NotFoundError(f"no evalscope benchmark {name!r}", subject=name, hint=hint)
        return found

    def needs(self, name: str) -> TaskNeeds:
        """Return what one benchmark needs."""
        try:
            meta = cast("dict[str, Any]", json.loads((self._folder / "_meta" / f"{name}.json").read_bytes())["meta"])
        except (OSError, ValueError, KeyError) as error:
            return TaskNeeds(name, gaps=(Gap(f"benchmark {name}", f"its description cannot be read: {error}"),))
        words, found = self._code(name)
        id = str((words.get("hf_dataset_id") if self.hub == "hf" else None) or meta.get("dataset_id") or "")  # noqa: A001 - the hubs' word
        gaps = list(dict.fromkeys(found.gaps))
        if meta.get("requires_local_dataset") or not REPOSITORY.fullmatch(id) or id == name:
            why = f"its data are at {id}" if "://" in id else "its data are files of your own"
            return TaskNeeds(name, gaps=(Gap(f"benchmark {name}", why, "copy them along yourself"),))
        gaps += [Gap(f"NLTK package {each}", "is not known") for each in found.nltk if not nltk.known(each)]
        return TaskNeeds(
            name,
            loads=tuple(self._loads(meta, id, words)),
            metrics=tuple(found.metrics),
            nltk=tuple(each for each in found.nltk if nltk.known(each)),
            models=tuple(found.models),
            urls=tuple(found.urls),
            gaps=tuple(gaps),
        )

    def _loads(self, meta: Mapping[str, Any], id: str, words: Mapping[str, object]) -> list[Load]:  # noqa: A002
        few = meta.get("few_shot_num") or 0
        splits = [meta.get("eval_split"), meta.get("train_split") if few else None]
        used = tuple(dict.fromkeys(split for split in splits if split))
        revision = words.get("hf_dataset_revision") if self.hub == "hf" else None
        revision = revision or words.get("dataset_revision")
        options: dict[str, JSON] = {"revision": revision} if isinstance(revision, str) else {}
        default = str(words.get("default_subset") or "default")
        subsets = [default] if words.get("reformat_subset") else list(meta.get("subset_list") or [default])
        if words.get("split_as_subset"):
            used, subsets = tuple(subsets), [default]
        names = [None if subset == "default" else str(subset) for subset in subsets]
        return [Load(id, name, options, used, self.hub) for name in dict.fromkeys(names)]

    def _code(self, name: str) -> tuple[dict[str, object], Found]:
        """Return the literals with which a benchmark is registered, and what its class loads."""
        dotted = self._index.get(name, "")
        place = self._reader.locate(dotted, self._folder) if dotted else None
        module = self._reader.module(place[0]) if place else None
        if module is None:
            return {}, Found()
        for made in module.definitions.values():
            words = _registered(made, name)
            if words is not None and isinstance(made, ast.ClassDef):
                return words | _switches(module, made), self._reader.reach(module.file, made.name)
        return {}, Found()


def _registered(made: ast.stmt, name: str) -> dict[str, object] | None:
    """Return the literal arguments of the `BenchmarkMeta` that registers a class under a name, or None."""
    if not isinstance(made, ast.ClassDef):
        return None
    for node in (node for each in made.decorator_list for node in ast.walk(each)):
        if isinstance(node, ast.Call) and dotted_name(node.func).endswith("BenchmarkMeta"):
            words: dict[str, object] = {}
            for word in node.keywords:
                if word.arg and isinstance(word.value, ast.Constant):
                    words[word.arg] = word.value.value
            if words.get("name") == name:
                return words
    return None


def _switches(module: Module, made: ast.ClassDef) -> dict[str, object]:
    """Return what a class, or one of its bases in the same file, sets of itself to True."""
    bases = [module.definitions.get(dotted_name(base)) for base in made.bases]
    found: dict[str, object] = {}
    for base in bases:
        if isinstance(base, ast.ClassDef) and base is not made:
            found |= _switches(module, base)
    for node in ast.walk(made):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            for target in node.targets:
                if dotted_name(target) in ("self.reformat_subset", "self.split_as_subset"):
                    found[dotted_name(target).removeprefix("self.")] = node.value.value
    return found
