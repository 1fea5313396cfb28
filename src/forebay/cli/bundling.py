"""What `forebay bundle` does for evaluation tasks: from their names to a closure and a lock file, and back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from forebay import text
from forebay.cli.harnesses import Asked, fetch_tasks, show_gaps
from forebay.errors import BuildError, CacheRequiredError, InputError
from forebay.events import ignore

if TYPE_CHECKING:
    from forebay.bundle import Closure
    from forebay.events import Hook
    from forebay.hub import Hub
    from forebay.integrations.outlook import Outlook


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a bundle of tasks is to hold.

    Attributes:
        tasks: which ones.
        entries: what else, as `bundle.find_roots` takes it.
        fetch: fetch first what the store lacks.
        prepare: prepare configurations first that are not yet.
        incomplete: whether something may be missing.
    """

    tasks: Asked
    entries: Sequence[str] = ()
    fetch: bool = False
    prepare: bool = False
    incomplete: bool = False


@dataclass(slots=True)
class Packed:
    """What goes into a bundle.

    Attributes:
        closure: the entries.
        lock: the lock file of what tasks need, or None.
        outlooks: what that is, by harness.
    """

    closure: Closure
    lock: bytes | None = None
    outlooks: list[Outlook] = field(default_factory=list["Outlook"])


def packed(hub: Hub, wanted: Wanted, hook: Hook = ignore) -> Packed:
    """Return what tasks need, and entries that are named.

    Args:
        hub: whose store it is; it is asked only where `Wanted.fetch` says so.
        wanted: which tasks, and how.
        hook: told of what is prepared.

    Raises:
        CacheRequiredError: the store lacks something that is needed, or nobody knows what is; all of it is told first.
        BuildError: the ``datasets`` library is wanted for preparing, and not there.
        ForebayError: as `Asked.outlooks`, `fetch_tasks` and `bundle.closure`.
    """
    from forebay import bundle as bundles
    from forebay.hub import FetchOptions
    from forebay.hub.lock import Lock
    from forebay.integrations.packing import note_lacking, packing

    roots = bundles.find_roots(hub.store, wanted.entries)
    if wanted.fetch:
        outlooks = fetch_tasks(hub, wanted.tasks, FetchOptions(), quiet=True)[0]
    else:
        outlooks = wanted.tasks.outlooks(hub, FetchOptions(offline=True))
    for each in outlooks:
        note_lacking(hub.store, each)
    _tell_lacking(wanted, outlooks)
    if wanted.prepare:
        _prepare(hub, outlooks, hook)
    found = packing(hub, outlooks, wanted.tasks.remembered())
    whole = {key for _, key in roots}
    files = {key: paths for key, paths in found.files.items() if key not in whole}
    closure = bundles.closure(hub.store, [*roots, *found.roots], files)
    return Packed(closure, Lock().with_(found.locked).dumps().encode(), outlooks)


def _prepare(hub: Hub, outlooks: Sequence[Outlook], hook: Hook) -> None:
    from forebay.hub.preparation import prepare
    from forebay.hub.prepared import library_version
    from forebay.integrations.packing import wanted_configurations

    if not library_version():
        raise BuildError("--prepare needs the datasets library", hint="pip install datasets")
    for outlook in outlooks:
        for snapshot, names in wanted_configurations(outlook).values():
            try:
                prepare(hub, snapshot, names, offline=True, partial=True, hook=hook)
            except (BuildError, InputError, CacheRequiredError) as error:  # the files come along all the same
                click.echo(f"forebay: not prepared: {error}", err=True)


def _tell_lacking(wanted: Wanted, outlooks: Sequence[Outlook]) -> None:
    from forebay.integrations.packing import unfetched

    gaps = {gap: names for each in outlooks for gap, names in each.gaps.items()}
    if not gaps:
        return
    show_gaps(gaps)
    if wanted.incomplete:
        return
    lacking = {name for names in gaps.values() for name in names}
    count = sum(len(each.closure.tasks) for each in outlooks)
    what = f"nothing is written: {len(lacking)} of {text.counted(count, 'task')} would miss something there"
    first = f"`forebay fetch {wanted.tasks.arguments}` first, or --fetch; " if any(map(unfetched, outlooks)) else ""
    raise CacheRequiredError(what, hint=f"{first}--incomplete writes it all the same")


def put_lock(content: bytes, given: Path | None, say: Callable[[str], None]) -> None:
    """Write the lock file of a bundle that was installed, unless there is another one, and say so.

    Args:
        content: of the lock file, as the bundle has it.
        given: where to; None: ``forebay.lock`` in the working directory, if that can be.
        say: takes what there is to say.

    Raises:
        InputError: it is no lock file; or it cannot be written where it is told to.
    """
    from forebay.hub.lock import NAME, loads

    path = Path(NAME) if given is None else given
    try:
        loads(content.decode("utf-8", "replace"), f"the bundle's {NAME}")
        if path.exists():
            if path.read_bytes() == content:
                return
            raise InputError(f"{path} is there already, and is another one", hint="--lock FILE puts it elsewhere")
        path.write_bytes(content)
    except InputError as error:
        if given is not None:
            raise
        say(f"{error}")
    except OSError as error:
        what = f"cannot write {path}: {error.strerror or error}"
        if given is not None:
            raise InputError(what, subject=path) from error
        say(f"{what}; --lock FILE puts the lock file elsewhere")
    else:
        say(f"wrote {path}: which commits these are, for `forebay fetch --locked`")


def trusted_keys(texts: Sequence[str]) -> tuple[str, ...]:
    """Return the keys that ``--trust`` gave.

    Raises:
        UsageError: one is empty, as of a variable that is not set: no key at all would trust everybody.
        ConfigError: one is none.
    """
    from forebay import config

    keys = [config.resolve({}, trusted_keys=each).trusted_keys for each in texts]
    if () in keys:
        raise click.UsageError("--trust is empty; leave it out for what trusted_keys says")
    return tuple(key for each in keys for key in each)
