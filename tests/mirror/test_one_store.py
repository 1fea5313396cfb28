"""Forebay as the client of a mirror over its own store: neither waits for the other's lease."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from forebay.config import HubSettings, resolve
from forebay.hub import Hub
from forebay.store import Store
from forebay.testing import FakeHub, Repository

BIG = bytes(range(256)) * 40_000


@pytest.fixture
def fake():
    with FakeHub([Repository("a/b", files={"small.json": "{}", "big.bin": BIG})]) as hub:
        yield hub


@pytest.mark.parametrize("hub", ["hf", "ms"])
def test_who_fetches_through_a_mirror_of_the_same_store(hub, fake, start_mirror, upstream, tmp_path: Path) -> None:
    mirror = start_mirror(*upstream(fake))
    settings = HubSettings((mirror.endpoint,), (mirror.endpoint,), attempts=1, timeout_seconds=30)
    with Store.open(resolve(home=tmp_path / "store")) as store, Hub(store, settings) as client:
        snapshot = client.fetch(f"{hub}://datasets/a/b")
        assert bytes(client.read(snapshot, "big.bin")) == BIG
    assert sum(each.sent_bytes for each in fake.log) < 2 * len(BIG)  # all of it once


def test_a_command_in_a_command(fake, tmp_path: Path) -> None:
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    environ |= {"FOREBAY_HOME": str(tmp_path / "store"), "FOREBAY_TIMEOUT_SECONDS": "30"}
    take = (
        "import os, urllib.request as u\n"
        "print(len(u.urlopen(os.environ['HF_ENDPOINT'] + '/datasets/a/b/resolve/main/big.bin').read()))"
    )
    forebay = [sys.executable, "-m", "forebay.cli", "exec"]
    command = [*forebay, "--upstream", fake.hf_endpoint, "--", *forebay, "-q", "--", sys.executable, "-c", take]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == str(len(BIG)), done.stderr
    assert sum(each.sent_bytes for each in fake.log) < 2 * len(BIG)  # all of it once
