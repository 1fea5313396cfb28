"""`forebay check`: will those tasks run without network?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from forebay import text
from forebay.cli.app import Command
from forebay.cli.commands.exec import reading_only
from forebay.cli.harnesses import asked, task_options
from forebay.cli.session import Session, emit, say, say_sentence
from forebay.errors import InputError

if TYPE_CHECKING:
    from forebay.integrations.checking import Check, Trial
    from forebay.integrations.harness import Harness
    from forebay.store import Store

_SHOWN_TASKS = 3
_MOST_LINES = 12
_OF_ONE_REQUEST = " (request_id="
"""Where ModelScope's client begins to repeat its request and the answer in an error."""


@click.command(cls=Command)
@task_options
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1, 64), help="Loads at a time.")
@click.option("--json", "as_json", is_flag=True, help="What was tried and found, as JSON.")
@click.pass_obj
def check(session: Session, workers: int, as_json: bool, **tasks: Any) -> None:
    """Load all that tasks will load, without network, in the harness's own interpreter; say what is missing.

    Every dataset in every configuration and split, every metric, all NLTK data: from the store alone, through a mirror,
    in caches that are empty before and gone afterwards. The exit code is 1 if anything is missing, or cannot be known.

    \b
    forebay check --lm-eval hellaswag,mmlu
    forebay check --evalscope ceval --python ~/venvs/evalscope
    """
    wanted = asked(tasks)
    if not wanted:
        raise InputError("nothing to check", hint="write --lm-eval TASK,… or --evalscope NAME,…")
    with session.store() as store:
        found = wanted.closures(store)
        checks = [_tried(session, store, harness, closure, workers) for harness, closure in found]
    if as_json:
        emit({"harnesses": [each.to_json() for each in checks]})
    else:
        for each in checks:
            _show(each)
        if any(each.failed for each in checks):
            say_sentence("where there is a network, `forebay fetch` with the same options brings what a hub has of it")
    if any(each.failed or each.gaps for each in checks):
        raise click.exceptions.Exit(1)


def _tried(session: Session, store: Store, harness: Harness, closure: Any, workers: int) -> Check:
    from forebay.config import environment
    from forebay.hub import Hub
    from forebay.integrations import checking, nltk
    from forebay.io import temporary
    from forebay.mirror import environment as variables
    from forebay.mirror.running import Plan, Setting, run

    check = checking.plan(closure)
    if not check.trials:
        return check
    present = environment()
    with temporary("check") as folder:
        with Hub(store) as hub:
            data = nltk.lay_out(nltk.held(hub), folder / "nltk")

        def environ(endpoint: str) -> Mapping[str, str]:
            told = variables.variables(variables.Wanted(endpoint, caches=folder / "caches", nltk_data=data), present)
            return variables.applied(told, present)

        argv = checking.command(check, harness, folder, workers)
        mirror = ["--offline", "--home", str(session.settings().home)]
        setting = Setting(mirror, environ, variables=reading_only(store))
        run(Plan(argv, lambda: setting, isolate=True, warn=_warn))
        checking.take_in(check, folder)
    return check


def _show(check: Check) -> None:
    tool = f"{check.closure.tool} {check.closure.version}"
    tasks = text.counted(len(check.closure.tasks), "task")
    loaded = len(check.trials) - len(check.failed)
    lines = _missing(check) + [f"unknown  {gap}, for {_some(names)}" for gap, names in check.gaps]
    for line in lines[:_MOST_LINES]:
        say_sentence(line)
    if len(lines) > _MOST_LINES:
        say(f"… and {len(lines) - _MOST_LINES} more: --json tells all")
    say(f"{tool}: {tasks}; {loaded} of {len(check.trials)} load without network")


def _missing(check: Check) -> list[str]:
    """Return a line for each thing that does not load; one for all of a repository that fail alike."""
    alike: dict[tuple[Any, str], list[Trial]] = {}
    for trial in check.failed:
        error = trial.error.partition(_OF_ONE_REQUEST)[0]
        alike.setdefault((trial.job.get("path", trial.what), error), []).append(trial)
    lines: list[str] = []
    for (_, error), trials in alike.items():
        what = trials[0].what + (f" and {len(trials) - 1} more" if len(trials) > 1 else "")
        tasks = tuple(dict.fromkeys(task for trial in trials for task in trial.tasks))
        lines.append(f"missing  {what}, for {_some(tasks)}: {error}")
    return lines


def _some(tasks: tuple[str, ...]) -> str:
    more = len(tasks) - _SHOWN_TASKS
    return ", ".join(tasks[:_SHOWN_TASKS]) + (f" and {more} more" if more > 0 else "")


def _warn(line: str) -> None:
    click.echo(f"forebay: {line}", err=True)
