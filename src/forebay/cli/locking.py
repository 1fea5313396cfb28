"""What `forebay fetch` and `forebay lock` do with lock files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from forebay.errors import InputError

if TYPE_CHECKING:
    from forebay.hub import FetchOptions, Hub, Reference, Snapshot
    from forebay.hub.lock import Change, Lock

Command = TypeVar("Command", bound=Callable[..., Any])


def lock_options(command: Command) -> Command:
    """Add the options that a command which fetches has for lock files: ``locked``, ``update`` and ``lock``."""
    options = [
        click.option("--locked", is_flag=True, help="Exactly what the lock file says; no reference: all of it."),
        click.option("--update", is_flag=True, help="What the revisions mean now, and write that into the lock file."),
        click.option(
            "--lock",
            type=click.Path(path_type=Path, dir_okay=False),
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

    Raises:
        NotFoundError: no references, and no such file.
        ForebayError: as `Hub.fetch`.
    """
    from forebay.hub import lock as locks
    from forebay.hub import parse

    old = locks.read(path) if path.exists() or not references else locks.Lock()
    wanted = list(references) or [parse(one.reference) for one in old.repositories]
    found: list[Snapshot] = []
    rows: list[locks.LockedRepository] = []
    for reference in wanted:
        if not options.offline:
            hub.resolve(reference, fresh_seconds=0.0)
        found.append(hub.fetch(reference, options))
        rows.append(locks.locked(hub.store, reference, found[-1]))
    locks.write(path, old.with_(rows))
    return found


def meant_now(hub: Hub, lock: Lock, *, offline: bool) -> Lock:
    """Return what the references of a lock mean now."""
    from forebay.hub import lock as locks

    rows = [
        locks.meant_now(one, hub.resolve(one.reference, fresh_seconds=None if offline else 0.0, offline=offline))
        for one in lock.repositories
    ]
    return locks.Lock(tuple(rows))


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
