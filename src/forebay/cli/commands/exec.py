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
    from forebay.mirror.running import Run, Setting
    from forebay.store import Store


@click.command("exec", cls=Command, context_settings={"allow_interspersed_args": False})
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
    help="Give datasets of many configurations to the datasets library as prepared Arrow, having fetched and prepared"
    " what is not; or never.  [default: what is prepared]",
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
    from functools import partial

    from forebay.config import resolve_hub
    from forebay.mirror.environment import check_addresses
    from forebay.mirror.running import Plan, run

    check_addresses((*upstream, *ms_upstream))
    resolve_hub()  # the mirror would stumble over what is wrong in there when the command has begun
    arguments = ["--offline"] if offline else []
    arguments += [*_repeated("--upstream", upstream), *_repeated("--ms-upstream", ms_upstream)]
    arguments += [] if fresh_seconds is None else ["--fresh-seconds", str(fresh_seconds)]
    if prepared is None and not offline:
        arguments.append("--prepared-later")
    with ExitStack() as stack:
        room = _Room(stack, session, private=private_caches, offline=offline)
        setting = partial(room.setting, arguments, with_prepared=prepared is not False)
        done = run(Plan(command, setting, isolate=offline and not no_isolation, warn=_warn))
    if not quiet:
        click.echo(f"forebay: {_told(done, offline)}", err=True)
    if done.code:
        raise click.exceptions.Exit(done.code)


def _repeated(option: str, values: tuple[str, ...]) -> list[str]:
    return [part for value in values for part in (option, value)]


def reading_only(store: Store) -> dict[str, str]:
    """Return what tells a mirror of the same store not to try to write, and to tell of that, where we could not."""
    return {} if store.writable else {"FOREBAY_READ_ONLY": "1"}


class _Room:
    """What a command is given for as long as it runs.

    Args:
        stack: removes it in the end.
        session: whose store it comes from.
        private: give it empty caches.
        offline: what is not in the store cannot be had.
    """

    def __init__(self, stack: ExitStack, session: Session, *, private: bool, offline: bool) -> None:
        from forebay.config import environment

        self._stack, self._session, self._private, self._offline = stack, session, private, offline
        self._present = environment()
        self._datasets_cache: Path | None = None
        self._datasets_kept: Path | None = None

    def setting(self, arguments: Sequence[str], *, with_prepared: bool) -> Setting:
        """Make it, and tell the mirror of it by its arguments.

        Raises:
            StoreError: there is no store, none can be made, and nothing else to serve from.
        """
        from forebay.mirror import environment as variables
        from forebay.mirror.running import Setting

        home, for_mirror, nltk_data = self._look_at_store()
        caches = self._caches()
        told = self._lay_datasets_cache(caches) if with_prepared else []

        def environ(endpoint: str) -> Mapping[str, str]:
            wanted = variables.Wanted(endpoint, caches=caches, nltk_data=nltk_data, datasets_cache=self._datasets_cache)
            return variables.applied(variables.variables(wanted, self._present), self._present)

        return Setting(["--home", str(home), *arguments, *told], environ, self._tidy, for_mirror)

    def _look_at_store(self) -> tuple[Path, Mapping[str, str], Path | None]:
        """Return the store that the mirror serves, what its environment shall say, and the store's NLTK data.

        A store that cannot be used must not keep the command from running, if there is a network.
        """
        from forebay.errors import StoreError
        from forebay.store import Store

        settings = self._session.settings()
        try:
            with Store.open(settings) as store:  # the mirror will tell what is the matter with it
                return settings.home, reading_only(store), self._nltk_data(store)
        except StoreError as error:
            if self._offline:
                raise
            _warn(f"nothing is kept: {error.what}")
            return self._folder("store"), {"FOREBAY_READ_ONLY": "0"}, None

    def _folder(self, name: str) -> Path:
        from forebay.io import temporary

        return self._stack.enter_context(temporary(name))

    def _caches(self) -> Path | None:
        """Return a folder for the command's caches; None: it keeps its own."""
        import os

        from forebay.mirror.environment import usual_hf_home

        home = usual_hf_home(self._present)
        if home.parts[0].startswith("~") and not self._private:
            _warn("no home folder is known: the command gets caches of its own, removed afterwards")
            return self._folder("exec")
        nearest = next((folder for folder in (home, *home.parents) if folder.exists()), home)
        if not self._private and not os.access(nearest, os.W_OK):
            _warn(f"HF_HOME may not be written ({home}): the command gets caches of its own, removed afterwards")
            return self._folder("exec")
        return self._folder("exec") if self._private else None

    def _lay_datasets_cache(self, caches: Path | None) -> Sequence[str]:
        """Make a cache of datasets for the command, and return what its mirror must be told of it.

        All that the command's own cache has is seen in it, and what the command adds there stays.
        """
        from forebay.mirror.caches import lay_links
        from forebay.mirror.environment import usual_datasets_cache

        folder = self._folder("datasets")
        if caches is None:
            kept = usual_datasets_cache(self._present).absolute()
            try:
                lay_links(folder, kept)
            except OSError as error:
                _warn(f"datasets are not given as prepared Arrow: {kept}: {error.strerror}")
                return []
            self._datasets_kept = kept
        self._datasets_cache = folder
        kept_told = ["--prepared-kept", str(self._datasets_kept)] if self._datasets_kept is not None else []
        return ["--prepared-into", str(folder), *kept_told]

    def _nltk_data(self, store: Store) -> Path | None:
        """Return a folder with the NLTK packages of the store; None: it has none."""
        if not store.names.list("hub/url/"):
            return None
        from forebay.hub import Hub
        from forebay.integrations import nltk

        with Hub(store) as hub:  # a package that is no good must not keep the command from running
            return nltk.lay_held(hub, lambda: self._folder("nltk"), _warn)

    def _tidy(self) -> None:
        """Keep what the command has added to the cache of datasets, and remove that."""
        import shutil

        from forebay.mirror.caches import bring_home

        if self._datasets_cache is None:
            return
        if self._datasets_kept is not None:
            try:
                bring_home(self._datasets_cache, self._datasets_kept)
            except OSError as error:
                _warn(f"not all that was computed is kept in {self._datasets_kept}: {error}")
        shutil.rmtree(self._datasets_cache, ignore_errors=True)


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
