"""`make demo-offline`: what its screen promises, what it does when a promise is broken, and how bob is kept apart."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src"
WHEELS = ROOT / "demo" / "work" / "wheels"
CLIENTS = Path(os.environ.get("FOREBAY_CLIENT_ENVS", ROOT / ".venvs"))
REFUSED = 97


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    """Return a copy of what the demo is made of, so that it works in a folder of its own."""
    shutil.copytree(ROOT / "demo" / "offline", tmp_path / "demo" / "offline")
    shutil.copy(ROOT / "demo" / "run_offline.py", tmp_path / "demo")
    (tmp_path / "requirements").mkdir()
    shutil.copy(ROOT / "requirements" / "offline-demo.lock", tmp_path / "requirements")
    return tmp_path


@pytest.fixture
def wheels(demo: Path) -> Path:
    """Put the packages with the data there, or skip."""
    if not (CLIENTS / "lmeval" / "bin" / "lm_eval").exists():
        pytest.skip("no environment lmeval: make test-clients builds it")
    if not (WHEELS / ".there").exists():
        pytest.skip("no packages with data: make demo-offline downloads them")
    shutil.copytree(WHEELS, demo / "demo" / "work" / "wheels")
    return demo


def run(place: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": str(SOURCE), "FOREBAY_CLIENT_ENVS": str(CLIENTS)}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=place, env=environ, capture_output=True, text=True, check=False)


@pytest.mark.clients
@pytest.mark.slow
def test_the_screen_keeps_its_promise(wheels: Path) -> None:
    done = run(wheels, "demo/run_offline.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    steps = [line.split() for line in lines if re.match(r"\d (alice|bob)", line)]
    assert [step[0] for step in steps] == list("1234567")
    first, *others = (int(n) for n in re.findall(r" (\d+) +(?:[\d.]+ MB|-) +[\d.]+$", done.stdout, re.MULTILINE))
    assert first > 8
    assert others == [0] * 6
    assert "5 of 5 load: 1,827 rows" in done.stdout
    for task, rows in ("humaneval", "164"), ("bfcl_which_function", "200"), ("writingbench_domain", "1,000"):
        assert any(line.startswith(f"{task} ") and line.endswith(f"20 of {rows}") for line in lines)
    if os.getuid() == 0 and "Not as far" not in done.stdout:
        bob = wheels / "demo" / "work" / "offline" / "bob"
        owners = {path.lstat().st_uid for path in (bob / "store").rglob("*")}
        assert owners
        assert 0 not in owners


@pytest.mark.clients
def test_a_promise_that_is_broken(wheels: Path) -> None:
    task = wheels / "demo" / "offline" / "tasks" / "swe_lancer_variant.yaml"
    task.write_text(task.read_text().replace("inspect-evals/swe_lancer", "inspect-evals/nothing"))
    done = run(wheels, "demo/run_offline.py")
    assert done.returncode == 1
    assert "demo: a command ended with code 1" in done.stderr
    assert "inspect-evals/nothing" in done.stderr
    assert "2 alice" not in done.stdout


def test_packages_that_are_not_there(demo: Path) -> None:
    code = "import sys; sys.path.insert(0, 'demo'); from offline import material; material.wheels()"
    done = run(demo, "-c", code)
    assert done.returncode == 1
    assert re.search(r"has no bfcl-eval .*`make demo-offline` downloads it", done.stderr)


def away(place: Path, uid: int, gid: int, code: str) -> subprocess.CompletedProcess[str]:
    folders = os.pathsep.join(map(str, (sys.prefix, sys.base_prefix)))
    command = ["demo/offline/away.py", str(uid), str(gid), folders, sys.executable, "-c", code]
    done = run(place, *command)
    if done.returncode == REFUSED:
        pytest.skip(f"not here: {done.stderr.strip()}")
    return done


def test_away_there_is_no_network(demo: Path) -> None:
    code = "import socket; s = socket.socket(); print(s.connect_ex(('127.0.0.1', 9)), s.connect_ex(('192.0.2.1', 9)))"
    done = away(demo, os.getuid(), os.getgid(), code)
    refused, unreachable = map(int, done.stdout.split())
    assert os.strerror(refused) == "Connection refused"
    assert os.strerror(unreachable) == "Network is unreachable"


@pytest.mark.skipif(os.getuid() != 0, reason="only root may become another user")
def test_somebody_else_sees_what_they_need_and_nothing_beside_it(demo: Path) -> None:
    shut = demo / "shut"
    (shut / "shown").mkdir(parents=True)
    (shut / "shown" / "file").write_text("read me")
    (shut / "secret").write_text("not me")
    shut.chmod(0o700)
    place = shut / "shown"
    shutil.copytree(demo / "demo", place / "demo")
    code = f"import os; print(os.getuid(), os.getcwd(), open('file').read(), os.listdir({str(shut)!r}))"
    done = away(place, 65534, 65534, code)
    assert done.stdout.split(maxsplit=2) == ["65534", str(place), "read me ['shown']\n"], done.stderr
    assert sorted(os.listdir(shut)) == ["secret", "shown"]


def test_a_command_that_is_not_there_is_told(demo: Path) -> None:
    user = [str(os.getuid()), str(os.getgid())]
    done = run(demo, "demo/offline/away.py", *user, str(demo), demo / "nothing")
    assert done.returncode == REFUSED
    assert len(done.stderr.splitlines()) == 1
