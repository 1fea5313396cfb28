"""`forebay exec`: a command, unmodified, with a mirror of its own."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from forebay.cli.app import Command
from forebay.cli.commands.mirror import counted
from forebay.cli.session import Session

if TYPE_CHECKING:
    from forebay.mirror.running import Run


@click.command("exec", cls=Command, context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option(
    "--offline", is_flag=True, help="Let it reach the store and nothing else, where the system can see to that."
)
@click.option(
    "--no-isolation", is_flag=True, help="With --offline: leave the command its network; only the mirror is offline."
)
@click.option("--upstream", multiple=True, metavar="URL", help="As of `forebay mirror`.")
@click.option("--ms-upstream", multiple=True, metavar="URL", help="As of `forebay mirror`.")
@click.option("--fresh-seconds", type=click.FloatRange(min=0), help="As of `forebay mirror`.")
@click.option(
    "--private-caches",
    is_flag=True,
    help="Give the command empty caches of its own (HF_HOME, MODELSCOPE_CACHE), removed afterwards.",
)
@click.option(
    "--prepared/--no-prepared",
    default=None,
    help="Give datasets of many configurations to the datasets library as prepared Arrow.  [default: with --offline]",
)
@click.option("--quiet", "-q", is_flag=True, help="Do not say in the end what was saved.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND [ARGUMENT]…")
@click.pass_obj
def exec(  # noqa: A001 - the command's name, by which it is found
    session: Session,
    offline: bool,
    no_isolation: bool,
    upstream: tuple[str, ...],
    ms_upstream: tuple[str, ...],
    fresh_seconds: float | None,
    private_caches: bool,
    prepared: bool | None,
    quiet: bool,
    command: tuple[str, ...],
) -> None:
    """Run a command unmodified; what it asks hubs for comes from the store.

    A mirror of its own is started for it on a free port, and its environment is set so that Hugging Face's and
    ModelScope's clients in it ask there. Its exit code is ours. With --offline the hubs are never asked, and the
    command runs where no other address can be reached at all, if the system lets us (Linux: network namespaces).
    """
    from forebay.config import environment
    from forebay.mirror import environment as variables
    from forebay.mirror.running import Plan, run

    present = environment()
    arguments = [*(["--offline"] if offline else []), *_repeated("--upstream", upstream)]
    arguments += _repeated("--ms-upstream", ms_upstream)
    arguments += [] if fresh_seconds is None else ["--fresh-seconds", str(fresh_seconds)]
    arguments += ["--home", str(session.settings().home)]
    with ExitStack() as stack:
        caches = _caches(stack, present, private_caches)
        nltk_data = _nltk_data(stack, session)
        datasets_cache = None
        if offline if prepared is None else prepared:
            datasets_cache, told = _datasets_cache(stack, present, caches)
            arguments += told

        def environ(endpoint: str) -> Mapping[str, str]:
            wanted = variables.Wanted(endpoint, caches=caches, nltk_data=nltk_data, datasets_cache=datasets_cache)
            told = variables.variables(wanted, present)
            return variables.applied(told, present)

        plan = Plan(command, arguments, environ, isolate=offline and not no_isolation, warn=_warn)
        done = run(plan)
    if not quiet:
        click.echo(f"forebay: {_told(done, offline)}", err=True)
    if done.code:
        raise click.exceptions.Exit(done.code)


def _repeated(option: str, values: tuple[str, ...]) -> list[str]:
    return [part for value in values for part in (option, value)]


def _caches(stack: ExitStack, present: Mapping[str, str], private: bool) -> Path | None:
    """Return a folder for the command's caches; None: it keeps its own."""
    import os
    import tempfile

    from forebay.mirror.environment import usual_hf_home

    home = usual_hf_home(present)
    nearest = next((folder for folder in (home, *home.parents) if folder.exists()), home)
    if not private and not os.access(nearest, os.W_OK):
        _warn(f"{nearest} may not be written: the command gets caches of its own, removed afterwards")
        private = True
    return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="forebay-exec-"))) if private else None


def _datasets_cache(stack: ExitStack, present: Mapping[str, str], caches: Path | None) -> tuple[Path, Sequence[str]]:
    """Return a cache of datasets for the command, and what its mirror must be told of it.

    All that the command's own cache has is seen in it, and what the command adds there stays.
    """
    import tempfile

    from forebay.mirror.environment import usual_datasets_cache
    from forebay.mirror.shelf import lay_links

    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="forebay-datasets-")))
    if caches is not None:
        return folder, ["--prepared-into", str(folder)]
    kept = usual_datasets_cache(present).absolute()
    lay_links(folder, kept)
    return folder, ["--prepared-into", str(folder), "--prepared-kept", str(kept)]


def _nltk_data(stack: ExitStack, session: Session) -> Path | None:
    """Return a folder with the NLTK packages of the store; None: it has none."""
    import tempfile

    from forebay.errors import InputError
    from forebay.hub import Hub
    from forebay.integrations import nltk

    with session.present_store() as store:
        if store is None or not store.names.list("hub/url/"):
            return None
        with Hub(store) as hub:
            packages = list(nltk.held(hub))
            if not packages:
                return None
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="forebay-nltk-")))
            for package in packages:
                try:
                    nltk.lay_out([package], folder)
                except InputError as error:  # one that is no good must not keep the command from running
                    _warn(str(error))
            return folder


def _told(done: Run, offline: bool) -> str:
    parts = [counted(dict(done.counts)) if done.counts else "the mirror died and counted nothing"]
    if done.isolated:
        seen = "" if not done.attempts else f", though it was tried {done.attempts} times"
        parts.append(f"no other address could be reached{seen}")
    elif offline:
        parts.append("no proof that no other address was contacted")
    return "; ".join(parts)


def _warn(line: str) -> None:
    click.echo(f"forebay: {line}", err=True)
    sys.stderr.flush()
