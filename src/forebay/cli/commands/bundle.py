"""`forebay bundle`: carry data to a machine without network, and take it in there."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from dataclasses import replace as replaced
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from forebay import text
from forebay.cli.app import Command
from forebay.cli.bundling import Packed, Wanted, packed, put_lock, trusted_keys
from forebay.cli.fetching import FetchProgress, watching
from forebay.cli.harnesses import asked, show_outlook, task_options
from forebay.cli.naming import spelled
from forebay.cli.paths import PathType
from forebay.cli.session import Session, emit, say, say_sentence
from forebay.cli.views import Ticker

if TYPE_CHECKING:
    from forebay.bundle import Closure, Difference, Manifest, VerifyReport
    from forebay.bundle.comparing import Change
    from forebay.events import Event, Hook
    from forebay.store import Store

_PLACE = PathType()
_SHOWN = 10


@click.group(no_args_is_help=False, context_settings={"help_option_names": ["-h", "--help"]})
def bundle() -> None:
    """Carry data to a machine without network.

    \b
    forebay bundle create out.tar --lm-eval TASK,…          here
    forebay bundle create out.tar hub/hf/dataset/NS/NAME
    forebay bundle install out.tar                          there
    """


@bundle.command(cls=Command, short_help="Write entries, and all that they need, into an archive.")
@click.argument("out", type=_PLACE)
@click.argument("entries", nargs=-1, metavar="[ENTRY]...")
@click.option("--volume-size", metavar="SIZE", help="Cut it into volumes of this size: 4GiB.")
@click.option("--since", type=_PLACE, metavar="MANIFEST", help="Leave out what this bundle or MANIFEST.json has.")
@click.option("--sign", type=_PLACE, metavar="KEYFILE", help="Sign it; see keygen.")
@task_options
@click.option("--fetch", is_flag=True, help="Fetch first what those tasks need and the store lacks.")
@click.option("--prepare", is_flag=True, help="Prepare Arrow of what they load, for `forebay view datasets` there.")
@click.option("--incomplete", is_flag=True, help="Write it though something is missing.")
@click.option("--lock", type=_PLACE, metavar="FILE", help="A forebay.lock to take along; of tasks one is made.")
@click.option("--level", type=click.IntRange(1, 19), default=1, show_default=True, help="Of zstd.")
@click.option("--wanted", type=_PLACE, metavar="REQUEST", help="The objects that `bundle repair --request` asks for.")
@click.option("--replace", is_flag=True, help="Replace a bundle of that name.")
@click.option("--json", "as_json", is_flag=True, help="What was written, as JSON.")
@click.pass_obj
def create(
    session: Session, out: Path, entries: tuple[str, ...], volume_size: str | None, since: Path | None,
    sign: Path | None, lock: Path | None, level: int, wanted: Path | None, replace: bool, as_json: bool,
    fetch: bool, prepare: bool, incomplete: bool, **given: Any,
) -> None:  # fmt: skip
    """Write entries, and all that they need, into the archive OUT.

    ENTRY is a name (runs/demo), a folder of names (hub/hf/dataset/NS/NAME), KIND:DIGITS, the digits of a key, a
    dataset, or hf://datasets/NS/NAME[@REVISION]. Stopped half-way, the same command goes on where it was.

    With --lm-eval and --evalscope: all that those tasks load, no other files, and a lock file of it. If the store lacks
    some of it, or nobody can tell what a task loads, that is told by task, nothing is written, and the exit code is 1.
    """
    from forebay import bundle as bundles
    from forebay.bundle.comparing import read_manifest
    from forebay.config import parse_bytes

    tasks = asked(given)
    if bool(entries or tasks) == (wanted is not None):
        raise click.UsageError("give entries, --lm-eval or --evalscope; or --wanted alone")
    if (fetch or prepare or incomplete) and not tasks:
        raise click.UsageError("--fetch, --prepare and --incomplete are for --lm-eval and --evalscope")
    options = bundles.CreateOptions(
        level=level,
        volume_bytes=None if volume_size is None else parse_bytes(volume_size),
        since=None if since is None else read_manifest(since),
        sign=sign,
        lock=None if lock is None else lock.read_bytes(),
        replace=replace,
    )
    with session.store() as store:
        entries = tuple(spelled(store, each) for each in entries)
        if tasks:
            asking = Wanted(tasks, entries, fetch=fetch, prepare=prepare, incomplete=incomplete)
            found = _of_tasks(store, asking, quiet=as_json)
            options = replaced(options, lock=found.lock if options.lock is None else options.lock)
        else:
            found = Packed(_of_entries(store, entries, wanted))
        with _ticking("packed") as hook:
            report = bundles.create(store, found.closure, out, options, hook)
    if as_json:
        paths = [str(path) for path in report.paths]
        told = {"harnesses": [each.to_json() for each in found.outlooks]} if tasks else {}
        emit({**_summary(report.manifest, report.id), "archive_bytes": report.bytes, "paths": paths,
              "resumed": report.resumed, "seconds": report.seconds,
              "lacking": [asdict(each) for each in found.closure.lacking], **told})  # fmt: skip
        return
    for each in found.outlooks:
        show_outlook(each)
    volumes = f" in {len(report.paths) - 1} volumes" if volume_size is not None else ""
    resumed = f", {text.counted(report.resumed, 'object')} of them from before" if report.resumed else ""
    say(f"wrote {out}{volumes}: {text.size(report.bytes)} in {text.seconds(report.seconds)}{resumed}")
    for line in _told(report.manifest):
        say(line)
    for each in found.closure.lacking:
        what = f"{each.files:,} of {text.counted(each.of, 'file')} of {each.dataset} at {each.commit[:12]}"
        hint = f"`forebay fetch {each.dataset}` brings them"
        click.echo(f"forebay: {what} are not in the store, so not in the bundle; {hint}", err=True)


def _of_entries(store: Store, entries: Sequence[str], wanted: Path | None) -> Closure:
    from forebay import bundle as bundles
    from forebay.bundle.closures import objects_only
    from forebay.bundle.repairing import read_request

    if wanted is not None:
        return objects_only(store, read_request(wanted))
    return bundles.closure(store, bundles.find_roots(store, entries))


def _of_tasks(store: Store, wanted: Wanted, *, quiet: bool) -> Packed:
    from forebay.hub import Hub

    quiet = quiet or not wanted.fetch
    with watching(FetchProgress(), quiet=quiet, plain=quiet) as hook, Hub(store, hook=hook) as hub:
        return packed(hub, wanted, hook)


@bundle.command(cls=Command, short_help="Take a bundle into the store.")
@click.argument("path", type=_PLACE, metavar="BUNDLE")
@click.option("--trust", multiple=True, metavar="KEY", help="A public key that must have signed it; may be repeated.")
@click.option("--untrusted", is_flag=True, help="Install it whoever signed it, whatever trusted_keys says.")
@click.option("--copy", is_flag=True, help="Copy objects out of an unpacked folder, never share its files.")
@click.option("--keep-names", is_flag=True, help="Names that are there already stay as they are.")
@click.option("--lock", type=_PLACE, metavar="FILE", help="Put its lock file there.  [default: forebay.lock]")
@click.option("--json", "as_json", is_flag=True, help="What was installed, as JSON.")
@click.pass_obj
def install(
    session: Session, path: Path, trust: tuple[str, ...], untrusted: bool, copy: bool, keep_names: bool,
    lock: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Take BUNDLE into the store.

    BUNDLE is an archive, its volumes (any one of them) or a folder that it was unpacked to. All of it is looked at
    first; if anything is wrong, no entry and no name comes of it. Stopped half-way, the same command goes on.

    Its lock file becomes forebay.lock here, unless there is one; with --json only where --lock says.
    """
    from forebay import bundle as bundles

    trusted = trusted_keys(trust) if trust else None
    options = bundles.InstallOptions(trusted=trusted, untrusted=untrusted, link=not copy, keep_names=keep_names)
    with session.store() as store, _ticking("installed") as hook:
        report = bundles.install(store, path, options, hook)
    if report.lock is not None and (lock is not None or not as_json):
        put_lock(report.lock, lock, say=(lambda _: None) if as_json else say_sentence)
    if as_json:
        emit(report.to_json())
        return
    linked = f" ({report.linked:,} without copying)" if report.linked else ""
    say(
        f"installed {text.counted(report.entries, 'entry')} and {text.counted(report.objects, 'object')}{linked}, "
        f"{text.size(report.bytes)} in {text.seconds(report.seconds)}; {report.kept:,} entries were there"
    )
    for kind, key in report.differing:
        say(f"kept as it is here, with another result: {kind} {text.short(key)}")
    for line in _some(report.names):
        say(f"name  {line}")


