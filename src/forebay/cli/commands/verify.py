"""`forebay verify`: stored bytes against their names."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, cast

import click

from forebay import text
from forebay.cli.app import Command
from forebay.cli.session import Session, emit, say
from forebay.cli.views import Ticker

if TYPE_CHECKING:
    from forebay.events import Event
    from forebay.store import VerifyReport


def _part(_: click.Context, parameter: click.Parameter, said: str) -> float:
    """Return a part of a whole (``5%`` or ``0.05``; more than none, at most all) as a number."""
    try:
        fraction = float(said.removesuffix("%")) / (100 if said.endswith("%") else 1)
    except ValueError:
        fraction = 0.0
    if not 0 < fraction <= 1:
        raise click.BadParameter(f"{said!r} is no part of a whole, write 5% or 0.05", param=parameter)
    return fraction


@click.command(cls=Command)
@click.option("--sample", default="100%", callback=_part, metavar="PART", help="Check only so many: 5% or 0.05.")
@click.option("--seed", type=int, default=0, metavar="N", help="Which sample; another number, another one.")
@click.option("--json", "as_json", is_flag=True, help="What was checked and found, as JSON.")
@click.pass_context
def verify(ctx: click.Context, sample: float, seed: int, as_json: bool) -> None:
    """Check stored bytes against their names.

    What is damaged is moved to the store's quarantine folder; it is made again when it is next needed, as is what is
    missing. Exit code 1 if anything was damaged or missing.
    """
    session = ctx.ensure_object(Session)
    ticker = Ticker()

    def tick(event: Event) -> None:
        if event.facts.get("phase") == "verify":
            ticker.tell(f"{event.facts['objects']:,} objects, {text.size(cast('int', event.facts['bytes']))} checked")

    with session.present_store(tick) as store, closing(ticker):
        if store is None:
            from forebay.store import VerifyReport

            emit(VerifyReport().to_json()) if as_json else session.say_nothing_yet()
            return
        report = store.verify(sample, seed)
    if as_json:
        emit(report.to_json())
    else:
        _tell(report, sample)
    ctx.exit(0 if report.ok else 1)


def _tell(report: VerifyReport, sample: float) -> None:
    for damage in report.damaged:
        say(f"damaged: {damage.kind or 'object'} {text.short(damage.name)}: {damage.why}")
    for gap in report.missing:
        say(f"missing: {gap.kind} {text.short(gap.name)}: {gap.why}; it will be made again")
    part = "" if sample == 1 else f" (a sample of {sample:.3g})"
    checked = f"{text.counted(report.objects, 'object')} and {text.counted(report.entries, 'entry')}{part}"
    wrong = [f"{text.count(len(report.damaged))} damaged, now in quarantine"] if report.damaged else []
    wrong += [f"{text.count(len(report.missing))} missing"] if report.missing else []
    found = ", ".join(wrong) or "all sound"
    speed = text.size(report.bytes / report.seconds) if report.seconds > 0 else "-"
    say(f"checked {checked}: {found}")
    say(f"{text.size(report.bytes)} in {text.seconds(report.seconds)}, {speed}/s")
