"""A mirror for one user: what `forebay exec` gives of gated and private repositories when the hub cannot be asked."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from forebay.mirror.exchange import Request
from forebay.mirror.peer import is_ours
from forebay.testing import FakeHub, Repository
from forebay.testing.tinydata import hellaswag

SOURCE = Path(__file__).parents[2] / "src"
USERS = {"tok": "me"}
LOAD = """
from datasets import load_dataset
from huggingface_hub import HfFileSystem, hf_hub_download, snapshot_download
print(load_dataset("Rowan/hellaswag", split="test").num_rows)
print(open(hf_hub_download("org/model", "config.json")).read())
print(len(snapshot_download("org/model")) > 0, HfFileSystem().cat_file("org/model/config.json").decode())
"""
SAID = ["12", "{}", "True {}"]


@pytest.fixture
def guarded() -> list[Repository]:
    data, model = hellaswag(), Repository("org/model", type="model", files={"config.json": "{}"}, private=True)
    data.gated = "manual"
    for each in (data, model):
        each.readers = {"me"}
    return [data, model]


@pytest.fixture
def fetched(guarded, tmp_path):
    """A hub that has been asked for all of it by somebody who may have it."""
    with FakeHub(guarded, users=USERS) as fake:
        environ = _environ(tmp_path, fake) | {"HF_TOKEN": "tok"}
        done = _forebay(environ, "fetch", "hf://datasets/Rowan/hellaswag", "hf://org/model")
        assert done.returncode == 0, done.stderr
        yield fake


@pytest.fixture
def execute(tmp_path) -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(fake: FakeHub, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        command = ["exec", "--private-caches", *arguments, "--", sys.executable, "-c", LOAD]
        return _forebay(_environ(tmp_path, fake) | variables, *command)

    return run


def _environ(home: Path, fake: FakeHub) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PYTHONPATH": str(SOURCE),
        "PYTHONWARNINGS": "ignore",
        "FOREBAY_HOME": str(home / "store"),
        "HF_ENDPOINT": fake.hf_endpoint,
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }


def _forebay(environ: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "forebay.cli", *arguments]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("arguments", [("--offline",), ("--offline", "--no-isolation")])
def test_offline_the_user_has_what_the_store_has(arguments, fetched, execute) -> None:
    fetched.forget()
    for token in ({}, {"HF_TOKEN": "tok"}, {"HF_TOKEN": "expired"}):
        done = execute(fetched, *arguments, **token)
        assert done.stdout.splitlines() == SAID, done.stderr[-2000:]
    assert fetched.count() == 0


def test_a_dead_hub_is_stood_in_for(fetched, execute) -> None:
    fetched.die()
    for token in ({}, {"HF_TOKEN": "tok"}):
        done = execute(fetched, **token, FOREBAY_TIMEOUT_SECONDS="2")
        assert done.stdout.splitlines() == SAID, done.stderr[-2000:]


def test_a_hub_that_answers_decides(fetched, guarded, execute) -> None:
    done = execute(fetched, HF_TOKEN="tok")
    assert done.stdout.splitlines() == SAID, done.stderr[-2000:]
    assert "gated dataset" in execute(fetched).stderr
    guarded[0].readers = set()
    assert "gated dataset" in execute(fetched, HF_TOKEN="tok").stderr


def test_it_goes_along_in_a_bundle(fetched, tmp_path, execute) -> None:
    bundle, there = str(tmp_path / "bundle.tar"), str(tmp_path / "there")
    names = ("hub/hf/dataset/Rowan/hellaswag", "hub/hf/model/org/model")
    done = _forebay(_environ(tmp_path, fetched), "bundle", "create", bundle, *names)
    assert done.returncode == 0, done.stderr
    fetched.die()
    environ = _environ(tmp_path, fetched) | {"FOREBAY_HOME": there}
    done = _forebay(environ, "bundle", "install", bundle)
    assert done.returncode == 0, done.stderr
    done = execute(fetched, "--offline", FOREBAY_HOME=there)
    assert done.stdout.splitlines() == SAID, done.stderr[-2000:]


# Who is that user


def test_a_connection_of_ours_is_known() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            assert is_ours(client.getsockname(), port)
            client.shutdown(socket.SHUT_WR)
            assert is_ours(client.getsockname(), port)
            assert not is_ours(client.getsockname(), port + 1)
            assert not is_ours(("127.0.0.1", 1), port)
        assert not is_ours(("", 0), port)
    with socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            assert is_ours((f"::ffff:{client.getsockname()[0]}", client.getsockname()[1]), port)
        with socket.socket(socket.AF_INET6) as mapped:
            mapped.connect(("::ffff:127.0.0.1", port))
            assert is_ours(("127.0.0.1", mapped.getsockname()[1]), port)


def test_other_users_of_the_machine_get_nothing(fetched, tmp_path, start_mirror) -> None:
    if os.getuid() != 0 or not shutil.which("setpriv"):
        pytest.skip("only root can ask as another user")
    mirror = start_mirror("--offline", "--private", "user")
    paths = ("/datasets/Rowan/hellaswag/resolve/main/README.md", "/org/model/resolve/main/config.json")
    assert [mirror.ask(path).status for path in paths] == [200, 200]
    host, port = urlsplit(mirror.endpoint).netloc.split(":")
    for path in paths:
        for token in ("", "Authorization: Bearer tok\r\n"):
            script = f'exec 3<>/dev/tcp/{host}/{port}; printf "{_request(path, token)}" >&3; head -1 <&3'
            done = subprocess.run(
                ["setpriv", "--reuid=12345", "--clear-groups", "bash", "-c", script],
                capture_output=True, text=True, timeout=60,
            )  # fmt: skip
            assert done.stdout.split()[1] in ("401", "403", "404"), (path, done.stdout, done.stderr)


def _request(path: str, header: str) -> str:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{header}\r\n".replace("\r\n", "\\r\\n")


def test_nobody_else_has_it_in_their_name(guarded, bench) -> None:
    """The user's own requests leave nothing behind that lets others in."""
    path = "/datasets/Rowan/hellaswag/resolve/main/README.md"
    with FakeHub(guarded, users=USERS) as fake:
        shown = {"authorization": "Bearer tok"}
        assert bench(fake).hf.answer(Request("GET", path, headers=shown)).status == 200
        for headers in ({}, shown):
            offline = bench(fake, offline=True, private=True).hf
            assert offline.answer(Request("GET", path, headers=headers, owns=lambda: True)).status == 200
            assert offline.answer(Request("GET", path, headers=headers)).status in (401, 403)
            many = bench(fake, offline=True).hf
            assert many.answer(Request("GET", path, headers=headers, owns=lambda: True)).status in (401, 403)