@bundle.command(cls=Command, short_help="Compare every byte with what it should be.")
@click.argument("path", type=_PLACE, metavar="BUNDLE")
@click.option("--json", "as_json", is_flag=True, help="What was found, as JSON.")
@click.pass_context
def verify(ctx: click.Context, path: Path, as_json: bool) -> None:
    """Compare every byte of BUNDLE with what it should be. Exit code 1 if anything is wrong."""
    from forebay import bundle as bundles

    with _ticking("checked") as hook:
        report = bundles.verify(path, hook)
    if as_json:
        emit(report.to_json())
    else:
        for line in _some([fault.what for fault in report.faults]):
            say(f"damaged: {line}")
        signed = f", signed by ed25519:{report.manifest.signer}" if report.manifest.signer else ", not signed"
        found = text.counted(len(report.faults), "fault") if report.faults else "all sound"
        objects, entries = len(report.manifest.objects), len(report.manifest.entries)
        say(f"checked {text.counted(objects, 'object')} and {text.counted(entries, 'entry')}: {found}{signed}")
        say(f"{text.size(report.bytes)} in {text.seconds(report.seconds)}")
    ctx.exit(0 if report.ok else 1)


@bundle.command(cls=Command, short_help="Say what is in a bundle.")
@click.argument("path", type=_PLACE, metavar="BUNDLE")
@click.option("--json", "as_json", is_flag=True, help="Its MANIFEST, as JSON.")
def inspect(path: Path, as_json: bool) -> None:
    """Say what is in BUNDLE, or what a MANIFEST.json speaks of, without looking at the objects."""
    from forebay.bundle.comparing import read_manifest

    found, manifest = read_manifest(path)
    if as_json:
        emit({**_summary(manifest, found), "manifest": manifest.to_json()})
        return
    say(f"manifest {found}")
    for line in _told(manifest):
        say(line)


