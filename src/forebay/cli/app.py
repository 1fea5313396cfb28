"""The frame of the command line: the lazy group, options that every command has, errors and exit codes.

Exit codes: 0 done, 1 it failed, 2 what was given is wrong, 130 stopped by Ctrl-C, 141 the reader of a pipe went away.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, cast

import click

from forebay import __version__
from forebay.cli.session import Session
from forebay.errors import ForebayError
from forebay.text import one_line

RUNNING, HUBS, STORE = "Running", "Hubs", "The store"

COMMANDS: dict[str, tuple[str, str, str]] = {
    "run": (RUNNING, "run", "Run a recipe; what was done before is not done again."),
    "explain": (RUNNING, "explain", "Say why work is done again: what differs in its key."),
    "fetch": (HUBS, "fetch", "Fetch datasets and models into the store, each byte once."),
    "check": (HUBS, "check", "Load all that tasks will load, without network."),
    "lock": (HUBS, "lock", "Say what has moved since a lock file was written."),
    "view": (HUBS, "view", "Lay out what a program reads, without a second copy."),
    "adopt": (HUBS, "adopt", "Take over what other programs have downloaded."),
    "mirror": (HUBS, "mirror", "Answer the hubs' own clients from the store."),
    "exec": (HUBS, "exec", "Run a command unmodified, with a mirror of its own."),
    "env": (HUBS, "env", "Print what programs need to ask a mirror, for a shell."),
    "bundle": (HUBS, "bundle", "Carry data to a machine without network."),
    "ls": (STORE, "ls", "List what the store holds."),
    "show": (STORE, "show", "Show one entry and what its key is made of."),
    "du": (STORE, "du", "Show the space taken, by kind and by dataset."),
    "pin": (STORE, "pin", "Keep entries for ever: eviction spares them."),
    "unpin": (STORE, "pin", "Let eviction have pinned entries again."),
    "rm": (STORE, "rm", "Remove entries."),
    "gc": (STORE, "gc", "Evict down to a size or an age; clear left-overs."),
    "verify": (STORE, "verify", "Check stored bytes against their names."),
    "reindex": (STORE, "reindex", "Build the index anew from the files."),
}
"""Command -> (section of the help, module within `forebay.cli.commands`, its short help).

Literal, so that `forebay --help` and completion import no command.
"""


def _note_home(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
    if value is not None:
        ctx.ensure_object(Session).home = value


def _note_verbose(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        ctx.ensure_object(Session).verbose = True


def _shared_options() -> list[click.Parameter]:
    """Return the options that may stand before or after any command's name."""
    home = click.Option(
        ["--home"],
        type=click.Path(),
        expose_value=False,
        is_eager=True,
        callback=_note_home,
        metavar="FOLDER",
        help="Root of the store (else $FOREBAY_HOME, else ~/.cache/forebay).",
    )
    verbose = click.Option(
        ["-v", "--verbose"],
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=_note_verbose,
        help="Show the traceback of an error.",
    )
    return [home, verbose]


class Command(click.Command):
    """A command with the options that all have."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += _shared_options()


class Frame(click.Group):
    """A group that imports a command only to run it, and turns errors into one line and an exit code."""

    table = COMMANDS

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, in the order of the help."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in self.table:
            return None
        module = importlib.import_module(f"forebay.cli.commands.{self.table[cmd_name][1]}")
        return cast("click.Command", getattr(module, cmd_name))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which one may have been meant."""
        if args and args[0] not in self.table and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], self.table, n=1)
            meant = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(self.table)}"
            ctx.fail(f"no such command {args[0]!r}; {meant}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands by section, without importing them."""
        for section in (RUNNING, HUBS, STORE):
            with formatter.section(section):
                formatter.write_dl([(name, text) for name, (where, _, text) in self.table.items() if where == section])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        """Complete commands without importing them, and this group's options."""
        from click.shell_completion import CompletionItem

        named = [CompletionItem(name, help=row[2]) for name, row in self.table.items() if name.startswith(incomplete)]
        return named + click.Command.shell_complete(self, ctx, incomplete)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = "forebay",
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command line; with `standalone_mode` exit with its code, else return it.

        In place of click's own, which answers Ctrl-C, closed pipes and errors in several lines or other codes.
        """
        name = prog_name or "forebay"
        self._main_shell_completion(extra, name, complete_var)
        _open_standard_streams()
        session = Session()
        _forgiving_output()
        code = self._run(list(sys.argv[1:] if args is None else args), name, session, extra)
        if standalone_mode:
            sys.exit(code)
        return code

    def _run(self, args: list[str], name: str, session: Session, extra: dict[str, Any]) -> int:
        context: dict[str, Any] = {"obj": session, **extra}
        try:
            with self.make_context(name, args, None, **context) as ctx:
                self.invoke(ctx)
            sys.stdout.flush()
        except click.exceptions.Exit as done:
            return done.exit_code
        except BrokenPipeError:
            _drop_output()
            return 141
        except (KeyboardInterrupt, click.Abort) as stop:
            return _line(f"forebay: {str(stop) or 'stopped'}", 130)
        # Whatever goes wrong in a command must reach its user as one line; -v shows all of it.
        except Exception as error:  # noqa: BLE001
            return _report(error, session.verbose)
        return 0


def _report(error: Exception, verbose: bool) -> int:
    """Write one line about `error` (its traceback first where wanted) and return the exit code."""
    if isinstance(error, click.UsageError):
        where = error.ctx.command_path if error.ctx else "forebay"
        return _line(f"{where}: {_sentence(error.format_message())}; see {where} --help", 2)
    if isinstance(error, click.ClickException):
        return _line(f"forebay: {_sentence(error.format_message())}", error.exit_code)
    if verbose:
        import traceback

        click.echo("".join(traceback.format_exception(error)), err=True, nl=False)
    if isinstance(error, ForebayError):
        return _line(f"forebay: {error}", error.exit_code)
    if isinstance(error, OSError) and error.strerror:
        where = f": {error.filename}" if error.filename else ""
        return _line(f"forebay: {error.strerror}{where}", 1)
    return _line(f"forebay: unexpected {type(error).__name__}: {error}; run with -v to see where", 1)


def _sentence(message: str) -> str:
    """Return one of click's messages in our manner: no capital, no full stop."""
    text = one_line(message).rstrip(".").replace(". Did you mean", ", did you mean")
    return text[:1].lower() + text[1:]


def _line(text: str, code: int) -> int:
    click.echo(one_line(text), err=True)
    return code


def _open_standard_streams() -> None:
    """Open what the caller has closed: the next file of the store would get its number, and whatever is printed."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest free number, which is this
        if getattr(sys, name) is None:
            stream = os.fdopen(number, "w" if number else "r", encoding="utf-8", closefd=False)
            setattr(sys, name, stream)


def _forgiving_output() -> None:
    """Let a terminal that cannot show a letter show ``?`` instead of ending the command."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")


def _drop_output() -> None:
    """Point standard output nowhere, so that Python's own flush at exit does not fail on the closed pipe."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _show_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if not wanted:
        return
    click.echo(f"forebay {__version__}")
    ctx.exit()


@click.command(
    cls=Frame,
    params=_shared_options(),
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_show_version,
    help="Show the version and exit.",
)
@click.pass_context
def forebay(ctx: click.Context) -> None:
    """The dataset cache for machine learning: work that has been done is never done again.

    \b
    forebay run recipe.yaml      run it; run it again: nothing is left to do
    forebay explain recipe.yaml  what would be computed, and why
    forebay COMMAND --help       all options of a command
    """
    from forebay.config import colour_wanted

    ctx.color = None if colour_wanted() else False
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
