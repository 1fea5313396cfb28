"""The view for the ``datasets`` library: prepared Arrow, as its versions from 3 on keep it.

::

    DIR/NS___NAME/CONFIGURATION/0.0.0/COMMIT/dataset_info.json
                                            /NAME-SPLIT.arrow          several: NAME-SPLIT-00000-of-00002.arrow
    DIR/_DIR_NS___NAME_CONFIGURATION_0.0.0_COMMIT.lock                 what the library locks when it opens that folder

The locks are laid too, writable for all, so that others can read a folder in which they may not write.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from forebay.config import HubSettings
from forebay.errors import (
    CacheRequiredError,
    ForebayError,
    InputError,
    ObjectDamagedError,
    ObjectMissingError,
)
from forebay.events import Event, What
from forebay.hub.holdings import Held, chosen
from forebay.hub.hub import Hub
from forebay.hub.placing import Laid, Placer, Way
from forebay.hub.preparation import prepare
from forebay.hub.prepared import Prepared, configurations, found_of
from forebay.hub.reference import Reference, parse
from forebay.store import Store

_INFO_FILE = "dataset_info.json"
_LONGEST_NAME = 255
_UPPERCASE = re.compile(r"([A-Z]+)([A-Z][a-z])")
_LOWERCASE = re.compile(r"([a-z\d])([A-Z])")


def cached_name(id: str) -> str:  # noqa: A002 - the hubs' own word
    """Return the name of a dataset's folder in the library's cache."""
    space, _, name = id.rpartition("/")
    name = _LOWERCASE.sub(r"\1_\2", _UPPERCASE.sub(r"\1_\2", name)).lower()
    return f"{space}___{name}" if space else name


def lay_prepared(store: Store, folder: Path, references: Iterable[str | Reference], *, way: Way = "auto") -> Laid:
    """Lay out configurations as `lay` says, preparing from the store's files what is not prepared yet.

    What cannot be prepared is missing, and the rest is laid out. Without references a configuration is not missing
    of which the store holds no file, nor a dataset likewise.
    """
    wanted = [parse(reference) for reference in references]
    placer, folder = Placer(store, way), folder.absolute()
    held = [one for one in chosen(store, wanted) if one.snapshot.type == "dataset"]
    with Hub(store, HubSettings(offline=True)) as hub:
        for one in held:
            names = {ref.config for ref in wanted if ref.config and ref.id in one.ids and ref.hub == one.snapshot.hub}
            found = _prepared(hub, placer, one, sorted(names), asked=bool(wanted))
            _lay_all(store, placer, folder, one, found)
    return placer.laid


def lay_present(store: Store, placer: Placer, folder: Path, held: Sequence[Held]) -> None:
    """Lay out what is prepared already."""
    for one in held:
        if one.snapshot.type == "dataset":
            there = found_of(store, one.snapshot)
            names = one.configurations or {each.configuration for each in there}
            _lay_all(store, placer, folder, one, [each for each in there if each.configuration in names])


def _prepared(hub: Hub, placer: Placer, one: Held, names: Sequence[str], *, asked: bool) -> list[Prepared]:
    """Return what is prepared of a dataset now; note what is missing of it.

    Args:
        hub: the store.
        placer: takes the notes.
        one: the dataset.
        names: of the configurations that are wanted; none: all.
        asked: whether somebody asked for this dataset, or it is only there.

    Raises:
        InputError: there is no such configuration.
    """
    dataset, lacking = one.snapshot.dataset, set[str]()

    def note(event: Event) -> None:
        if event.what is What.WARNING:
            placer.laid.note(event.message)
        elif event.facts.get("phase") == "lacking" and not event.facts["held"]:
            lacking.add(str(event.facts["configuration"]))

    try:
        found = prepare(hub, one.snapshot, names or None, offline=True, partial=True, hook=note)
    except InputError:
        raise
    except ForebayError as error:  # one dataset that cannot be prepared leaves the others be
        if asked or any(ref is not None for _, ref in one.contents(hub.store)):
            if isinstance(error, CacheRequiredError):
                placer.laid.lack(f"{dataset}: {error.subject}", dataset)
            else:
                told = str(error)
                placer.laid.missing.append(told if dataset in told else f"{dataset}: {told}")
        there = found_of(hub.store, one.snapshot)
        return [each for each in there if not names or each.configuration in names]
    if one.snapshot.partial:
        placer.laid.note(f"{dataset}: made of what another program's cache held; no hub has listed it")
    known = configurations(hub.store, one.snapshot)
    expected = names or (known.names if known is not None else ())
    there = {each.configuration for each in found} | (set() if asked else lacking)
    for name in (name for name in expected if name not in there):
        if name in lacking:
            placer.laid.lack(f"{dataset}#{name}: not in the store", f"{dataset}#{name}")
        else:
            placer.laid.missing.append(f"{dataset}#{name}: not prepared")
    return found


def _lay_all(store: Store, placer: Placer, folder: Path, one: Held, found: Sequence[Prepared]) -> None:
    with ExitStack() as stack:
        stack.enter_context(store.reading([(each.entry.kind, each.entry.key) for each in found]))
        for each in found:
            for id in sorted(one.ids):  # noqa: A001 - the hubs' own word
                try:
                    lay_one(store, placer, folder, (id, one.snapshot.commit, one.is_default), each)
                except (ObjectMissingError, ObjectDamagedError):
                    placer.laid.missing.append(
                        f"{one.snapshot.dataset}#{each.configuration}: damaged, prepare it again"
                    )


def lay_one(store: Store, placer: Placer, root: Path, what: tuple[str, str, bool], one: Prepared) -> None:
    """Lay out one configuration.

    Args:
        store: whose it is.
        placer: how.
        root: the library's cache.
        what: the id that it is loaded by, the commit, and whether of several commits this is the one to be found.
        one: the configuration.

    Raises:
        ObjectMissingError, ObjectDamagedError: the store does not hold it.
        OSError: the folder may not be written.
    """
    id, commit, is_default = what  # noqa: A001 - the hubs' own word
    name = cached_name(id.rpartition("/")[2])  # the library goes by the id that it is asked for, also a former one
    target = root / cached_name(id) / one.configuration / "0.0.0" / commit
    for split, shards in one.splits.items():
        for number, (ref, _) in enumerate(shards):
            of = f"-{number:05d}-of-{len(shards):05d}" if len(shards) > 1 else ""
            placer.place(ref, target / f"{name}-{split}{of}.arrow")
    placer.place(one.entry.object("info"), target / _INFO_FILE)
    if is_default:
        _make_newest(target)
    _lay_lock(root, target)
    if one.readable != ">=3":
        placer.laid.note(f"{id}#{one.configuration}: readable by datasets {one.readable}")


def _make_newest(target: Path) -> None:
    """Of several commits, the library takes the folder that changed last."""
    others = [path.stat().st_mtime_ns for path in target.parent.iterdir() if path != target and path.is_dir()]
    if others and max(others) >= target.stat().st_mtime_ns:
        os.utime(target)


def _lay_lock(root: Path, target: Path) -> None:
    name = target.as_posix().replace("/", "_") + ".lock"
    lock = root / name
    if len(name) <= _LONGEST_NAME and not lock.exists():
        lock.touch()
        with suppress(OSError):  # FAT, SMB and the like know no such mode
            lock.chmod(0o666)
