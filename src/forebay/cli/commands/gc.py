"""`forebay gc`: evict, and clear what the dead left."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from forebay import text
from forebay.cli.app import Command
from forebay.cli.session import Session, emit, say

if TYPE_CHECKING:
    from forebay.store import GcReport, Store


@click.command(cls=Command)
@click.option("--max-bytes", metavar="SIZE", help="Evict, the least valuable first, down to 200GB, 1.5GiB …")
@click.option("--older-than", metavar="TIME", help="Evict what was not used for 30d, 12h, 5m …")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.option("--json", "as_json", is_flag=True, help="What went, and why the rest was spared, as JSON.")
@click.pass_obj
def gc(session: Session, max_bytes: str | None, older_than: str | None, dry_run: bool, as_json: bool) -> None:
    """Evict down to a size or an age; clear left-overs.

    Without a size the store's own budget holds. Spared are pins, what somebody reads, and what cannot be made again.
    Left-overs go in any case: objects that no entry names, temporary files of the dead; damaged files, and downloads
    that nobody went on with, after a week.
    """
    from forebay.config import parse_bytes, parse_seconds

    limit = None if max_bytes is None else parse_bytes(max_bytes)
    oldest = None if older_than is None else parse_seconds(older_than)
    with session.present_store() as store:
        if store is None:
            from forebay.store import GcReport

            nothing = GcReport(dry_run=dry_run).to_json()
            emit({**nothing, "spared_because": {}}) if as_json else session.say_nothing_yet()
            return
        report = store.gc(limit, oldest, dry_run)
        spared = _spared(store, report)
    if as_json:
        emit({**report.to_json(), "spared_because": spared})
        return
    _tell(report, spared, limit)


def _spared(store: Store, report: GcReport) -> dict[str, int]:
    """Return how many entries were spared, by reason; one with two reasons counts with the first."""
    if not report.spared:
        return {}
    pinned = sum(row.pinned for row in store.entries())
    lasting = sum(not row.recoverable and not row.pinned for row in store.entries())
    counts = {"pinned": pinned, "cannot be made again": lasting, "in use": report.spared - pinned - lasting}
    return {why: count for why, count in counts.items() if count > 0}


def _tell(report: GcReport, spared: dict[str, int], limit: int | None) -> None:
    verb = "would free" if report.dry_run else "freed"
    gone = [text.counted(report.entries, "entry"), text.counted(report.objects, "object")]
    gone += [text.counted(report.temporaries, "temporary file")] if report.temporaries else []
    gone += [text.counted(report.partials, "partial download")] if report.partials else []
    gone += [text.counted(report.damaged, "damaged file")] if report.damaged else []
    nothing = not (report.entries or report.objects or report.temporaries or report.damaged or report.partials)
    say("nothing to free" if nothing else f"{verb} {text.size(report.bytes)}: {', '.join(gone)}")
    why = ", ".join(f"{text.count(count)} {reason}" for reason, count in spared.items())
    kept = f"; spared {text.counted(report.spared, 'entry')}: {why}" if report.spared else ""
    say(f"{text.size(report.left_bytes)} {'would be' if report.dry_run else 'are'} left{kept}")
    if limit is not None and report.left_bytes > limit:
        say(f"that is more than {text.size(limit)}: the rest may not be evicted")
