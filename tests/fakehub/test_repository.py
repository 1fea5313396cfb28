"""Commits, trees and names: what git itself would have called them."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from forebay.errors import InputError, NotFoundError
from forebay.testing import Repository

DEEP = {"b.txt": "b", "a/x.csv": "1", "a-b": "dash", "a.txt": "dot", "a/b/c/d.json": "{}", "big.parquet": b"\0" * 1000}


def git(folder: Path, *arguments: str, second: int = 0) -> str:
    who = {
        f"GIT_{role}_{what}": value
        for role in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", "Forebay"), ("EMAIL", "tests@forebay.invalid"), ("DATE", f"{second} +0000"))
    }
    command = ["git", "-c", "core.autocrlf=false", "-c", "commit.gpgsign=false", *arguments]
    done = subprocess.run(command, cwd=folder, env=os.environ | who, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.skipif(shutil.which("git") is None, reason="git is the judge")
def test_names_are_those_of_git(tmp_path: Path) -> None:
    repository = Repository("org/deep", files=DEEP)
    repository.commit({"a/x.csv": "2"}, delete=["b.txt"], title="second")
    git(tmp_path, "init", "-q", "-b", "main")
    for commit in reversed(list(repository.history())):
        for path in [path for path in tmp_path.rglob("*") if path.is_file() and ".git" not in path.parts]:
            path.unlink()
        for path, file in commit.files.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_bytes(file.pointer() if file.lfs else file.read())
        git(tmp_path, "add", "-A")
        git(tmp_path, "commit", "-q", "--cleanup=verbatim", "-m", f"{commit.title}\n", second=commit.second)
        assert git(tmp_path, "rev-parse", "HEAD^{tree}") == commit.folders[""]
        assert git(tmp_path, "rev-parse", "HEAD:a/b") == commit.folders["a/b"]
        assert git(tmp_path, "rev-parse", "HEAD:big.parquet") == commit.files["big.parquet"].oid
        assert git(tmp_path, "rev-parse", "HEAD") == commit.sha


def test_what_goes_by_lfs() -> None:
    files = {"small.txt": "x", "large.txt": "x" * 100, "any.safetensors": b"", "UPPER.PARQUET": b"1"}
    made = Repository("org/m", type="model", files=files, lfs_bytes=100)
    assert {path: made.file(path).lfs for path in files} == {
        "small.txt": False,
        "large.txt": True,
        "any.safetensors": True,
        "UPPER.PARQUET": True,
    }
    large = made.file("large.txt")
    assert large.sha256 == hashlib.sha256(b"x" * 100).hexdigest() == large.etag
    assert large.identity == f"sha256:{large.sha256}"
    assert (
        large.pointer() == f"version https://git-lfs.github.com/spec/v1\noid sha256:{large.sha256}\nsize 100\n".encode()
    )
    assert large.pointer_bytes == len(large.pointer())
    assert made.file("small.txt").identity == "git:" + hashlib.sha1(b"blob 1\0x").hexdigest()


def test_a_file_on_disk_is_not_read_into_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"0123456789")
    made = Repository("org/m", files={"a.bin": path, "b.bin": b"0123456789"})
    assert made.file("a.bin").source == path
    assert made.file("a.bin").oid == made.file("b.bin").oid
    assert made.file("a.bin").read(3, 4) == b"3456"
    assert made.file("a.bin").read(8) == b"89"


def test_the_same_commits_have_the_same_names() -> None:
    one, two = (Repository("org/a", files={"x": "1", "y": "2"}) for _ in range(2))
    assert one.head == two.head
    assert one.commit({"x": "3"}) == two.commit({"x": "3"}) != two.commit({"x": "3"})
    assert one.at().date == "2023-11-14T22:14:20.000Z"


def test_branches_and_tags(repository: Repository) -> None:
    first = repository.at("v1")
    assert repository.head != first.sha == repository.at().parent == repository.at(first.sha).sha
    on_branch = repository.commit({"new": "1"}, branch="dev")
    assert repository.at("refs/heads/dev").sha == on_branch
    assert repository.at(on_branch).parent == repository.head
    assert set(repository.at("dev").files) - set(repository.at().files) == {"new"}
    for unknown in ("v2", first.sha[:8], "0" * 40, ""):
        with pytest.raises(NotFoundError, match="has no revision"):
            repository.at(unknown)


def test_the_last_change_of_a_path(repository: Repository) -> None:
    head, first = repository.at(), repository.at("v1")
    assert repository.last_change(head, "README.md") == head
    assert repository.last_change(head, "weights.bin") == first
    assert repository.last_change(head, "data") == first


def test_an_empty_repository_is_one() -> None:
    made = Repository("org/none")
    assert made.at().files == {}
    assert made.at().folders[""] == "4b825dc642cb6eb9a060e54bf8d69288fbee4904"  # git's empty tree


@pytest.mark.parametrize("path", ["", "/a", "a/", "a//b", "../a", "a/./b", "a\\b"])
def test_paths_that_no_hub_holds(path: str) -> None:
    with pytest.raises(InputError, match="no hub holds"):
        Repository("org/a", files={path: "x"})


def test_who_may_read() -> None:
    made = Repository("org/a", gated="manual", readers=["ann"])
    assert [made.may_read(user) for user in (None, "bob", "ann")] == [False, False, True]
    assert all(made.knows_of(user) for user in (None, "bob", "ann"))
    made.private, made.gated = True, False
    assert [made.knows_of(user) for user in (None, "bob", "ann")] == [False, False, True]
