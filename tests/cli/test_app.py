"""The frame: help, errors as one line, exit codes, shared options, completion."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import click
import pytest
from click.testing import CliRunner, Result

from forebay import errors
from forebay.cli.app import COMMANDS, RUNNING, Command, Frame, forebay
from forebay.cli.session import Session

FOREBAY = [sys.executable, "-m", "forebay.cli"]


@click.command(cls=Command)
@click.argument("what")
@click.pass_obj
def fail(session: Session, what: str) -> None:
    """Fail in the way that is asked for."""
    match what:
        case "home":
            click.echo(str(session.settings().home))
        case "input":
            raise errors.InputError("no such dataset: a.jsonl", hint="look at dataset_path")
        case "store":
            raise errors.StoreFullError("the store is full:\n 3 kB free", hint="forebay gc")
        case "interrupt":
            raise KeyboardInterrupt
        case "os":
            Path("/nonexistent/folder").read_bytes()
        case _:
            raise ZeroDivisionError("by\nzero")


@pytest.fixture
def frame(monkeypatch: pytest.MonkeyPatch) -> Frame:
    """A frame with one command, which fails as told."""
    module = types.ModuleType("forebay.cli.commands.failing")
    module.fail = fail  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)

    class Small(Frame):
        table: ClassVar = {"fail": (RUNNING, "failing", "Fail.")}

    return Small(name="forebay", params=[*forebay.params], callback=forebay.callback, invoke_without_command=True)


@pytest.mark.parametrize(
    ("what", "code", "line"),
    [
        ("input", 2, "forebay: no such dataset: a.jsonl; look at dataset_path"),
        ("store", 1, "forebay: the store is full: 3 kB free; forebay gc"),
        ("interrupt", 130, "forebay: stopped"),
        ("os", 1, "forebay: No such file or directory: /nonexistent/folder"),
        ("bug", 1, "forebay: unexpected ZeroDivisionError: by zero; run with -v to see where"),
    ],
)
def test_an_error_is_one_line_and_a_code(frame: Frame, what: str, code: int, line: str) -> None:
    result = CliRunner().invoke(frame, ["fail", what])
    assert result.stderr == line + "\n"
    assert result.stdout == ""
    assert result.exit_code == code


@pytest.mark.parametrize(
    "arguments", [["-v", "fail", "input"], ["fail", "-v", "input"], ["fail", "input", "--verbose"]]
)
def test_verbose_shows_the_traceback_wherever_it_stands(frame: Frame, arguments: list[str]) -> None:
    result = CliRunner().invoke(frame, arguments)
    assert "Traceback (most recent call last)" in result.stderr
    assert result.stderr.endswith("forebay: no such dataset: a.jsonl; look at dataset_path\n")
    assert result.exit_code == 2


@pytest.mark.parametrize("arguments", [["--home", "x/y", "fail", "home"], ["fail", "--home", "x/y", "home"]])
def test_home_may_stand_before_or_after_the_command(
    frame: Frame, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(frame, arguments).stdout == f"{tmp_path / 'x/y'}\n"


@pytest.mark.parametrize("arguments", [["--home", "", "fail", "home"], ["fail", "--home", "", "home"]])
def test_a_home_without_a_name_is_refused(frame: Frame, arguments: list[str]) -> None:
    result = CliRunner().invoke(frame, arguments)
    assert (result.exit_code, result.stderr) == (2, "forebay: setting home (argument): '' is no folder\n")


def test_home_is_by_default_what_the_environment_says(frame: Frame) -> None:
    assert CliRunner().invoke(frame, ["fail", "home"]).stdout.strip() == os.environ["FOREBAY_HOME"]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["rnu"], "forebay: no such command 'rnu'; did you mean 'run'?; see forebay --help"),
        (["--colour"], "forebay: no such option '--colour'; see forebay --help"),
        (["ls", "--kin"], "forebay ls: no such option '--kin', did you mean '--kind'?; see forebay ls --help"),
        (["pin"], "forebay pin: missing argument 'KEY...'; see forebay pin --help"),
        (
            ["run", "r", "--np", "0"],
            "forebay run: invalid value for '--np': 0 is not in the range x>=1; see forebay run --help",
        ),
    ],
)
def test_wrong_usage_is_one_line_and_2(arguments: list[str], line: str) -> None:
    result = CliRunner().invoke(forebay, arguments)
    assert result.stderr == line + "\n"
    assert result.exit_code == 2


def test_a_wrong_setting_is_one_line_and_2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOREBAY_MAX_BYTES", "lots")
    result = CliRunner().invoke(forebay, ["ls"])
    assert result.stderr.startswith("forebay: setting max_bytes (environment): not a size in bytes: 'lots'")
    assert len(result.stderr.splitlines()) == 1
    assert result.exit_code == 2


def test_alone_it_shows_its_help() -> None:
    result = CliRunner().invoke(forebay, [])
    assert result.exit_code == 0
    assert result.stdout == CliRunner().invoke(forebay, ["--help"]).stdout


def _leaves() -> dict[str, click.Command]:
    """Every command, those of groups by two words."""
    context = click.Context(forebay)
    found: dict[str, click.Command] = {}
    for name in COMMANDS:
        command = forebay.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            found |= {f"{name} {sub}": leaf for sub, leaf in command.commands.items()}
        else:
            found[name] = command
    return found


LEAVES = _leaves()
NO_TABLE = {"exec"}
"""What speaks through the program that it runs has no JSON to give."""


@pytest.mark.parametrize("name", COMMANDS)
def test_the_literal_table_says_what_the_command_says(name: str) -> None:
    module = importlib.import_module(f"forebay.cli.commands.{COMMANDS[name][1]}")
    command = getattr(module, name)
    assert isinstance(command, (Command, click.Group))
    assert command.name == name
    assert COMMANDS[name][2] in forebay.get_help(click.Context(forebay))


@pytest.mark.parametrize("name", LEAVES)
def test_help_tells_every_option(name: str) -> None:
    result = CliRunner().invoke(forebay, [*name.split(), "--help"])
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert isinstance(LEAVES[name], Command)
    for parameter in LEAVES[name].params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            assert parameter.help, f"{name} {parameter.opts} has no help"
            assert parameter.opts[-1] in result.stdout
    assert "--json" in result.stdout or name in NO_TABLE
    assert "--home" in result.stdout


@pytest.mark.parametrize("name", ["bundle", "lock"])
def test_no_command_of_a_group_is_told_half(name: str) -> None:
    told = CliRunner().invoke(forebay, [name, "--help"]).stdout.partition("Commands:")[2]
    assert "..." not in told
    assert told.count("\n  ") == len(told.strip().splitlines())


def test_fetch_can_do_without_a_reference() -> None:
    assert "[REFERENCE]..." in CliRunner().invoke(forebay, ["fetch", "--help"]).stdout


@pytest.mark.parametrize("name", LEAVES)
def test_the_documentation_tells_of_it(name: str) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs/cli.md").read_text("utf-8")
    assert f"forebay {name}" in page or f", {name}" in page
    for parameter in LEAVES[name].params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            assert parameter.opts[0] in page, f"{name} {parameter.opts[0]}"


def test_help_imports_no_command_and_nothing_heavy() -> None:
    loaded = _modules_after(["--help"])
    assert not [name for name in loaded if name.startswith("forebay.cli.commands.")]
    assert not loaded & {"numpy", "pyarrow", "rich", "yaml", "orjson", "sqlite3", "asyncio", "multiprocessing"}


def test_completion_of_commands_imports_none() -> None:
    environment = {**os.environ, "_FOREBAY_COMPLETE": "bash_complete", "COMP_WORDS": "forebay r", "COMP_CWORD": "1"}
    done = subprocess.run(FOREBAY, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["plain,run", "plain,rm", "plain,reindex"]
    environment.update(COMP_WORDS="forebay ls --k", COMP_CWORD="2")
    done = subprocess.run(FOREBAY, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["plain,--kind"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_can_be_sourced(shell: str) -> None:
    environment = {**os.environ, "_FOREBAY_COMPLETE": f"{shell}_source"}
    done = subprocess.run(FOREBAY, env=environment, capture_output=True, text=True, check=False)
    assert "_FOREBAY_COMPLETE" in done.stdout


def test_a_reader_that_goes_away_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run([*FOREBAY, "--help"], stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    finally:
        os.close(write)
    assert done.stderr == ""
    assert done.returncode == 141


def test_letters_that_the_terminal_lacks_do_not_end_the_command() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1:strict", "FOREBAY_HOME": "/tmp/数据"}
    done = subprocess.run([*FOREBAY, "ls"], env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == b"nothing yet in /tmp/??\n"


def _modules_after(arguments: list[str]) -> set[str]:
    """Run a command in a fresh process; return the modules that were imported in the end."""
    code = (
        "import json, sys\nfrom forebay.cli.app import forebay\n"
        f"forebay.main({arguments!r}, standalone_mode=False)\n"
        "print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stderr.splitlines()[-1]))


def test_as_a_module() -> None:
    """The package itself can be run, and processes that are made by starting anew take no harm from it."""
    for name in ("forebay", "forebay.cli"):
        done = subprocess.run([sys.executable, "-m", name, "--version"], capture_output=True, text=True, check=True)
        assert done.stdout.startswith("forebay ")
    code = (
        "import multiprocessing, os, runpy, sys\n"
        "import forebay.cli\n"
        "def main():\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "        print(pool.apply(os.path.basename, ('a/b',)))\n"
        "forebay.cli.main = main\n"
        "runpy.run_module('forebay', run_name='__main__', alter_sys=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "b\n"


@pytest.mark.parametrize(
    "arguments", ["view hf", "adopt", "bundle create", "bundle install", "run", "fetch --from", "lock diff"]
)
def test_empty_path_is_not_the_working_folder(
    arguments: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Callable[..., Result]
) -> None:
    """An unset variable between quotes: nothing is laid, read or written where one happens to be."""
    monkeypatch.chdir(tmp_path)
    result = call(*arguments.split(), "", code=2)
    assert "the path is empty" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_what_was_loaded_is_not_collected_at_the_end() -> None:
    """Python would go through all of it once more as it ends, which takes a seventh of a command."""
    code = (
        "import atexit, gc, sys; from forebay.cli import main\n"
        "atexit.register(lambda: print(gc.get_freeze_count() > 10_000))\n"
        "sys.argv = ['forebay', '--version']; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "True"
