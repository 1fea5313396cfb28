"""The tasks of an installed lm-eval, read from its files: names to configurations, configurations to needs.

Imported only where nobody has read them before: it takes the YAML parser and Python's own.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias, cast

from forebay.errors import NotFoundError
from forebay.integrations import nltk, task_names
from forebay.integrations.harness import Harness
from forebay.integrations.lm_eval import TOOL, task_folders
from forebay.integrations.reading import Found, Reader, dotted_name
from forebay.integrations.task_names import Named
from forebay.integrations.task_yaml import Function, TaskFiles
from forebay.integrations.tasks import Closure, Gap, Load, Metric, TaskNeeds, trouble_with

_GROUP_KEYS = {"group", "group_alias", "task", "aggregate_metric_list", "metadata", "num_fewshot"}
_SPLITS = ("training_split", "validation_split", "test_split", "fewshot_split")
_GLOB = set("*?[")
_DATA = {"dataset_path", "custom_dataset", "class"}
"""A task without any of these keys has no data."""

Configuration: TypeAlias = dict[str, Any]
Expanded: TypeAlias = "tuple[str, Configuration | Gap]"
"""A task's name with its configuration, or with the reason why there is none."""


@dataclass
class Tasks:
    """The tasks of an installed lm-eval.

    Attributes:
        harness: where it is.
        include: folders of one's own tasks; they win over the harness's.
        index: what the names are, if that is known already.
    """

    harness: Harness
    include: tuple[Path, ...] = ()
    index: dict[str, Named] | None = None

    def __post_init__(self) -> None:
        self._files = TaskFiles()
        packages = {"lm_eval.tasks": self.harness.folder / "tasks"}
        self._reader = Reader(packages)
        self._open: set[str] = set()
        """Groups whose members are being looked up."""

    @cached_property
    def names(self) -> dict[str, Named]:
        """Every name and what it stands for."""
        if self.index is not None:
            return self.index
        return task_names.build(task_folders(self.harness.folder, self.include))

    @property
    def files(self) -> set[Path]:
        """Every file that was looked at."""
        return {*self._files.files, *self._reader.files}

    @cached_property
    def _group_keys(self) -> set[str]:
        """Keys of a group's file that are the group's; all others go to its tasks."""
        module = self._reader.module(self.harness.folder / "config" / "group.py")
        made = module.definitions.get("GroupConfig") if module else None
        if not isinstance(made, ast.ClassDef):
            return _GROUP_KEYS
        targets = [each.target for each in made.body if isinstance(each, ast.AnnAssign)]
        return {target.id for target in targets if isinstance(target, ast.Name)}

    @cached_property
    def _own_metrics(self) -> set[str]:
        """Metrics that the harness computes itself."""
        module = self._reader.module(self.harness.folder / "api" / "metrics.py")
        made = module.definitions.values() if module else ()
        calls = [
            call
            for each in made
            if isinstance(each, ast.FunctionDef)
            for call in each.decorator_list
            if isinstance(call, ast.Call) and dotted_name(call.func).endswith("register_metric")
        ]
        words = [word for call in calls for word in call.keywords if word.arg == "metric"]
        return {str(word.value.value) for word in words if isinstance(word.value, ast.Constant)}

    def closure(self, asked: Sequence[str]) -> Closure:
        """Return what tasks, groups, tags, patterns or YAML files need.

        Raises:
            NotFoundError: a name is none of these.
        """
        found: dict[str, TaskNeeds] = {}
        members: dict[str, tuple[str, ...]] = {}
        for name in asked:
            met = list(self.expand(name))
            members[name] = tuple(dict.fromkeys(task for task, _ in met))
            for task, configuration in met:
                if task not in found:
                    found[task] = self.needs(task, configuration)
        tasks = tuple(found[name] for name in sorted(found))
        return Closure(TOOL, self.harness.version, tuple(members.items()), tasks)

    # Names to configurations

    def expand(self, name: str) -> Iterator[Expanded]:
        """Yield the tasks that a name stands for, each with its configuration.

        Raises:
            NotFoundError: there is no such name.
        """
        if _GLOB & set(name):
            met = sorted(each for each in self.names if fnmatchcase(each, name))
            if not met:
                raise NotFoundError(f"no lm-eval task matches {name!r}", subject=name, hint=self._hint)
            for each in met:
                yield from self._named(each, {})
        elif name in self.names:
            yield from self._named(name, {})
        elif name.endswith((".yaml", ".yml")) and Path(name).is_file():
            yield from self._file(Path(name).absolute())
        else:
            raise NotFoundError(f"no lm-eval task, group or tag {name!r}", subject=name, hint=self._instead_of(name))

    def _instead_of(self, name: str) -> str:
        """Say what to do about a name that there is not."""
        import difflib

        files = (path for folder in self.include for path in folder.rglob("*.yaml") if path.stem == name)
        for path in files:  # as the harness does, the index leaves out what cannot be read
            try:
                self._files.load(path)
            except (OSError, ValueError) as error:
                return f"{path} is there, but cannot be used: {error}"
        near = difflib.get_close_matches(name, self.names, n=2)
        return f"did you mean {' or '.join(near)}?" if near else self._hint

    @property
    def _hint(self) -> str:
        return f"lm-eval {self.harness.version} knows {len(self.names)} names: lm_eval ls tasks"

    def _file(self, path: Path) -> Iterator[Expanded]:
        try:
            told = self._files.load(path)
        except (OSError, ValueError) as error:
            raise NotFoundError(f"no task in {path}: {error}", subject=path, hint="give a task's YAML file") from error
        if "class" not in told and "group" in told:
            yield from self._group(str(told["group"]), told, {})
        else:
            yield str(told.get("task", path.stem)), told

    def _named(self, name: str, overrides: Configuration) -> Iterator[Expanded]:
        named = self.names[name]
        if named.kind == "tag":
            for member in sorted(named.members):
                if member in self.names:
                    yield from self._named(member, overrides)
            return
        assert named.file is not None
        try:
            told = self._files.load(named.file)
        except (OSError, ValueError) as error:
            yield name, Gap(f"file {named.file.name}", str(error), "the harness cannot read it either")
            return
        if named.kind == "group" and name in self._open:
            yield name, Gap(f"group {name}", "is a member of itself")
        elif named.kind == "group":
            self._open.add(name)
            yield from self._group(name, told, overrides)
            self._open.remove(name)
        else:
            whole = {**told, **overrides}
            yield str(whole.get("task", name)), whole

    def _group(self, name: str, told: Configuration, overrides: Configuration) -> Iterator[Expanded]:
        own = {key: value for key, value in told.items() if key not in self._group_keys}
        merged = {**own, **overrides}
        members = told.get("task")
        if not isinstance(members, list) or not members:
            yield name, Gap(f"group {name}", "names no list of tasks")
            return
        for member in cast("list[Any]", members):
            yield from self._member(name, member, merged)

    def _member(self, group: str, member: object, overrides: Configuration) -> Iterator[Expanded]:
        if isinstance(member, str):
            base, item = member, overrides
        elif isinstance(member, dict) and "group" in member:
            inner = cast("Configuration", member)
            name = str(inner["group"])
            if name in self.names:
                yield from self._named(name, {**overrides, **{key: inner[key] for key in inner if key != "group"}})
            else:
                yield from self._group(f"{group}::{name}", inner, overrides)
            return
        elif isinstance(member, dict) and "task" in member:
            inner = cast("Configuration", member)
            base, item = str(inner["task"]), {**overrides, **inner}
        else:
            yield group, Gap(f"group {group}", f"has a member that is neither task nor group: {member!r}")
            return
        if base not in self.names:
            name = f"{group}::{base}"
            if isinstance(member, str) and not _DATA & item.keys():
                what = f"has a member {base!r} that is no task, group or tag"
                yield name, Gap(f"group {group}", what, self._instead_of(base))
            else:
                yield name, {**item, "task": name}
        elif self.names[base].kind == "group":
            yield from self._named(base, item)
        elif self.names[base].kind == "tag":
            for each in sorted(self.names[base].members):
                yield from self._named(each, {"task": each, **item})
        else:
            yield from self._named(base, {"task": base, **item})

    # Configurations to needs

    def needs(self, task: str, configuration: Configuration | Gap) -> TaskNeeds:
        """Return what one task needs."""
        if isinstance(configuration, Gap):
            return TaskNeeds(task, gaps=(configuration,))
        unusable = _unusable(configuration)
        if unusable is not None:
            return TaskNeeds(task, gaps=(unusable,))
        found = self._read_functions(configuration)
        for load in self._loads(configuration, found):
            if not any(load.call == known.call for known in found.loads):
                found.loads.append(load)
        found.metrics += [each for each in self._metrics(configuration) if each not in found.metrics]
        found.gaps += [gap for load in found.loads if (gap := trouble_with(load)) is not None and gap not in found.gaps]
        found.gaps += [Gap(f"NLTK package {name}", "is not known") for name in found.nltk if not nltk.known(name)]
        return TaskNeeds(
            task,
            tuple(load for load in found.loads if trouble_with(load) is None),
            tuple(found.metrics),
            tuple(name for name in found.nltk if nltk.known(name)),
            tuple(found.models),
            tuple(found.urls),
            tuple(found.gaps),
        )

    def _read_functions(self, configuration: Configuration) -> Found:
        found = Found()
        for function in _functions(configuration.values()):
            file, name = function.file, function.attribute
            if self._reader.module(file) is None and not file.is_file():
                place = self._reader.locate(function.name, function.folder / "task.yaml")
                if place is None:  # a function of an installed package: nothing of the harness's
                    continue
                file, name = place
            found.add(self._reader.reach(file, name))
        return found

    def _loads(self, configuration: Configuration, found: Found) -> Iterator[Load]:
        made = configuration.get("class")
        custom = configuration.get("custom_dataset")
        if made is not None:
            yield from self._class_loads(made, configuration, found)
        elif isinstance(custom, Function):
            if not found.loads:
                named = [*found.repositories, *found.addresses]
                why = "a function makes the dataset" + (f"; it names {', '.join(named[:3])}" if named else "")
                found.gaps.insert(0, Gap(f"custom_dataset {custom}", why, "see the task's README for what it loads"))
        else:
            yield _load(configuration)

    def _class_loads(self, made: object, configuration: Configuration, found: Found) -> Iterator[Load]:
        what = f"class {made}"
        if not isinstance(made, Function):
            found.gaps.append(Gap(what, "a Python class that is not in a file of the task"))
            return
        attributes, methods = self._class(made.file, made.attribute)
        path = attributes.get("DATASET_PATH", configuration.get("dataset_path"))
        if "download" in methods or not isinstance(path, str):
            found.gaps.append(Gap(what, "a Python class that loads its data itself", "see the task's README"))
            return
        told: Configuration = {"dataset_path": path, "dataset_name": attributes.get("DATASET_NAME")}
        yield _load({**configuration, **told})

    def _class(self, file: Path, name: str) -> tuple[dict[str, object], set[str]]:
        """Return the literal attributes and the methods of a class and its bases, as far as they stand in its file."""
        module = self._reader.module(file)
        made = module.definitions.get(name) if module else None
        if module is None or not isinstance(made, ast.ClassDef):
            return {}, set()
        attributes: dict[str, object] = {}
        methods: set[str] = set()
        for base in reversed(made.bases):
            if dotted_name(base) in module.definitions and dotted_name(base) != name:
                inherited, theirs = self._class(file, dotted_name(base))
                attributes |= inherited
                methods |= theirs
        for each in made.body:
            if isinstance(each, ast.FunctionDef):
                methods.add(each.name)
            elif isinstance(each, ast.Assign) and isinstance(each.value, ast.Constant):
                attributes |= {target.id: each.value.value for target in each.targets if isinstance(target, ast.Name)}
        return attributes, methods

    def _metrics(self, configuration: Configuration) -> Iterator[Metric]:
        told = configuration.get("metric_list")
        if configuration.get("process_results") is not None or not isinstance(told, list):
            return
        for each in cast("list[Any]", told):
            name = each.get("metric") if isinstance(each, dict) else None
            if isinstance(name, str) and (each.get("hf_evaluate") is True or name not in self._own_metrics):
                yield Metric(name)


