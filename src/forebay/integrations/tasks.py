"""What evaluation tasks will load: the contract between those who read a harness and those who fetch, bundle or check.

A small worked example, one task of lm-eval::

    TaskNeeds(
        name="mmlu_anatomy",
        loads=(Load("cais/mmlu", "anatomy", splits=("dev", "test")),),   # one call of load_dataset
        metrics=(),                                                      # what evaluate.load is asked for
        nltk=(),                                                         # packages of NLTK data
        gaps=(),                                                         # what nobody can know without running code
    )

Nothing here asks a network, and nothing of a harness is imported or run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal, cast

from forebay.errors import InputError
from forebay.hub.cards import CARD_FILES, file_texts
from forebay.hub.reference import Reference, parse
from forebay.types import JSON

HubOfLoad = Literal["hf", "ms"]

BUILDERS = {"json", "csv", "parquet", "text", "arrow", "pandas", "xml", "webdataset", "imagefolder", "audiofolder"}
"""What `load_dataset` takes for a format instead of a repository; the data are then the files it is given."""

REPOSITORY = re.compile(r"[\w][\w.-]*/[\w][\w.-]*")


@dataclass(frozen=True, slots=True)
class Gap:
    """Something a task needs that cannot be told without running its code.

    Attributes:
        what: the part of the task: a function, a path, a metric.
        why: why it cannot be resolved.
        hint: what to do about it, or "".
    """

    what: str
    why: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.what}: {self.why}" + (f"; {self.hint}" if self.hint else "")


@dataclass(frozen=True, slots=True)
class Metric:
    """One call of `evaluate.load`: the metric's name and its configuration."""

    name: str
    config: str | None = None


def _no_options() -> Mapping[str, JSON]:
    return {}


@dataclass(frozen=True, slots=True)
class Load:
    """One call of `datasets.load_dataset` (or of ModelScope's, with `hub` "ms"), as the harness will make it.

    Attributes:
        path: repository, builder (``json`` …) or, where tasks are one's own, a local path.
        name: configuration, or None.
        options: other arguments: ``data_files``, ``data_dir``, ``revision`` …
        splits: those the task will look into.
        hub: whom the harness will ask.
    """

    path: str
    name: str | None = None
    options: Mapping[str, JSON] = field(default_factory=_no_options)
    splits: tuple[str, ...] = ()
    hub: HubOfLoad = "hf"

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Load:
        """Return what `Closure.to_json` wrote."""
        return cls(told["path"], told["name"], told["options"], tuple(told["splits"]), told["hub"])

    @property
    def call(self) -> str:
        """The call without its splits, as a key."""
        import json

        return json.dumps([self.hub, self.path, self.name, self.options], sort_keys=True)

    def __str__(self) -> str:
        named = f"#{self.name}" if self.name else ""
        files = self.options.get("data_files")
        return f"{self.path}{named}" + (f" ({', '.join(file_texts(files))})" if files else "")


@dataclass(frozen=True, slots=True)
class TaskNeeds:
    """All that one task needs.

    Attributes:
        name: of the task, as the harness calls it.
        loads: datasets.
        metrics: of `evaluate`.
        nltk: packages of NLTK data.
        models: repositories of models (tokenizers, mostly) on the Hugging Face hub.
        urls: addresses that its code fetches.
        gaps: what is not known.
    """

    name: str
    loads: tuple[Load, ...] = ()
    metrics: tuple[Metric, ...] = ()
    nltk: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    gaps: tuple[Gap, ...] = ()

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> TaskNeeds:
        """Return what `Closure.to_json` wrote."""
        return cls(
            name=told["name"],
            loads=tuple(Load.from_json(each) for each in told["loads"]),
            metrics=tuple(Metric(**each) for each in told["metrics"]),
            nltk=tuple(told["nltk"]),
            models=tuple(told["models"]),
            urls=tuple(told["urls"]),
            gaps=tuple(Gap(**each) for each in told["gaps"]),
        )


@dataclass(frozen=True, slots=True)
class Want:
    """Something to fetch, and for whom.

    Attributes:
        reference: a repository (with a configuration where only that is wanted), or a URL.
        patterns: files of it that are wanted; none: those of the configuration, or all.
        tasks: who wants it.
    """

    reference: Reference
    patterns: tuple[str, ...]
    tasks: tuple[str, ...]


