"""What `forebay fetch` and `forebay lock` do with lock files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from forebay.cli.paths import PathType
from forebay.errors import ForebayError, InputError, NotFoundError

if TYPE_CHECKING:
    from forebay.cli.harnesses import Asked
    from forebay.hub import FetchOptions, Hub, Reference, Snapshot
    from forebay.hub.lock import Change, Lock, LockedRepository
    from forebay.integrations.outlook import Outlook

Command = TypeVar("Command", bound=Callable[..., Any])


def lock_options(command: Command) -> Command:
    """Add the options that a command which fetches has for lock files: ``locked``, ``update`` and ``lock``."""
    options = [
        click.option("--locked", is_flag=True, help="Exactly what the lock file says; no reference: all of it."),
        click.option("--update", is_flag=True, help="What the revisions mean now, and write that into the lock file."),
        click.option(
            "--lock",
            type=PathType(dir_okay=False),
            metavar="FILE",
            help="The lock file.  [default: forebay.lock]",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def lock_path(given: Path | None) -> Path:
    """Return which file is meant."""
    from forebay.hub.lock import NAME

    return Path(NAME) if given is None else given


def check_lock_options(*, locked: bool, update: bool, lock: Path | None) -> None:
    """Refuse what cannot be together.

    Raises:
        UsageError: it cannot.
    """
    if locked and update:
        raise click.UsageError("--locked and --update cannot be together")
    if lock is not None and not (locked or update):
        raise click.UsageError("--lock needs --locked or --update")


def fetch_locked(hub: Hub, path: Path, references: Sequence[Reference], options: FetchOptions) -> list[Snapshot]:
    """Fetch exactly what a lock file says, and see that it is that.

    Raises:
        NotFoundError: no such file, or a reference is not in it.
        ForebayError: as `Hub.fetch`.
    """
    from forebay.hub import lock as locks

    if options.include or options.exclude:
        raise InputError("--locked fetches what is locked", hint="leave out --include and --exclude")
    found: list[Snapshot] = []
    for one in locks.read(path).chosen(references):
        found.append(hub.fetch(one.snapshot, options))
        locks.check(hub.store, one)
        locks.remember(hub.store, one)
    return found


def fetch_updated(hub: Hub, path: Path, references: Sequence[Reference], options: FetchOptions) -> list[Snapshot]:
    """Fetch what references mean now (none: those of the lock file), and write it into the lock file.

    Of a repository the files that were chosen are written down, and those that were locked before.

    Raises:
        NotFoundError: no references, and no such file.
        ForebayError: as `Hub.fetch`.
    """
    from forebay.hub import lock as locks
    from forebay.hub import parse
    from forebay.hub.snapshot import literal

    lock = locks.read(path) if path.exists() or not references else locks.Lock()
    found: list[Snapshot] = []
    for reference in list(references) or [parse(one.reference) for one in lock.repositories]:
        snapshot = hub.resolve(
            reference, fresh_seconds=0.0, offline=options.offline, token=options.token, stale_if_error=False
        )
        before = lock.get(reference)
        if not references and before is not None and before.partial:
            chosen = replace(options, include=_still_there(before, snapshot))
            paths = {file.path for file in hub.choose(snapshot, chosen)[1]}
            snapshot = hub.fetch(snapshot, chosen)
        else:
            paths = {file.path for file in hub.choose(reference, options)[1]}
            snapshot = hub.fetch(reference, options)
            there = (
                {file.path for file in before.files if snapshot.get(file.path)} if before is not None else set[str]()
            )
            if more := tuple(literal(each) for each in sorted(there - paths)):
                hub.fetch(snapshot, replace(options, include=more, exclude=()))
            paths |= there
        found.append(snapshot)
        lock = lock.with_([locks.locked(hub.store, reference, snapshot, paths)])  # the next may be of the same one
    locks.write(path, lock)
    return found


def _still_there(before: LockedRepository, snapshot: Snapshot) -> tuple[str, ...]:
    """Return patterns for the files that are locked of a repository, where only some of them are."""
    from forebay.hub.snapshot import literal

    for file in before.files:
        if snapshot.get(file.path) is None:
            what = f"{before.reference} at {snapshot.commit[:12]} has no {file.path} any more, which is locked"
            hint = "give what it was locked for: the reference, or --lm-eval TASK,…"
            raise NotFoundError(what, subject=file.path, hint=hint)
    return tuple(literal(file.path) for file in before.files)


def fetch_tasks_locked(
    hub: Hub, path: Path, tasks: Asked, options: FetchOptions, *, quiet: bool
) -> tuple[list[Outlook], list[Snapshot]]:
    """Fetch what tasks need as a lock file says it, and let branches mean that from now on.

    Raises:
        NotFoundError: no such file, or something that the tasks need is not in it, or is another one there.
        ForebayError: as `Asked.outlooks` and `Hub.fetch`.
    """
    from forebay.cli.harnesses import show_gaps
    from forebay.hub import lock as locks
    from forebay.integrations import outlook
    from forebay.integrations.outlook import Unlocked

    lock = locks.read(path)
    found = tasks.outlooks(hub, options, lock=lock)
    gaps = {gap: names for each in found for gap, names in each.gaps.items()}
    unlocked = {gap: names for gap, names in gaps.items() if isinstance(gap, Unlocked)}
    if unlocked:
        show_gaps(unlocked, "not locked")
        wanting = {name for names in unlocked.values() for name in names}
        shown = ", ".join(sorted(wanting)[:3]) + (" …" if len(wanting) > 3 else "")
        what = f"nothing is fetched: {path} lacks some of what these tasks load: {shown}"
        raise NotFoundError(what, subject=path, hint=f"`forebay fetch --update {tasks.arguments}` puts it there")
    if not quiet:
        show_gaps(gaps)
    snapshots = [snapshot for each in found for snapshot in outlook.fetch(hub, each, options)]
    for parcel in (parcel for each in found for parcel in each.parcels.values()):
        for one in (one for reference in parcel.references if (one := lock.get(reference)) is not None):
            locks.check(hub.store, replace(one, files=tuple(file for file in one.files if file.path in parcel.files)))
            before = locks.remember(hub.store, one, move=True)
            if before and not quiet:
                click.echo(f"forebay: {one.reference} means {one.commit[:12]} here now, not {before[:12]}", err=True)
    return found, snapshots


def fetch_tasks_updated(
    hub: Hub, path: Path, tasks: Asked, options: FetchOptions, *, quiet: bool
) -> tuple[list[Outlook], list[Snapshot]]:
    """Fetch what tasks need now, and write it into the lock file; what was locked of the same repositories too.

    Raises:
        ForebayError: as `Asked.outlooks` and `Hub.fetch`.
    """
    from forebay.cli.harnesses import tell_gaps
    from forebay.hub import lock as locks
    from forebay.integrations import outlook

    old = locks.read(path) if path.exists() else locks.Lock()
    found = tasks.outlooks(hub, options, fresh=True)
    rows: list[locks.LockedRepository] = []
    snapshots: list[Snapshot] = []
    for each in found:
        for parcel in each.parcels.values():
            before = [one for reference in parcel.references if (one := old.get(reference)) is not None]
            there = [file.path for one in before for file in one.files if parcel.snapshot.get(file.path)]
            parcel.want(there, ())
        if not quiet:
            tell_gaps(each)
        snapshots += outlook.fetch(hub, each, options)
        for parcel in each.parcels.values():
            held = [(reference, parcel) for reference in parcel.references if parcel.files]
            rows += [locks.locked(hub.store, name, of.snapshot, of.files) for name, of in held]
    locks.write(path, old.with_(rows))
    return found, snapshots


def moved_since(hub: Hub, lock: Lock, *, offline: bool) -> tuple[list[Change], dict[str, ForebayError]]:
    """Return what the references of a lock mean by now that is another thing, and of which nobody can tell that."""
    from forebay.hub import lock as locks

    told: list[LockedRepository] = []
    now: list[LockedRepository] = []
    unknown: dict[str, ForebayError] = {}
    for one in lock.repositories:
        try:
            snapshot = hub.resolve(one.reference, fresh_seconds=0.0, offline=offline, stale_if_error=False)
        except ForebayError as error:
            unknown[one.reference] = error
        else:
            told.append(one)
            now.append(locks.meant_now(one, snapshot))
    return locks.diff(locks.Lock(tuple(told)), locks.Lock(tuple(now))), unknown


def lines_of(change: Change) -> list[str]:
    """Return a change for people, the first line about the reference, the others about its files."""
    before, after = change.before[:12], change.after[:12]
    match change.kind:
        case "added":
            return [f"+ {change.reference} at {after}"]
        case "removed":
            return [f"- {change.reference} at {before}"]
        case "moved":
            at = f"{before} → {after}" if before != after else f"{before}, other files"
            files = [("+", change.added), ("-", change.removed), ("~", change.changed)]
            return [f"~ {change.reference}: {at}", *(f"    {mark} {path}" for mark, paths in files for path in paths)]
