"""`forebay run`: a recipe, each operator's result cached per shard."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from forebay.cli import reports
from forebay.cli.app import Command
from forebay.cli.paths import PathType
from forebay.cli.session import Session, emit, say_sentence, show_table
from forebay.cli.views import watching
from forebay.errors import StoreError

if TYPE_CHECKING:
    from forebay.pipeline import RunReport
    from forebay.store import Store


@click.command(cls=Command)
@click.argument("recipe", type=PathType(), metavar="RECIPE.yaml")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Replace a value of the recipe: np=4, or process.text_length_filter.min_len=20. May be repeated.",
)
@click.option("--np", "processes", type=click.IntRange(min=1), metavar="N", help="Worker processes, else the recipe's.")
@click.option("--no-cache", is_flag=True, help="Neither look into the store nor write to it.")
@click.option("--refresh", is_flag=True, help="Compute everything again, and store it.")
@click.option("--dry-run", is_flag=True, help="Only say what would be computed or reused, and why.")
@click.option(
    "--retain",
    metavar="all|last:K|final",
    help="Which operators' results to keep: all, of the last K, or the final table only. Else the recipe's, else all.",
)
@click.option("--require-cache", is_flag=True, help="Fail where anything would have to be computed.")
@click.option("--quiet", "-q", is_flag=True, help="Say nothing but errors.")
@click.option("--json", "as_json", is_flag=True, help="The report (or the plan) as JSON.")
@click.pass_obj
def run(
    session: Session,
    recipe: Path,
    overrides: tuple[str, ...],
    processes: int | None,
    no_cache: bool,
    refresh: bool,
    dry_run: bool,
    retain: str | None,
    require_cache: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Run a recipe over a dataset; what was done before is not done again.

    The recipe is Data-Juicer's. Each operator's result is kept per shard of the dataset, under a key of all that it
    depends on: the operator's code and parameters, and the rows it reads. So after an edit only what the edit touches
    runs again, and after Ctrl-C the same command goes on where it stopped.
    """
    from forebay.pipeline import Recipe, RunOptions
    from forebay.pipeline import run as run_recipe
    from forebay.pipeline.recipes.options import caching

    loaded = Recipe.load(recipe, overrides)
    options = RunOptions(
        processes=processes,
        use_cache=False if no_cache else None,
        refresh=refresh,
        dry_run=dry_run,
        retain=retain,
        require_cache=require_cache or session.settings().require_cache,
    )
    with ExitStack() as stack:
        kept = caching(options, loaded.use_cache)  # options that contradict each other are told before a store is made
        store = _opened(stack, session, required=options.require_cache) if kept else None
        with watching(loaded.project, quiet=quiet, plain=as_json) as hook:
            report = run_recipe(loaded, store=store, options=options, hook=hook)
    if as_json:
        emit(report.to_json())
    elif not quiet:
        show_report(report, None if store is None else store.home)


def _opened(stack: ExitStack, session: Session, *, required: bool) -> Store | None:
    """Open the store; None, and a warning, where there can be none: a cache never breaks the work."""
    try:
        return stack.enter_context(session.store())
    except StoreError as error:
        if required:
            raise
        click.echo(f"forebay: warning: {error}; until then, nothing is kept", err=True)
        return None


def show_report(report: RunReport, home: Path | None) -> None:
    """Write a report as text to standard output."""
    show_table(*reports.table(report))
    if report.dry:
        for line in reports.reasons_of(report):
            say_sentence(line)
    for line in reports.closing(report, home):
        say_sentence(line)