@bundle.command(cls=Command, short_help="Say how two bundles differ, or what the store lacks.")
@click.argument("earlier", type=_PLACE, metavar="A")
@click.argument("later", type=_PLACE, metavar="[B]", required=False)
@click.option("--json", "as_json", is_flag=True, help="The difference as JSON.")
@click.pass_context
def diff(ctx: click.Context, earlier: Path, later: Path | None, as_json: bool) -> None:
    """Say what B has that A has not, and the other way round; each is a bundle or a MANIFEST.json.

    Without B: what the store lacks of A. Exit code 1 if anything is different.
    """
    from forebay.bundle.comparing import diff as compare
    from forebay.bundle.comparing import diff_store, read_manifest

    manifest = read_manifest(earlier)[1]
    if later is not None:
        found = compare(manifest, read_manifest(later)[1])
    else:
        with ctx.ensure_object(Session).store() as store:
            found = diff_store(store, manifest)
    if as_json:
        emit(found.to_json())
    else:
        for line in _differences(found):
            say(line)
    ctx.exit(0 if found.same else 1)


@bundle.command(cls=Command, short_help="Mend a bundle in place.")
@click.argument("path", type=_PLACE, metavar="BUNDLE")
@click.option("--from", "donors", type=_PLACE, multiple=True, metavar="OTHER", help="Take what is damaged from there.")
@click.option("--from-store", is_flag=True, help="Take what is damaged from the store.")
@click.option("--request", type=_PLACE, metavar="FILE", help="Write down what is still missing, to ask for it.")
@click.option("--json", "as_json", is_flag=True, help="What was mended, as JSON.")
@click.pass_context
def repair(
    ctx: click.Context, path: Path, donors: tuple[Path, ...], from_store: bool, request: Path | None, as_json: bool
) -> None:
    """Mend BUNDLE in place; only what is damaged is asked for and written.

    \b
    forebay bundle repair b.tar --request ask.json         there: what is bad?
    forebay bundle create patch.tar --wanted ask.json      here: just that
    forebay bundle repair b.tar --from patch.tar           there

    What follows from the MANIFEST, README.txt and the scripts among it, is made anew. Objects can be asked for; an
    entry, the lock file and the signature come from another copy of the bundle only (--from), an entry from the store
    that it was made of, too (--from-store). Exit code 1 if anything is damaged still.
    """
    from forebay.bundle.repairing import write_request

    report, mended = _mended(ctx.ensure_object(Session), path, donors, from_store=from_store)
    missing = {each.digest: each.size for each in report.manifest.objects if each.digest in set(report.damaged)}
    members = {each.member for each in report.manifest.objects}
    others = [fault for fault in report.faults if fault.member not in members]
    if request is not None and missing:
        write_request(request, missing)
    if as_json:
        emit(
            {"mended": list(mended), "missing": dict(missing), "damaged": [each.member or each.what for each in others]}
        )
    else:
        for line in _some(mended):
            say(f"mended   {line}")
        for line in _some(tuple(missing)):
            say(f"missing  {line}")
        for line in _some([each.what for each in others]):
            say(f"damaged  {line}")
        asked_for = f", asked for in {request}" if request is not None and missing else ""
        beside = f"; {len(others):,} damaged beside, for which another copy is needed (--from)" if others else ""
        say(f"{len(mended):,} mended, {text.counted(len(missing), 'object')} missing{asked_for}{beside}")
    ctx.exit(0 if report.ok else 1)


