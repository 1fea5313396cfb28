"""The state of a harness's files: any change of any file is seen, and seeing it costs no parser."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from made_harness import make

from forebay.config import resolve as settings
from forebay.integrations import lm_eval, trees
from forebay.integrations.trees import state_of
from forebay.store import Store

LOOK_UP = """
import sys
from pathlib import Path
from forebay.config import resolve as settings
from forebay.integrations import lm_eval
from forebay.store import Store
with Store.open(settings(home=Path(sys.argv[1]))) as store:
    found = lm_eval.resolve(["family", "scored"], lm_eval.find(Path(sys.argv[2])), store)
print(len(found.loads))
heavy = {"yaml", "subprocess", "forebay.hub.hub", "forebay.integrations.lm_tasks", "forebay.integrations.reading"}
print(sorted(heavy & set(sys.modules)))
"""


def grow(root: Path) -> Path:
    """Make a tree: a file beside a folder that holds a folder, and one far away that is linked to."""
    (root / "in" / "deep").mkdir(parents=True)
    (root / "top.yaml").write_text("task: top\n")
    (root / "in" / "one.yaml").write_text("task: one\n")
    (root / "in" / "deep" / "utils.py").write_text("DOCS = 1\n")
    far = root.parent / "far"
    far.mkdir()
    (far / "linked.yaml").write_text("task: far\n")
    (root / "in" / "linked.yaml").symlink_to(far / "linked.yaml")
    (root / "linked").symlink_to(far)
    return root


def touch(path: Path) -> None:
    """Change a file's time by the least there is, and nothing else of it or of its folder."""
    before = path.stat()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))


def keep_time(path: Path, text: str) -> None:
    before = path.stat()
    path.write_text(text)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


CHANGES: dict[str, Callable[[Path], object]] = {
    "a file's time": lambda root: touch(root / "in" / "deep" / "utils.py"),
    "a file's size": lambda root: keep_time(root / "in" / "one.yaml", "task: another\n"),
    "a file added": lambda root: (root / "in" / "deep" / "new.yaml").write_text(""),
    "a file removed": lambda root: (root / "in" / "one.yaml").unlink(),
    "a file renamed": lambda root: (root / "in" / "one.yaml").rename(root / "in" / "two.yaml"),
    "a file moved to another folder": lambda root: (root / "in" / "one.yaml").rename(root / "one.yaml"),
    "a folder removed": lambda root: ((root / "in" / "deep" / "utils.py").unlink(), (root / "in" / "deep").rmdir()),
    "a folder renamed": lambda root: (root / "in" / "deep").rename(root / "in" / "deeper"),
    "a folder added": lambda root: (root / "in" / "more").mkdir(),
    "what a link leads to": lambda root: touch(root.parent / "far" / "linked.yaml"),
    "what a link leads to is gone": lambda root: (root.parent / "far" / "linked.yaml").unlink(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("by_number", [True, False], ids=["open folder", "path"])
def test_every_change_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], object], by_number: bool
) -> None:
    monkeypatch.setattr(trees, "_BY_NUMBER", by_number)
    root = grow(tmp_path / "tasks")
    before = state_of([root])
    assert state_of([root]) == before
    change(root)
    assert state_of([root]) != before


def test_what_no_program_reads_does_not_count(tmp_path: Path) -> None:
    root = grow(tmp_path / "tasks")
    before = state_of([root])
    (root / "in" / "README.md").write_text("about it")
    (root / "in" / "__pycache__").mkdir()
    (root / "in" / "__pycache__" / "utils.cpython-311.pyc").write_bytes(b"")
    assert state_of([root]) == before


def test_links_that_lead_back_are_not_followed(tmp_path: Path) -> None:
    """Two of them that are would be met 2^40 times."""
    harness = lm_eval.find(make(tmp_path / "site"))
    root, far = grow(tmp_path / "tasks"), tmp_path / "far"
    (root / "in" / "whole").symlink_to(root)
    (root / "in" / "again").symlink_to(".")
    (far / "back").symlink_to(root)
    before = state_of([root])
    touch(far / "linked.yaml")
    assert state_of([root]) != before
    with Store.open(settings(home=tmp_path / "store")) as store:
        asked = ["top", "one", "far", "plain_task"]
        assert [task.name for task in lm_eval.resolve(asked, harness, store, [root]).tasks] == sorted(asked)


def test_single_files_count_too(tmp_path: Path) -> None:
    root = grow(tmp_path / "tasks")
    other = tmp_path / "group.py"
    absent = state_of([root], [other])
    other.write_text("")
    made = state_of([root], [other])
    touch(other)
    assert len({absent, made, state_of([root], [other])}) == 3


def test_what_is_known_is_looked_up_without_a_parser(tmp_path: Path) -> None:
    """Looking up must not cost what reading does: neither parsers nor what talks to hubs is imported."""
    harness = lm_eval.find(make(tmp_path / "site"))
    with Store.open(settings(home=tmp_path / "store")) as store:
        first = lm_eval.resolve(["family", "scored"], harness, store)
    done = subprocess.run(
        [sys.executable, "-c", LOOK_UP, str(tmp_path / "store"), str(harness.folder)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines() == [str(len(first.loads)), "[]"]