@dataclass(frozen=True)
class Closure:
    """What a list of tasks needs.

    Attributes:
        tool: ``lm-eval`` or ``evalscope``.
        version: of the harness that was read.
        asked: the names that were asked for (tasks, groups, tags, patterns), and the tasks that each stands for.
        tasks: all of them, sorted by name.
    """

    tool: str
    version: str
    asked: tuple[tuple[str, tuple[str, ...]], ...]
    tasks: tuple[TaskNeeds, ...]

    @cached_property
    def loads(self) -> tuple[Load, ...]:
        """Each distinct call once, with the splits of all tasks."""
        found: dict[str, Load] = {}
        for load in (load for task in self.tasks for load in task.loads):
            known = found.get(load.call)
            splits = tuple(dict.fromkeys((*(known.splits if known else ()), *load.splits)))
            found[load.call] = Load(load.path, load.name, load.options, splits, load.hub)
        return tuple(found.values())

    @cached_property
    def metrics(self) -> tuple[Metric, ...]:
        """Each distinct metric once."""
        return tuple(dict.fromkeys(metric for task in self.tasks for metric in task.metrics))

    @cached_property
    def nltk(self) -> tuple[str, ...]:
        """Each package of NLTK data once."""
        return tuple(dict.fromkeys(package for task in self.tasks for package in task.nltk))

    @cached_property
    def gaps(self) -> tuple[tuple[Gap, tuple[str, ...]], ...]:
        """What is not known, and the tasks it is about."""
        found: dict[Gap, list[str]] = {}
        for task in self.tasks:
            for gap in task.gaps:
                found.setdefault(gap, []).append(task.name)
        return tuple((gap, tuple(names)) for gap, names in found.items())

    @cached_property
    def wants(self) -> tuple[Want, ...]:
        """What to fetch: sorted, each thing once."""
        found: dict[tuple[str, tuple[str, ...]], tuple[Reference, list[str]]] = {}
        for task in self.tasks:
            for reference, patterns in _wanted(task):
                _, names = found.setdefault((str(reference), patterns), (reference, []))
                if task.name not in names:
                    names.append(task.name)
        rows = sorted(found.items(), key=lambda row: row[0])
        return tuple(Want(reference, patterns, tuple(names)) for (_, patterns), (reference, names) in rows)

    def to_json(self) -> dict[str, JSON]:
        """Return it as JSON, for `--json` and for the store."""
        tasks = [asdict(task) for task in self.tasks]
        asked: dict[str, JSON] = {name: list(members) for name, members in self.asked}
        return {"tool": self.tool, "version": self.version, "asked": asked, "tasks": cast("list[JSON]", tasks)}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Closure:
        """Return the closure that `to_json` wrote.

        Raises:
            KeyError, TypeError: it is none.
        """
        tasks = tuple(TaskNeeds.from_json(task) for task in told["tasks"])
        asked = tuple((name, tuple(members)) for name, members in told["asked"].items())
        return cls(told["tool"], told["version"], asked, tasks)


def trouble_with(load: Load) -> Gap | None:
    """Tell why nothing can be fetched for a load, or None where it can."""
    what = f"dataset {load.path}" if load.path else "dataset"
    if load.path in BUILDERS:
        try:
            far = [text for text in file_texts(load.options.get("data_files")) if "://" in text]
            for text in far:
                parse(_without_glob(text))
        except InputError as error:
            return Gap(what, str(error))
        return None if far else Gap(what, "the files are local ones, or chosen by code", "copy them along yourself")
    if load.path.startswith(("/", ".", "~")):
        return Gap(what, "a path on this machine", "copy it along yourself")
    if not REPOSITORY.fullmatch(load.path):
        bare = "no namespace: today's huggingface_hub refuses it (HfUriError), online too"
        why = bare if load.path else "no dataset is named"
        return Gap(what, why, "look its NAMESPACE/NAME up on the hub, and write that into the task")
    return None


def _wanted(task: TaskNeeds) -> Iterable[tuple[Reference, tuple[str, ...]]]:
    from forebay.integrations import metrics, nltk

    for load in task.loads:
        if trouble_with(load) is None:
            yield from _wanted_by(load)
    for metric in task.metrics:
        yield metrics.reference(metric), ()
    for package in task.nltk:
        yield nltk.reference(package), ()
    for model in task.models:
        yield Reference("hf", "model", model), ()
    for url in task.urls:
        yield parse(url), ()


def _wanted_by(load: Load) -> Iterable[tuple[Reference, tuple[str, ...]]]:
    revision = load.options.get("revision")
    revision = revision if isinstance(revision, str) else None
    if load.path not in BUILDERS:
        files = file_texts(load.options.get("data_files"))
        patterns = (*CARD_FILES, *files) if files else ()
        yield Reference(load.hub, "dataset", load.path, revision, "" if files else load.name or ""), patterns
        return
    for text in file_texts(load.options.get("data_files")):
        reference = parse(_without_glob(text))
        if reference.hub in ("hf", "ms"):
            pattern = text[len(_without_glob(text)) :].strip("/")
            yield reference.whole, ("/".join(part for part in (reference.path, pattern) if part),)
        else:
            yield reference, ()


def _without_glob(text: str) -> str:
    """Return the part of an address before the first folder or file that is a pattern; URLs keep their query."""
    if text.startswith(("http://", "https://")):
        return text
    parts = text.split("/")
    plain = [index for index, part in enumerate(parts) if any(mark in part for mark in "*[{")]
    return "/".join(parts[: plain[0]]) if plain else text