def _unusable(configuration: Configuration) -> Gap | None:
    """Tell why no load can be called with the ``dataset_kwargs`` of a task, or None where one can."""
    options = configuration.get("dataset_kwargs")
    if not options or configuration.get("custom_dataset") is not None:  # a function takes anything
        return None
    if not isinstance(options, dict):
        return Gap(f"dataset_kwargs {options!r}", "is no mapping; the harness fails, too")
    for name, value in cast("dict[object, object]", options).items():
        try:
            json.dumps({name: value}, sort_keys=True)
        except (TypeError, ValueError):
            return Gap("dataset_kwargs", f"{name} holds more than text, numbers, lists and mappings", "quote a date")
        if not isinstance(name, str):
            return Gap("dataset_kwargs", f"{name!r} is not the name of an argument", "quote it")
    return None


def _load(configuration: Mapping[str, Any]) -> Load:
    options = dict(configuration.get("dataset_kwargs") or {})
    options.pop("trust_remote_code", None)  # as the harness does; nothing runs such scripts any more
    splits = [configuration.get(name) for name in _SPLITS]
    few = configuration.get("fewshot_config")
    splits.append(few.get("split") if isinstance(few, dict) else None)
    used = tuple(dict.fromkeys(split for split in splits if isinstance(split, str)))
    name = configuration.get("dataset_name")
    return Load(str(configuration.get("dataset_path") or ""), str(name) if name is not None else None, options, used)


def _functions(values: Iterable[object]) -> Iterator[Function]:
    """Yield the functions anywhere within configuration values."""
    for value in values:
        if isinstance(value, Function):
            yield value
        elif isinstance(value, dict):
            yield from _functions(cast("dict[str, object]", value).values())
        elif isinstance(value, list):
            yield from _functions(cast("list[object]", value))
