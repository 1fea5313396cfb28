"""`forebay fetch`: datasets and models into the store, each byte once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from forebay import text
from forebay.cli.app import Command
from forebay.cli.fetching import FetchProgress, closing, watching
from forebay.cli.harnesses import asked, fetch_tasks, show_outlook, task_options
from forebay.cli.locking import (
    check_lock_options,
    fetch_locked,
    fetch_tasks_locked,
    fetch_tasks_updated,
    fetch_updated,
    lock_options,
    lock_path,
)
from forebay.cli.paths import PathType
from forebay.cli.session import Session, emit, say, say_sentence
from forebay.errors import InputError, NotFoundError

if TYPE_CHECKING:
    from forebay.hub import Snapshot
    from forebay.types import JSON


@click.command(cls=Command)
@click.argument("references", nargs=-1, metavar="[REFERENCE]...")
@click.option("--from", "listing", type=PathType(), metavar="FILE", help="More of them, one per line.")
@click.option("--include", multiple=True, metavar="PATTERN", help="Only these files: data/*.csv, or a folder.")
@click.option("--exclude", multiple=True, metavar="PATTERN", help="Not these files; stronger than --include.")
@click.option("--workers", default=8, show_default=True, type=click.IntRange(1, 64), help="Files at a time.")
@task_options
@lock_options
@click.option("--offline", is_flag=True, help="Ask no network: check that all is in the store.")
@click.option("--quiet", "-q", is_flag=True, help="Say nothing but errors.")
@click.option("--json", "as_json", is_flag=True, help="What came of it, as JSON.")
@click.pass_obj
def fetch(
    session: Session,
    references: tuple[str, ...],
    listing: Path | None,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    workers: int,
    offline: bool,
    quiet: bool,
    as_json: bool,
    locked: bool,
    update: bool,
    lock: Path | None,
    **tasks: Any,
) -> None:
    """Fetch datasets and models into the store; what is there is not fetched again.

    \b
    hf://datasets/NS/NAME[@REVISION][/PATH]   a dataset on Hugging Face
    hf://datasets/NS/NAME[@REVISION]#CONFIG   the files of one configuration
    hf://NS/NAME                              a model
    ms://datasets/NS/NAME, ms://NS/NAME       ModelScope
    https://HOST/FILE[#sha256=HEX]            any URL
    s3://BUCKET/PREFIX                        an object store
    PATH                                      a file or folder

    With --lm-eval and --evalscope: all that those tasks will load; what they will miss is told, and the exit code is 1.

    A download that was cut, or killed, goes on where it stopped. Every byte is checked against the hub's own hashes.
    """
    from forebay.hub import FetchOptions, Hub, parse

    wanted = [parse(name) for name in [*references, *(_listed(listing) if listing is not None else ())]]
    wanted_tasks = asked(tasks)
    check_lock_options(locked=locked, update=update, lock=lock)
    if not wanted and not wanted_tasks and not locked and not update:
        raise InputError("nothing to fetch", hint="write a reference, or --from FILE; see forebay fetch --help")
    options = FetchOptions(include, exclude, workers, offline)
    progress = FetchProgress()
    snapshots: list[Snapshot] = []
    with watching(progress, quiet=quiet, plain=as_json) as hook, session.store() as store, Hub(store, hook=hook) as hub:
        if (locked or update) and (wanted or not wanted_tasks):
            snapshots += (fetch_locked if locked else fetch_updated)(hub, lock_path(lock), wanted, options)
        elif wanted:
            snapshots += [hub.fetch(reference, options) for reference in wanted]
        silent = quiet or as_json
        if wanted_tasks and (locked or update):
            by_lock = fetch_tasks_locked if locked else fetch_tasks_updated
            outlooks, fetched = by_lock(hub, lock_path(lock), wanted_tasks, options, quiet=silent)
        else:
            outlooks, fetched = fetch_tasks(hub, wanted_tasks, options, quiet=silent)
        snapshots += fetched
    if as_json:
        told = {"snapshots": [_as_json(snapshot) for snapshot in snapshots], **progress.summary()}
        emit(told | ({"harnesses": [each.to_json() for each in outlooks]} if outlooks else {}))
    elif not quiet:
        for snapshot in snapshots:
            files, size = progress.there(snapshot.dataset, [file.path for file in snapshot.files])
            of = "" if files == len(snapshot.files) else f"{files:,} of "
            counted = f"{of}{text.counted(len(snapshot.files), 'file')}"
            say_sentence(f"{snapshot.dataset} at {snapshot.commit[:12]}: {counted}, {text.size(size)}")
        for each in outlooks:
            show_outlook(each)
        for line in closing(progress):
            say(line)
    if any(each.gaps for each in outlooks):
        raise click.exceptions.Exit(1)


def _as_json(snapshot: Snapshot) -> dict[str, JSON]:
    told: dict[str, JSON] = {"reference": str(snapshot.reference), "hub": snapshot.hub, "type": snapshot.type}
    told |= {"id": snapshot.id, "commit": snapshot.commit, "key": snapshot.key, "restricted": snapshot.restricted}
    return told | {"files": len(snapshot.files), "bytes": snapshot.bytes}


def _listed(path: Path) -> list[str]:
    """Return the references in a file: one per line; blank lines and what follows ``# `` do not count."""
    try:
        lines = path.read_text("utf-8-sig").splitlines()  # Windows' editors put a mark before the first line
    except FileNotFoundError as error:
        raise NotFoundError(f"{path}: no such file", subject=str(path), hint="check --from") from error
    except OSError as error:
        what = f"cannot read {path}: {error.strerror}"
        raise InputError(what, subject=str(path), hint="let --from name a file that you may read") from error
    except ValueError as error:
        raise InputError(f"cannot read {path}: {error}", subject=str(path), hint="it must be a text file") from error
    stripped = (f" {line}".partition(" #")[0].strip() for line in lines)
    return [line for line in stripped if line]
