"""From what tasks need to what is there: every repository looked up and every gap told, before any data is fetched."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TypeVar, cast

from forebay.config import NLTK_SOURCE
from forebay.errors import AccessError, CacheRequiredError, InputError, NotFoundError, OriginError
from forebay.hub import FetchOptions, Hub, Reference, Snapshot
from forebay.hub import lock as locks
from forebay.hub.lock import Lock
from forebay.hub.snapshot import literal
from forebay.integrations import metrics, nltk, selection
from forebay.integrations.tasks import BUILDERS, Closure, Gap, Load, Metric, TaskNeeds, Want
from forebay.types import JSON

GapKind = TypeVar("GapKind", bound=Gap)

_LOOKERS = 8
_SHOWN_TASKS = 3


class Unfetched(Gap):
    """Something that the store has not, and nobody else was asked for."""

    __slots__ = ()


class Unlocked(Gap):
    """Something that the lock file does not have, or has otherwise."""

    __slots__ = ()


@dataclass(slots=True)
class Parcel:
    """What is to be fetched of one snapshot.

    Attributes:
        snapshot: where from.
        references: what tasks call it: without files and configuration.
        files: their paths; for all tasks together.
        tasks: who wants it, and which of the files.
    """

    snapshot: Snapshot
    references: dict[Reference, None] = field(default_factory=dict[Reference, None])
    files: dict[str, None] = field(default_factory=dict[str, None])
    tasks: dict[str, dict[str, None]] = field(default_factory=dict[str, dict[str, None]])

    @property
    def bytes(self) -> int:
        """Of the files whose size is known."""
        return sum(file.size or 0 for file in self.snapshot.files if file.path in self.files)

    def want(self, files: Iterable[str], tasks: Iterable[str]) -> None:
        """Add what somebody wants."""
        paths = dict.fromkeys(files)
        self.files |= paths
        for task in tasks:
            self.tasks.setdefault(task, {}).update(paths)


@dataclass(slots=True)
class Outlook:
    """What fetching a closure will bring, and what it will not.

    Attributes:
        closure: what is wanted.
        parcels: what there is, by the snapshot's key.
        gaps: what will be missing, and for whom; those of the closure first.
        absent: what a hub was asked for and has not, which a program that asks again must be told.
    """

    closure: Closure
    parcels: dict[str, Parcel] = field(default_factory=dict[str, Parcel])
    gaps: dict[Gap, list[str]] = field(default_factory=dict[Gap, list[str]])
    absent: list[Reference] = field(default_factory=list[Reference])

    @property
    def files(self) -> int:
        """How many, in all."""
        return sum(len(parcel.files) for parcel in self.parcels.values())

    @property
    def bytes(self) -> int:
        """Of all files whose size is known."""
        return sum(parcel.bytes for parcel in self.parcels.values())

    def miss(self, gap: Gap, tasks: Iterable[str]) -> None:
        """Note something that will be missing."""
        known = self.gaps.setdefault(gap, [])
        known += [task for task in tasks if task not in known]

    def parcel(self, snapshot: Snapshot, reference: Reference) -> Parcel:
        """Return the parcel of a snapshot that a reference means."""
        parcel = self.parcels.setdefault(snapshot.key, Parcel(snapshot))
        parcel.references[reference.whole] = None
        return parcel

    def of(self, tasks: Sequence[str]) -> tuple[list[Parcel], list[Gap]]:
        """Return what some tasks get, and what they will miss."""
        wanted = set(tasks)
        parcels = [parcel for parcel in self.parcels.values() if wanted & parcel.tasks.keys()]
        return parcels, [gap for gap, names in self.gaps.items() if wanted & set(names)]

    def to_json(self) -> dict[str, JSON]:
        """Return it as JSON, task by task."""
        rows: list[JSON] = []
        for task in self.closure.tasks:
            parcels, gaps = self.of([task.name])
            row: dict[str, JSON] = {"task": task.name, "loads": [str(load) for load in task.loads]}
            row |= {"metrics": [metric.name for metric in task.metrics], "nltk": list(task.nltk)}
            row["repositories"] = [
                {"reference": str(each.snapshot.reference), "files": len(each.tasks[task.name])} for each in parcels
            ]
            row["missing"] = [{"what": gap.what, "why": gap.why, "hint": gap.hint} for gap in gaps]
            rows.append(row)
        told: dict[str, JSON] = {"tool": self.closure.tool, "version": self.closure.version}
        told |= {"asked": {name: list(members) for name, members in self.closure.asked}, "tasks": rows}
        told |= {"files": self.files, "bytes": self.bytes, "complete": not self.gaps}
        return told


def look(
    hub: Hub,
    closure: Closure,
    *,
    evaluate: str = "",
    options: FetchOptions | None = None,
    fresh: bool = False,
    lock: Lock | None = None,
) -> Outlook:
    """Look up everything a closure wants: what hubs have of it, and what not. Only READMEs and metrics are fetched.

    Args:
        hub: whom to ask.
        closure: what is wanted.
        evaluate: version of the `evaluate` library that will ask for metrics, or "".
        options: whether the network may be asked, and as whom.
        fresh: ask hubs what branches mean, however lately that was asked.
        lock: what references mean, instead of asking hubs; what it does not have is an `Unlocked` gap.

    Raises:
        OriginError: a hub cannot be reached, and the store does not know either.
    """
    asking = _Asking(hub, options or FetchOptions(), fresh, lock)
    outlook = Outlook(closure, absent=asking.absent)
    for gap, tasks in closure.gaps:
        outlook.miss(gap, tasks)
    wants = closure.wants
    with ThreadPoolExecutor(_LOOKERS, thread_name_prefix="forebay-look") as pool:
        repositories = {str(want.reference.whole): want.reference.whole for want in wants}
        answers = dict(zip(repositories, pool.map(asking.resolve, repositories.values()), strict=True))
        shown = {answer.key: answer for answer in answers.values() if isinstance(answer, Snapshot)}
        readmes = dict(zip(shown, pool.map(asking.readme, shown.values()), strict=True))
    loads = _loads_by_want(closure)
    for want in wants:
        answer = answers[str(want.reference.whole)]
        if not isinstance(answer, Snapshot):
            outlook.miss(answer, want.tasks)
        elif want.reference.type == "dataset":
            _choose(outlook, answer, readmes[answer.key], want, loads)
        else:
            outlook.parcel(answer, want.reference).want((file.path for file in answer.files), want.tasks)
    _add_metrics(outlook, asking, evaluate)
    if lock is not None:
        _compare(outlook, lock)
    return outlook


def fetch(hub: Hub, outlook: Outlook, options: FetchOptions | None = None) -> list[Snapshot]:
    """Fetch what an outlook found.

    Raises:
        ForebayError: as `Hub.fetch`.
    """
    base = options or FetchOptions()
    done: list[Snapshot] = []
    for parcel in outlook.parcels.values():
        if parcel.files:
            whole = len(parcel.files) == len(parcel.snapshot.files)
            include = () if whole else tuple(literal(path) for path in parcel.files)
            done.append(hub.fetch(parcel.snapshot, replace(base, include=include, exclude=())))
    return done


@dataclass(frozen=True, slots=True)
class _Asking:
    hub: Hub
    options: FetchOptions
    fresh: bool = False
    lock: Lock | None = None
    absent: list[Reference] = field(default_factory=list[Reference])

    def resolve(self, reference: Reference) -> Snapshot | Gap:
        """Return a snapshot, or why there is none; hubs that cannot be reached are an error, single hosts a gap."""
        if self.lock is None:
            return self._ask(reference)
        one = self.lock.get(reference)
        if one is not None:
            return locks.snapshot_of(self.hub, one, self.options)
        return Unlocked(str(reference), "is not in the lock file")

    def resolve_tag(self, reference: Reference) -> Snapshot | Gap | None:
        """Return what a tag means which need not exist; None: it does not, or nobody can tell."""
        if self.lock is not None and self.lock.get(reference) is None:
            try:
                found = self._ask(reference)
            except OriginError:
                return None
            return self.resolve(reference) if isinstance(found, Snapshot) else None
        found = self.resolve(reference)  # that there is none is remembered, too
        return found if isinstance(found, Snapshot) else None

    def _ask(self, reference: Reference) -> Snapshot | Gap:
        if reference.hub == "url" and reference.id.startswith(NLTK_SOURCE):
            reference = replace(reference, id=self.hub.settings.nltk_source + reference.id.removeprefix(NLTK_SOURCE))
        seconds = 0.0 if self.fresh else None
        stale = not self.fresh or reference.hub == "url"  # a file by its address is what it was
        offline, token = self.options.offline, self.options.token
        try:
            return self.hub.resolve(
                reference, fresh_seconds=seconds, offline=offline, token=token, stale_if_error=stale
            )
        except CacheRequiredError:
            return Unfetched(str(reference), "is not in the store")
        except NotFoundError as error:
            self.absent.append(reference)
            return Gap(str(reference), error.what, error.hint)
        except (AccessError, InputError) as error:
            return Gap(str(reference), error.what, error.hint)
        except OriginError as error:
            if reference.hub != "url":
                raise
            return Gap(str(reference), error.what, error.hint)

    def readme(self, snapshot: Snapshot) -> str:
        return self.text(snapshot, "README.md") if snapshot.type == "dataset" else ""

    def text(self, snapshot: Snapshot, path: str) -> str:
        """Return a small text file of a snapshot; "" where there is none, or it is not given to us."""
        if snapshot.get(path) is None:
            return ""
        try:
            entry = self.hub.fetch_file(snapshot, path, token=self.options.token, offline=self.options.offline)
            return bytes(self.hub.store.read(entry.objects[0].digest)).decode("utf-8", "replace")
        except (NotFoundError, AccessError, CacheRequiredError):
            return ""


def _loads_by_want(closure: Closure) -> Mapping[str, list[tuple[Load, TaskNeeds]]]:
    """Return the loads of tasks by the repository that they are of."""
    found: dict[str, list[tuple[Load, TaskNeeds]]] = {}
    for task in closure.tasks:
        for load in task.loads:
            if load.path not in BUILDERS:
                place = f"{load.hub}:{load.path}:{load.options.get('revision') or ''}"
                found.setdefault(place, []).append((load, task))
    return found


def _choose(
    outlook: Outlook,
    snapshot: Snapshot,
    readme: str,
    want: Want,
    loads: Mapping[str, list[tuple[Load, TaskNeeds]]],
) -> None:
    reference = want.reference
    mine = loads.get(f"{reference.hub}:{reference.id}:{reference.revision or ''}", [])
    tasks = set(want.tasks)
    fitting = [
        (load, task.name)
        for load, task in mine
        if task.name in tasks and (want.patterns or (load.name or "") == reference.config)
    ]
    if not fitting:  # files given by address
        load = Load("json", options={"data_files": cast("list[JSON]", list(want.patterns))})
        chosen = selection.choose(snapshot, readme, load)
        outlook.parcel(snapshot, reference).want(chosen.files, want.tasks)
        if chosen.gap is not None:
            outlook.miss(replace(chosen.gap, what=f"files of {reference}"), want.tasks)
        return
    known: dict[str, selection.Choice] = {}
    for load, task in fitting:
        call = f"{load.call} {load.splits}"
        if call not in known:
            known[call] = selection.choose(snapshot, readme, load)
        chosen = known[call]
        outlook.parcel(snapshot, reference).want(chosen.files, [task])
        if chosen.gap is not None:
            outlook.miss(chosen.gap, [task])


def _compare(outlook: Outlook, lock: Lock) -> None:
    """Note the files that a lock file does not have, or has with another content."""
    for parcel in outlook.parcels.values():
        rows = [one for reference in parcel.references if (one := lock.get(reference)) is not None]
        known = {file.path: file.identity for one in rows for file in one.files}
        named = next(iter(parcel.references), parcel.snapshot.reference)
        for path in parcel.files:
            if known.get(path) != parcel.snapshot.file(path).identity:
                why = "is another one in the lock file" if path in known else "is not in the lock file"
                tasks = [task for task, files in parcel.tasks.items() if path in files]
                outlook.miss(Unlocked(f"{path} of {named}", why), tasks)


def _add_metrics(outlook: Outlook, asking: _Asking, evaluate: str) -> None:
    """Add what metrics want beside their own files, and the revision that the library asks for first."""
    by_metric: dict[Metric, list[str]] = {}
    for task in outlook.closure.tasks:
        for metric in task.metrics:
            by_metric.setdefault(metric, []).append(task.name)
    for metric, tasks in by_metric.items():
        reference = metrics.reference(metric)
        if evaluate:
            tag = reference.at(f"v{evaluate}")
            tagged = asking.resolve_tag(tag)
            if isinstance(tagged, Snapshot):
                outlook.parcel(tagged, tag).want((file.path for file in tagged.files), tasks)
            elif tagged is not None:
                outlook.miss(tagged, tasks)
        snapshot = asking.resolve(reference)
        code = asking.text(snapshot, metrics.script(metric)) if isinstance(snapshot, Snapshot) else ""
        packages, gaps = metrics.told_by(code, metrics.script(metric))
        for gap in gaps:
            outlook.miss(gap, tasks)
        for package in packages:
            _add_nltk(outlook, asking, package, tasks)


def _add_nltk(outlook: Outlook, asking: _Asking, package: str, tasks: Sequence[str]) -> None:
    if not nltk.known(package):
        outlook.miss(Gap(f"NLTK package {package}", "is not known"), tasks)
        return
    found = asking.resolve(nltk.reference(package))
    if isinstance(found, Snapshot):
        outlook.parcel(found, nltk.reference(package)).want((file.path for file in found.files), tasks)
    else:
        outlook.miss(found, tasks)


def sentences(gaps: Mapping[GapKind, Sequence[str]]) -> list[str]:
    """Return what will be missing, a sentence each."""
    lines: list[str] = []
    for gap, tasks in gaps.items():
        more = f" and {len(tasks) - _SHOWN_TASKS} more" if len(tasks) > _SHOWN_TASKS else ""
        lines.append(f"{', '.join(tasks[:_SHOWN_TASKS])}{more}: {gap}")
    return lines
