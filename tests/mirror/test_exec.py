"""`forebay exec` and `forebay env`: commands, unmodified."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from forebay.cli.commands.exec import _Room
from forebay.cli.session import Session
from forebay.testing import FakeHub, Repository
from forebay.testing.tinydata import hellaswag

SOURCE = Path(__file__).parents[2] / "src"
LOAD = 'from datasets import load_dataset; print(load_dataset("Rowan/hellaswag", split="test").num_rows)'
REACH = """
import os, socket, urllib.request
host, port = os.environ["HF_ENDPOINT"].removeprefix("http://").split(":")
print(len(urllib.request.urlopen(f"http://{host}:{port}/api/datasets/a/b").read()) > 10)
try:
    socket.create_connection(("192.0.2.1", 80), 3)
except OSError as error:
    print(error.errno)
"""


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    kept = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(SOURCE), "PYTHONWARNINGS": "ignore"}
    return kept | {"FOREBAY_HOME": str(tmp_path / "store"), "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}


@pytest.fixture
def execute(environ: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "forebay.cli", "exec", *arguments]
        return subprocess.run(command, env=environ | variables, capture_output=True, text=True, timeout=120)

    return run


def isolation_works() -> bool:
    done = subprocess.run(["unshare", "-n", "true"], capture_output=True, check=False)
    return done.returncode == 0


def test_online_then_offline(execute) -> None:
    with FakeHub([hellaswag()]) as fake:
        first = execute("--upstream", fake.hf_endpoint, "--private-caches", "--", sys.executable, "-c", LOAD)
        assert (first.returncode, first.stdout.strip()) == (0, "12"), first.stderr
        assert first.stderr.splitlines()[-1].startswith("forebay: 0 files from the store, 4 read through")
        fake.forget()
        arguments = ("--offline", "--upstream", fake.hf_endpoint, "--private-caches", "--")
        second = execute(*arguments, sys.executable, "-c", LOAD, HF_HUB_OFFLINE="1")
        assert (second.returncode, second.stdout.strip()) == (0, "12"), second.stderr
        told = second.stderr.splitlines()[-1]
        assert "4 files from the store, 0 read through" in told
        assert "0 requests upstream" in told
        assert fake.count() == 0


@pytest.mark.skipif(not isolation_works(), reason="this system lets us make no network namespace")
def test_offline_nothing_else_can_be_reached(execute) -> None:
    with FakeHub([Repository("a/b", files={"x": "1"})]) as fake:
        warm = "import os, urllib.request as u; u.urlopen(os.environ['HF_ENDPOINT'] + '/api/datasets/a/b')"
        assert execute("--upstream", fake.hf_endpoint, "--", sys.executable, "-c", warm).returncode == 0
    done = execute("--offline", "--", sys.executable, "-c", REACH)
    assert done.stdout.split() == ["True", "101"], done.stderr  # ENETUNREACH
    assert "no other address could be reached, though it was tried" in done.stderr
    quiet = execute("--offline", "--", "true")
    assert quiet.stderr.strip().endswith("no other address could be reached")


def test_without_isolation_there_is_no_proof(execute) -> None:
    done = execute("--offline", "--no-isolation", "--", "true")
    assert done.returncode == 0
    assert "no proof that no other address was contacted" in done.stderr


@pytest.mark.parametrize("arguments", [(), ("--offline",)])
def test_the_exit_code_is_the_command_s(arguments, execute) -> None:
    assert execute(*arguments, "--", "sh", "-c", "exit 42").returncode == 42
    assert execute(*arguments, "--", "sh", "-c", "kill -9 $$").returncode == 128 + 9


@pytest.mark.parametrize("arguments", [("-q",), ("-q", "--offline")])
def test_what_cannot_be_run_is_told_alike(arguments, execute, tmp_path: Path) -> None:
    plain, bare = tmp_path / "plain", tmp_path / "bare"
    for path, mode in ((plain, 0o644), (bare, 0o755)):
        path.write_text("echo x")
        path.chmod(mode)
    for command, told in (
        ("no-such-command", "No such file or directory; is it on PATH?"),
        (f"{tmp_path}/none", "No such file or directory; is that where it lies?"),
        (str(plain), "Permission denied; make it executable, or name the interpreter that runs it"),
        (str(bare), "Exec format error; it needs a first line that names its interpreter (#!/bin/sh)"),
    ):
        done = execute(*arguments, "--", command)
        assert (done.returncode, done.stderr) == (2, f"forebay: cannot run {command}: {told}\n")


def test_arguments_and_streams_are_the_command_s(execute) -> None:
    done = execute("-q", "--", "sh", "-c", 'echo "$1"; echo "$2" >&2', "--", "--offline", "-v")
    assert (done.returncode, done.stdout, done.stderr) == (0, "--offline\n", "-v\n")
    without_dashes = execute("-q", "echo", "--json", "x")
    assert without_dashes.stdout == "--json x\n"


@pytest.mark.parametrize("arguments", [(), ("--offline",)])
def test_signals_are_handed_on(arguments, environ) -> None:
    script = "trap 'echo got; exit 9' TERM; echo ready; while :; do sleep 0.05; done"
    command = [sys.executable, "-m", "forebay.cli", "exec", *arguments, "--", "sh", "-c", script]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, env=environ, start_new_session=True, **streams)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=30)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    assert (process.returncode, rest) == (9, "got\n")


def test_nothing_is_left_behind(environ, tmp_path) -> None:
    """Killed without a chance to tidy up, it takes the mirror with it."""
    script = f"echo $HF_ENDPOINT > {tmp_path}/endpoint; sleep 60"
    command = [sys.executable, "-m", "forebay.cli", "exec", "--", "sh", "-c", script]
    process = subprocess.Popen(command, env=environ, start_new_session=True)
    until = time.monotonic() + 30
    while not (tmp_path / "endpoint").exists() or not _mirrors(tmp_path):
        assert time.monotonic() < until
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    while _mirrors(tmp_path):
        assert time.monotonic() < until, "the mirror lives on"
        time.sleep(0.05)


def _mirrors(tmp_path: Path) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"--listen-fd" in words and str(tmp_path / "store").encode() in words:
                found.append(int(folder.name))
    return found


def test_the_command_s_caches(execute, tmp_path) -> None:
    code = "import os; print(os.environ.get('HF_HOME'), os.environ['HF_HUB_DISABLE_XET'])"
    assert execute("-q", "--", sys.executable, "-c", code).stdout == "None 1\n"
    private = execute("-q", "--private-caches", "--", sys.executable, "-c", code).stdout.split()[0]
    assert private.endswith("huggingface")
    assert not Path(private).exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--upstream", "bad"), "not an address: 'bad'"),
        (("--ms-upstream", "ftp://x"), "not an address"),
        (("--json",), "no such option '--json'"),
        (("--frsh-seconds", "3"), "no such option"),
    ],
)
def test_wrong_options_are_told_before_the_command_begins(arguments, says, execute, tmp_path) -> None:
    done = execute(*arguments, "--", "touch", str(tmp_path / "begun"))
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert says in done.stderr
    assert not (tmp_path / "begun").exists()


def test_settings_that_are_wrong_are_told_before_the_command_begins(execute, tmp_path) -> None:
    for wrong in ({"FOREBAY_FRESH_SECONDS": "x"}, {"FOREBAY_MAX_BYTES": "x"}):
        done = execute("--", "touch", str(tmp_path / "begun"), **wrong)
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert not (tmp_path / "begun").exists()


FETCH = "import os, urllib.request as u; print(u.urlopen(os.environ['HF_ENDPOINT'] + '/a/b/resolve/main/x').read())"


def test_a_store_that_cannot_be_used(execute, tmp_path) -> None:
    """Online the command has what it wants; offline there is nothing to begin with."""
    (tmp_path / "file").touch()
    with FakeHub([Repository("a/b", type="model", files={"x": "1"})]) as fake:
        for unfit in ({"FOREBAY_HOME": str(tmp_path / "file" / "x")}, {"FOREBAY_READ_ONLY": "1"}):
            done = execute("--upstream", fake.hf_endpoint, "--", sys.executable, "-c", FETCH, **unfit)
            assert (done.returncode, done.stdout) == (0, "b'1'\n"), done.stderr
            told = done.stderr.splitlines()
            assert (len(told), "nothing is kept" in told[0]) == (2, True), told
            offline = execute("--offline", "--", "touch", str(tmp_path / "begun"), **unfit)
            assert (offline.returncode, len(offline.stderr.splitlines())) == (1, 1)
    assert not (tmp_path / "begun").exists()


def test_a_store_that_may_only_be_read(execute) -> None:
    """One warning, and that only when there is something that is not kept."""
    with FakeHub([Repository("a/b", type="model", files={"x": "1"})]) as fake:
        execute("--", "true")
        for command, warnings in (("pass", 0), (FETCH, 1)):
            arguments = ("--upstream", fake.hf_endpoint, "--", sys.executable, "-c", command)
            done = execute(*arguments, FOREBAY_READ_ONLY="1")
            assert done.returncode == 0, done.stderr
            told = [line for line in done.stderr.splitlines() if "store in" in line]
            assert len(told) == warnings, done.stderr


def test_caches_that_may_not_be_written_are_named(monkeypatch, capsys) -> None:
    monkeypatch.setenv("HF_HOME", "/nonexistent/there")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with ExitStack() as stack:
        assert _Room(stack, Session(), private=False, offline=False)._caches() is not None
    assert "HF_HOME may not be written (/nonexistent/there)" in capsys.readouterr().err


@pytest.mark.usefixtures("no_home")
def test_who_has_no_home_folder_gets_caches_that_go(tmp_path, monkeypatch, capsys) -> None:
    """The programs themselves would make a folder by the name of ~ where they are started."""
    monkeypatch.chdir(tmp_path)
    with ExitStack() as stack:
        room = _Room(stack, Session(home=str(tmp_path / "store")), private=False, offline=False)
        environ = room.setting([], with_prepared=True).environ("http://127.0.0.1:1")
        assert Path(environ["HF_HOME"]).parent.is_dir()
    assert not Path(environ["HF_HOME"]).parent.exists()
    assert not list(tmp_path.glob("~*"))
    assert "no home folder is known" in capsys.readouterr().err


def test_env(environ) -> None:
    def told(*arguments: str) -> str:
        command = [sys.executable, "-m", "forebay.cli", "env", *arguments]
        return subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout

    assert "export HF_ENDPOINT=http://127.0.0.1:8970\n" in told()
    assert "set -gx HF_ENDPOINT 'http://mirror:1'\n" in told("--mirror", "http://mirror:1", "--shell", "fish")
    assert "$Env:HF_HUB_DISABLE_XET = '1'\n" in told("--shell", "powershell")
    assert json.loads(told("--json", "--token", "t"))["HF_TOKEN"] == "t"