def _mended(
    session: Session, path: Path, donors: Sequence[Path], *, from_store: bool
) -> tuple[VerifyReport, Sequence[str]]:
    """Mend what can be mended; return what is wrong still, and what was mended."""
    from forebay import bundle as bundles

    if from_store:
        with session.store() as store:
            mended = bundles.repair(path, donors, store).mended
    elif donors:
        mended = bundles.repair(path, donors).mended
    else:
        report = bundles.verify(path)
        if report.ok or path.is_dir() or not os.access(path, os.W_OK):  # then it is only told what is wrong
            return report, ()
        mended = bundles.repair(path, ()).mended
    return bundles.verify(path), mended


@bundle.command(cls=Command, short_help="Make a key to sign bundles with.")
@click.argument("path", type=_PLACE, metavar="KEYFILE")
@click.option("--json", "as_json", is_flag=True, help="The public key, as JSON.")
def keygen(path: Path, as_json: bool) -> None:
    """Make a key to sign bundles with: KEYFILE, and KEYFILE.pub to give away.

    Whoever lists the public key in trusted_keys (configuration, or FOREBAY_TRUSTED_KEYS) installs only what is signed
    with it.
    """
    from forebay.bundle import make_key

    public = make_key(path)
    if as_json:
        emit({"public": public, "path": str(path)})
        return
    say(public)


@contextmanager
def _ticking(done: str) -> Generator[Hook]:
    ticker = Ticker()

    def tick(event: Event) -> None:
        if event.facts.get("phase") == "bundle":
            so_far, total = cast("int", event.facts["done"]), cast("int", event.facts["total"])
            ticker.tell(f"{text.size(so_far)} of {text.size(total)} {done}")

    with closing(ticker):
        yield tick


def _summary(manifest: Manifest, found: str) -> dict[str, str | int | None]:
    return {
        "id": found,
        "signer": manifest.signer,
        "since": manifest.since,
        "entries": len(manifest.entries),
        "objects": len(manifest.objects),
        "names": len(manifest.names),
        "bytes": manifest.bytes,
        "packed_bytes": manifest.packed_bytes,
    }


def _told(manifest: Manifest) -> Iterator[str]:
    objects = f"{text.counted(len(manifest.objects), 'object')}, {text.size(manifest.bytes)}"
    yield f"{text.counted(len(manifest.entries), 'entry')}, {objects} (packed {text.size(manifest.packed_bytes)})"
    yield f"signed by ed25519:{manifest.signer}" if manifest.signer else "not signed"
    if manifest.since is not None:
        needed = f"{len(manifest.needs.entries):,} entries, {len(manifest.needs.objects):,} objects"
        yield f"a delta to {text.short(manifest.since)}, of which it needs {needed}"
    kinds: dict[str, int] = {}
    for entry in manifest.entries:
        kinds[entry.kind] = kinds.get(entry.kind, 0) + 1
    for kind in sorted(kinds):
        yield f"kind  {kind}  {kinds[kind]:,}"
    for line in _some([each.name for each in manifest.names]):
        yield f"name  {line}"


def _differences(found: Difference) -> Iterator[str]:
    """Names and entries by line; objects, which nobody knows by their digests, in numbers."""
    entries = {sign: [_short_entry(each) for each in each_way] for sign, each_way in _signed(found.entries)}
    for noun, named in (("name", dict(_signed(found.names))), ("entry", entries)):
        for sign, names in named.items():
            yield from (f"{sign} {noun}  {name}" for name in _some(names))
    if found.same:
        yield "the same"
        return
    objects = found.objects
    more = f"{text.counted(len(objects.added), 'object')} ({text.size(found.added_bytes)}) more"
    less = f"{text.counted(len(objects.removed), 'object')} ({text.size(found.removed_bytes)}) less"
    yield f"{more}, {less}"


def _signed(change: Change) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return (("+", change.added), ("-", change.removed), ("~", change.changed))


def _short_entry(name: str) -> str:
    kind, _, key = name.partition(":")
    return f"{kind}:{text.short(key)}"


def _some(lines: Sequence[str]) -> Iterator[str]:
    yield from lines[:_SHOWN]
    if len(lines) > _SHOWN:
        yield f"… {len(lines) - _SHOWN:,} more"
