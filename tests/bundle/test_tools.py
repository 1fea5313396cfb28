"""What those can do with a bundle who have tar, zstd and a shell, and no Forebay."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from bundling import bundle, fill, fill_small, key, noise, prose, put

from forebay.bundle import CreateOptions, open_source
from forebay.bundle.comparing import read_manifest
from forebay.hub.snapshot import Snapshot
from forebay.store import Store

FILES = Path(__file__).parents[2] / "src" / "forebay" / "bundle" / "files"
MANIFEST = Snapshot("hf", "dataset", "ns/name", "0" * 40, ()).manifest()
needs_zstd = pytest.mark.skipif(shutil.which("zstd") is None, reason="zstd is not installed")


def run(*command: str | Path, **options: object) -> str:
    done = subprocess.run([str(each) for each in command], capture_output=True, text=True, check=True, **options)  # type: ignore[call-overload]
    assert not done.stderr or command[0] == "sh", done.stderr
    return done.stdout


@pytest.fixture
def unpacked(tmp_path: Path, store: Store) -> Path:
    fill(store)
    put(
        store,
        "snap",
        {"manifest": MANIFEST, "file:data/a b.txt": prose("ab", 9000), "file:ü.bin": noise("u", 7)},
        kind="snapshot",
    )
    store.names.set("hub/hf/dataset/ns/name/main", "snapshot", key("snap"))
    bundle(store, tmp_path / "b.tar")
    (tmp_path / "un").mkdir()
    run("tar", "-xf", tmp_path / "b.tar", "-C", tmp_path / "un")
    return tmp_path / "un"


def test_tar_lists_and_unpacks_it(tmp_path: Path, unpacked: Path) -> None:
    with open_source(tmp_path / "b.tar") as source:
        expected = [member.name for member in source.members]
        sizes = {member.name: member.size for member in source.members}
    assert run("tar", "-tf", tmp_path / "b.tar").splitlines() == expected
    found = {str(path.relative_to(unpacked)): path.stat() for path in unpacked.rglob("*") if path.is_file()}
    assert {name: facts.st_size for name, facts in found.items()} == sizes
    assert {facts.st_mtime for facts in found.values()} == {0}
    assert os.access(unpacked / "setup.sh", os.X_OK)
    with tarfile.open(tmp_path / "b.tar") as tar:
        assert [member.name for member in tar] == expected
        assert {(member.uid, member.gid, member.type) for member in tar} == {(0, 0, tarfile.REGTYPE)}


def test_tar_reads_volumes_put_together(tmp_path: Path, store: Store) -> None:
    fill_small(store)
    bundle(store, tmp_path / "v.tar", options=CreateOptions(volume_bytes=3000))
    assert "MANIFEST.json" in run("sh", "-c", f"cat {tmp_path}/v.tar.0* | tar -tf -")


@needs_zstd
def test_zstd_tests_and_decodes_every_object(unpacked: Path) -> None:
    packed = sorted(unpacked.rglob("*.zst"))
    assert packed
    run("zstd", "-q", "-t", *packed)


@needs_zstd
def test_the_script_lays_out_named_files(tmp_path: Path, unpacked: Path) -> None:
    target = tmp_path / "laid out"
    for _ in range(2):  # the second time nothing is left to do
        run("sh", unpacked / "setup.sh", target)
        folder = target / "hub/hf/dataset/ns/name/main"
        assert (folder / "data/a b.txt").read_bytes() == prose("ab", 9000)
        assert (folder / "ü.bin").read_bytes() == noise("u", 7)
        assert (folder / ".forebay/manifest").read_bytes() == MANIFEST
        assert not list(target.rglob("*.part"))


@needs_zstd
def test_the_script_lays_out_names_as_long_as_they_can_be(tmp_path: Path, store: Store) -> None:
    names = ["n" * 255, "a", "a.part"]
    put(store, "long", {f"file:{name}": name.encode() for name in names})
    bundle(store, tmp_path / "b.tar")
    (tmp_path / "un").mkdir()
    run("tar", "-xf", tmp_path / "b.tar", "-C", tmp_path / "un")
    run("sh", tmp_path / "un/setup.sh", tmp_path / "laid out")
    laid = [path for path in (tmp_path / "laid out").rglob("*") if path.is_file()]
    assert {path.name: path.read_text() for path in laid} == {name: name for name in names}


@needs_zstd
def test_the_script_refuses_what_leads_elsewhere_and_what_is_damaged(tmp_path: Path, unpacked: Path) -> None:
    listing = (unpacked / "FILES.tsv").read_text()
    digest = listing[:64]
    for path in ("../evil", "/tmp/evil", "a/../../evil", "..", "a/.."):
        (unpacked / "FILES.tsv").write_text(f"{digest}\t{path}\n")
        done = subprocess.run(
            ["sh", unpacked / "setup.sh", tmp_path / "x"], capture_output=True, text=True, check=False
        )
        assert done.returncode == 1
        assert "leads elsewhere" in done.stderr
    (unpacked / "FILES.tsv").write_text(listing)
    victim = max(unpacked.rglob("*.zst"), key=lambda path: path.stat().st_size)
    victim.chmod(0o644)
    victim.write_bytes(victim.read_bytes()[:-9])
    done = subprocess.run(["sh", unpacked / "setup.sh", tmp_path / "y"], capture_output=True, text=True, check=False)
    assert done.returncode != 0


def test_the_script_hands_over_to_forebay_where_it_is(tmp_path: Path, unpacked: Path) -> None:
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    (bin_ / "forebay").write_text('#!/bin/sh\necho "called: $*"\n')
    (bin_ / "forebay").chmod(0o755)
    said = run("sh", unpacked / "setup.sh", env={"PATH": f"{bin_}:{os.environ['PATH']}"})
    assert said == f"called: bundle install {unpacked}\n"


@needs_zstd
def test_the_script_says_what_a_delta_lacks(tmp_path: Path, store: Store) -> None:
    fill_small(store)
    bundle(store, tmp_path / "a.tar")
    put(store, "top2", {"old": noise("top", 40), "new": b"new"})
    store.names.set("runs/new", "delta", key("top2"))
    bundle(store, tmp_path / "b.tar", options=CreateOptions(since=read_manifest(tmp_path / "a.tar")))
    (tmp_path / "un").mkdir()
    run("tar", "-xf", tmp_path / "b.tar", "-C", tmp_path / "un")
    done = subprocess.run(["sh", tmp_path / "un/setup.sh", tmp_path / "x"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "it is a delta" in done.stderr
    assert (tmp_path / "x/runs/new/new").read_bytes() == b"new"


@pytest.mark.parametrize("shell", ["sh", "bash", "dash", "busybox"])
def test_the_script_is_plain_shell(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    command = [shell, "sh", "-n"] if shell == "busybox" else [shell, "-n"]
    run(*command, FILES / "setup.sh")


def test_the_windows_script_says_the_same() -> None:
    """No PowerShell here to run it: its braces close and it knows the same names and words as the other one."""
    text = (FILES / "setup.ps1").read_text()
    for one, other in ("{}", "()", "[]"):
        assert text.count(one) == text.count(other)
    for word in ("FILES.tsv", "objects/", "zstd", "leads elsewhere", "it is a delta", "forebay bundle install"):
        assert word in text
    assert text.isascii()
