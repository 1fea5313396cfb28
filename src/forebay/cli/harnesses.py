"""Options that name evaluation tasks, for every command that takes them, and what came of looking those tasks up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from forebay import text
from forebay.cli.columns import Column
from forebay.cli.paths import PathType
from forebay.cli.session import say_sentence, show_table

if TYPE_CHECKING:
    from forebay.hub import FetchOptions, Hub, Snapshot
    from forebay.hub.lock import Lock
    from forebay.integrations.harness import Harness
    from forebay.integrations.outlook import Outlook
    from forebay.integrations.tasks import Closure, Gap, HubOfLoad
    from forebay.store import Store
    from forebay.types import Key

Callback = TypeVar("Callback", bound=Callable[..., Any])
GapKind = TypeVar("GapKind", bound="Gap")

_MOST_GAPS = 20
_NAMES = ("lm_eval", "evalscope", "python", "include_path", "dataset_hub")


@dataclass(frozen=True, slots=True)
class Asked:
    """Tasks that a user named.

    Attributes:
        lm_eval, evalscope: names, groups, tags, patterns.
        python: where both are installed; None: what is on PATH.
        include_path: folders of lm-eval tasks of one's own.
        dataset_hub: whom evalscope will ask: ``modelscope`` or ``huggingface``.
    """

    lm_eval: tuple[str, ...] = ()
    evalscope: tuple[str, ...] = ()
    python: Path | None = None
    include_path: tuple[Path, ...] = ()
    dataset_hub: str = "modelscope"

    def __bool__(self) -> bool:
        return bool(self.lm_eval or self.evalscope)

    def closures(self, store: Store | None) -> list[tuple[Harness, Closure]]:
        """Return what the tasks need, by harness.

        Raises:
            NotFoundError: a harness is not installed, or has no such task.
        """
        from forebay.integrations import evalscope, lm_eval

        found: list[tuple[Harness, Closure]] = []
        if self.lm_eval:
            harness = lm_eval.find(self.python)
            found.append((harness, lm_eval.resolve(self.lm_eval, harness, store, self.include_path)))
        if self.evalscope:
            harness = evalscope.find(self.python)
            found.append((harness, evalscope.resolve(self.evalscope, harness, store, self._evalscope_hub)))
        return found

    def remembered(self) -> list[Key]:
        """Return the keys under which a store remembers `closures`."""
        from forebay.integrations import evalscope, lm_eval

        keys: list[Key] = []
        if self.lm_eval:
            keys += lm_eval.remembered(self.lm_eval, lm_eval.find(self.python), self.include_path)
        if self.evalscope:
            keys += evalscope.remembered(self.evalscope, evalscope.find(self.python), self._evalscope_hub)
        return keys

    @property
    def _evalscope_hub(self) -> HubOfLoad:
        return "hf" if self.dataset_hub == "huggingface" else "ms"

    @property
    def arguments(self) -> str:
        """The options that name these tasks, as for a shell."""
        import shlex

        words = ["--lm-eval", ",".join(self.lm_eval)] if self.lm_eval else []
        words += ["--evalscope", ",".join(self.evalscope)] if self.evalscope else []
        words += ["--python", str(self.python)] if self.python is not None else []
        words += [word for path in self.include_path for word in ("--include-path", str(path))]
        words += ["--dataset-hub", self.dataset_hub] if self.evalscope and self._evalscope_hub == "hf" else []
        return shlex.join(words)

    def outlooks(
        self, hub: Hub, options: FetchOptions | None = None, *, fresh: bool = False, lock: Lock | None = None
    ) -> list[Outlook]:
        """Return what hubs have of what the tasks need; `fresh` and `lock` as of `outlook.look`.

        Raises:
            ForebayError: as `closures`; or a hub cannot be reached.
        """
        from forebay.integrations import outlook

        found = self.closures(hub.store)
        return [
            outlook.look(hub, each, evaluate=_evaluate(harness), options=options, fresh=fresh, lock=lock)
            for harness, each in found
        ]


def _evaluate(harness: Harness) -> str:
    version = harness.version_of("evaluate")
    return "" if version == "unknown" else version


def _listed(_: click.Context, __: click.Parameter, values: Sequence[str]) -> tuple[str, ...]:
    return tuple(name.strip() for value in values for name in value.split(",") if name.strip())


def task_options(command: Callback) -> Callback:
    """Give a command the options that name tasks; they come as keywords, for `asked`."""
    path, hubs = PathType(), click.Choice(["modelscope", "huggingface"])
    options = [
        click.option("--lm-eval", multiple=True, callback=_listed, metavar="TASK,…", help="Tasks, groups, tags."),
        click.option("--evalscope", multiple=True, callback=_listed, metavar="NAME,…", help="Benchmarks."),
        click.option("--python", type=path, metavar="PATH", help="Interpreter or environment that has the harness."),
        click.option("--include-path", multiple=True, type=path, metavar="FOLDER", help="Your own tasks."),
        click.option("--dataset-hub", type=hubs, default="modelscope", help="Whom evalscope will ask."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def asked(keywords: dict[str, Any]) -> Asked:
    """Take the options of `task_options` out of a command's keywords."""
    return Asked(**{name: keywords.pop(name) for name in _NAMES})


def fetch_tasks(hub: Hub, wanted: Asked, options: FetchOptions, *, quiet: bool) -> tuple[list[Outlook], list[Snapshot]]:
    """Look up what tasks need, tell what will be missing, then fetch the rest.

    Raises:
        ForebayError: as `Asked.outlooks` and `Hub.fetch`.
    """
    from forebay.integrations import outlook

    found = wanted.outlooks(hub, options)
    if not quiet:
        for each in found:
            tell_gaps(each)
    return found, [snapshot for each in found for snapshot in outlook.fetch(hub, each, options)]


def tell_gaps(outlook: Outlook) -> None:
    """Say on standard error what will be missing."""
    show_gaps(outlook.gaps)


def show_gaps(gaps: Mapping[GapKind, Sequence[str]], word: str = "missing") -> None:
    """Say on standard error what is wrong, and for which tasks."""
    from forebay.integrations.outlook import sentences

    lines = sentences(gaps)
    for line in lines[:_MOST_GAPS]:
        click.echo(f"forebay: {word}: {line}", err=True)
    if len(lines) > _MOST_GAPS:
        click.echo(f"forebay: and {len(lines) - _MOST_GAPS} more; --json tells all", err=True)


def show_outlook(outlook: Outlook) -> None:
    """Write a line for each name that was asked for."""
    rows: list[list[str]] = []
    for name, members in outlook.closure.asked:
        parcels, gaps = outlook.of(members)
        files = {(each.snapshot.key, path) for each in parcels for task in members for path in each.tasks.get(task, ())}
        sizes = {(each.snapshot.key, file.path): file.size or 0 for each in parcels for file in each.snapshot.files}
        size = text.size(sum(sizes[place] for place in files))
        state = "complete" if not gaps else f"{text.counted(len(gaps), 'gap')}"
        rows.append([name, str(len(members)), str(len(parcels)), f"{len(files):,}", size, state])
    left, right = Column("asked for"), [Column(name, right=True) for name in ("tasks", "repositories", "files", "size")]
    show_table([left, *right, Column("")], rows)
    if outlook.gaps:
        say_sentence(f"{text.counted(len(outlook.gaps), 'gap')}: a run will miss what is told above as missing")
