"""Whether tasks will find all that they load: every load tried in the harness's own interpreter."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from forebay.errors import BuildError, NotFoundError
from forebay.integrations import nltk, probe
from forebay.integrations.harness import Harness
from forebay.integrations.tasks import Closure, Gap
from forebay.types import JSON

_UNKNOWN = "nobody has tried it: the checking program ended before"


@dataclass(slots=True)
class Trial:
    """One thing that was tried.

    Attributes:
        what: it was, for people.
        tasks: which need it.
        job: for the program that tries.
        error: "" where it loads.
        rows: that were found.
        seconds: it took.
    """

    what: str
    tasks: tuple[str, ...]
    job: dict[str, JSON]
    error: str = _UNKNOWN
    rows: int = 0
    seconds: float = 0.0

    def to_json(self) -> dict[str, JSON]:
        """Return what came of it as JSON."""
        told: dict[str, JSON] = {"what": self.what, "tasks": list(self.tasks), "ok": not self.error}
        told |= {"error": self.error, "rows": self.rows, "seconds": self.seconds}
        return told


@dataclass(slots=True)
class Check:
    """All trials of a closure, and what cannot be tried."""

    closure: Closure
    trials: list[Trial]
    gaps: tuple[tuple[Gap, tuple[str, ...]], ...] = field(default=())

    @property
    def failed(self) -> list[Trial]:
        """What will not load."""
        return [trial for trial in self.trials if trial.error]

    def to_json(self) -> dict[str, JSON]:
        """Return it as JSON."""
        tried: list[JSON] = [each.to_json() for each in self.trials]
        unknown: list[JSON] = [{**asdict(gap), "tasks": list(tasks)} for gap, tasks in self.gaps]
        told: dict[str, JSON] = {"tool": self.closure.tool, "version": self.closure.version, "tried": tried}
        told |= {"unknown": unknown, "complete": not self.failed and not self.gaps}
        return told


def plan(closure: Closure) -> Check:
    """Return what is to be tried for a closure: every distinct call, metric and package of NLTK data."""
    trials: list[Trial] = []

    def add(what: str, tasks: Sequence[str], **job: JSON) -> None:
        trials.append(Trial(what, tuple(dict.fromkeys(tasks)), {"number": len(trials), **job}))

    for load in closure.loads:
        splits = list(load.splits)
        options = dict(load.options)
        users = [task.name for task in closure.tasks if any(each.call == load.call for each in task.loads)]
        shown = f"{load} [{', '.join(splits)}]" if splits else str(load)
        call: dict[str, JSON] = {"path": load.path, "name": load.name, "options": options, "splits": [*splits]}
        add(shown, users, kind="load", hub=load.hub, **call)
    for metric in closure.metrics:
        users = [task.name for task in closure.tasks if metric in task.metrics]
        add(f"metric {metric.name}", users, kind="metric", name=metric.name, config=metric.config)
    for package in closure.nltk:
        users = [task.name for task in closure.tasks if package in task.nltk]
        add(f"NLTK {package}", users, kind="nltk", place=nltk.place(package))
    return Check(closure, trials, closure.gaps)


def command(check: Check, harness: Harness, folder: Path, workers: int) -> list[str]:
    """Write down the jobs in a folder, and return the command that does them.

    Raises:
        NotFoundError: nobody knows which interpreter runs the harness.
    """
    if harness.python is None:
        what = f"no interpreter for {harness.package} in {harness.folder}"
        raise NotFoundError(what, subject=harness.folder, hint="give --python an interpreter or an environment")
    jobs = folder / "jobs.json"
    jobs.write_text(json.dumps([trial.job for trial in check.trials]), "utf-8")
    return [str(harness.python), "-E", probe.__file__, str(jobs), str(folder / "results.jsonl"), str(workers)]


def take_in(check: Check, folder: Path) -> None:
    """Take in what the command found.

    Raises:
        BuildError: it found nothing at all.
    """
    try:
        lines = (folder / "results.jsonl").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    if not lines and check.trials:
        raise BuildError("the harness's interpreter could not try anything", hint="does it start, and import datasets?")
    for line in lines:
        told: dict[str, Any] = json.loads(line)
        trial = check.trials[told["number"]]
        trial.error, trial.rows, trial.seconds = told["error"], told["rows"], told["seconds"]
