"""The process that prepares: kept for the next configuration, and never left behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from forebay.hub import Hub, preparer
from forebay.hub.loading import Load
from forebay.hub.preparation import prepare
from forebay.hub.prepared import find
from forebay.hub.preparer import Preparer, PreparerEnded, Preparers
from forebay.store import Store
from forebay.testing import FakeHub, Repository

from .conftest import SUBJECTS, World

PATIENCE_SECONDS = 60.0


def started(monkeypatch: pytest.MonkeyPatch) -> list[Preparer]:
    """Return the list that all processes started from now on will be in."""
    found: list[Preparer] = []

    class Noted(Preparer):
        def __init__(self, home: Path) -> None:
            super().__init__(home)
            found.append(self)

    monkeypatch.setattr(preparer, "Preparer", Noted)
    return found


def wait_until_gone(path: Path) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while path.exists():
        assert time.monotonic() < until, f"{path} is still there"
        time.sleep(0.02)


def test_configurations_one_by_one_share_a_process(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", world.fake.hf_endpoint)
    processes = started(monkeypatch)
    load = Load()
    with world.store(tmp_path / "store") as store:
        single = [load(f"hf://datasets/cais/mmlu#{name}", "test", store=store)[:] for name in SUBJECTS]
        other = load("hf://datasets/openai/gsm8k#main", "test", store=store)
        again = load("hf://datasets/cais/mmlu#all", "test", store=store)
        assert len(processes) == 1
        assert sorted(path.name for path in processes[0].work.glob("*/*")) == ["mmlu"], "the latest folder alone"
        load.forget()
        assert list((store.home / "preparing-v1").iterdir()) == []
    with world.store(tmp_path / "whole") as store, Hub(store, world.hub_settings()) as hub:
        snapshot = hub.fetch("hf://datasets/cais/mmlu")
        prepare(hub, snapshot, [*SUBJECTS, "all"])
        at_once = [find(store, snapshot, name) for name in SUBJECTS]
    with world.store(tmp_path / "store") as store:
        by_one = [find(store, snapshot, name) for name in SUBJECTS]
    assert [one and one.entry.objects for one in by_one] == [one and one.entry.objects for one in at_once]
    assert len(again) == sum(len(rows) for rows in single)
    assert len(other) == 10


def test_what_cannot_be_prepared_does_not_spoil_the_next(world: World, tmp_path: Path) -> None:
    card = (
        "---\nconfigs:\n- config_name: bad\n  data_files: bad.json\n- config_name: good\n  data_files: good.json\n---\n"
    )
    files = {"README.md": card, "bad.json": '{"a": 1}\n{"a": ', "good.json": '{"a": 1}\n'}
    with FakeHub([Repository("org/half", files=files)]) as fake, world.store(tmp_path / "store") as store:
        settings = world.hub_settings(hf_endpoints=(fake.hf_endpoint,))
        with Hub(store, settings) as hub, Preparers() as preparers:
            snapshot = hub.resolve("hf://datasets/org/half")
            for name in ("bad", "good", "bad"):
                if name == "bad":
                    with pytest.raises(Exception, match="cannot prepare hf://datasets/org/half: bad: "):
                        prepare(hub, snapshot, [name], preparers=preparers)
                else:
                    [one] = prepare(hub, snapshot, [name], preparers=preparers)
                    assert one.splits["train"][0][1] == 1


def test_a_process_that_was_killed_is_replaced(store: Store, tmp_path: Path) -> None:
    with Preparers() as preparers:
        with preparers.one(tmp_path) as first:
            pass
        with preparers.one(tmp_path) as same:
            assert same is first
        first._process.kill()  # pyright: ignore[reportPrivateUsage]
        first._process.wait()  # pyright: ignore[reportPrivateUsage]
        with pytest.raises(PreparerEnded, match="it ended with code -9: no word of why"):
            list(first.answers())
        with preparers.one(tmp_path) as second:
            assert second is not first
            with preparers.one(tmp_path) as third:
                assert third is not second, "it is at work"
        assert not first.work.exists()
        assert second.work.exists() != third.work.exists(), "one is kept"
        with pytest.raises(KeyError), preparers.one(tmp_path):
            raise KeyError
        assert list((tmp_path / "preparing-v1").iterdir()) == [], "after an error none is"


OWNER = """
import os, sys, time
from pathlib import Path
from forebay.hub.preparer import Preparers
preparers = Preparers()
with preparers.one(Path(sys.argv[1])) as one:
    pass
if os.fork() == 0:  # who lives on, as a worker of a data loader may
    os.write(1, b"forked\\n")  # in one piece: both write to one pipe
    time.sleep(600)
os.write(1, f"{one.work} {os.getpid()}\\n".encode())
time.sleep(600)
"""


def test_an_owner_that_is_killed_leaves_nobody(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OWNER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as owner:
        assert owner.stdout is not None
        try:
            lines = sorted(owner.stdout.readline().split() for _ in range(2))
            work = Path(next(line[0] for line in lines if line != ["forked"]))
            assert work.is_dir()
            os.kill(owner.pid, 9)
            owner.wait()
            wait_until_gone(work)
        finally:
            os.killpg(owner.pid, 9)


def test_who_is_not_asked_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparer, "IDLE_SECONDS", 0.01)
    with Preparers() as preparers:
        with preparers.one(tmp_path) as one:
            pass
        wait_until_gone(one.work)


def test_a_program_that_ends_takes_it_along(tmp_path: Path) -> None:
    code = OWNER.partition("if os.fork")[0]
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    assert list((tmp_path / "preparing-v1").iterdir()) == []
