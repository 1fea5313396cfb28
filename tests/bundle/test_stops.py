"""Kills, full disks and second attempts, at both ends."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from bundling import bundle, content, fill, fill_small, noise, nothing_came, put

from forebay.bundle import CreateOptions, closure, create, find_roots, install, make_key, taking, verify
from forebay.config import Settings
from forebay.errors import InputError, StoreError, StoreFullError
from forebay.events import Event
from forebay.store import Store

WORKER = Path(__file__).parent / "bundle_worker.py"


class StopHereError(Exception):
    """Raised by a hook, in the middle."""


def killed_after(seconds: float, *arguments: str | Path) -> bool:
    """Run the worker and kill it; tell whether it had not finished."""
    process = subprocess.Popen([sys.executable, WORKER, *map(str, arguments)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return process.returncode == -signal.SIGKILL


def big(store: Store, count: int = 30) -> None:
    for number in range(count):
        put(
            store, f"e{number}", {"a": noise(f"a{number}", 1_500_000), "b": b"words " * 100_000 + noise(f"{number}", 9)}
        )


@pytest.mark.parametrize("volume_bytes", [None, 4_000_000])
def test_create_goes_on_after_kills(tmp_path: Path, store: Store, volume_bytes: int | None) -> None:
    big(store)
    whole, out = tmp_path / "whole.tar", tmp_path / "out.tar"
    bundle(store, whole)
    store.close()
    for attempt in range(4):
        if not killed_after(
            0.01 + 0.02 * attempt, "create", store.home, out, *([str(volume_bytes)] if volume_bytes else [])
        ):
            break
        assert not out.exists()
        assert not list(tmp_path.glob("out.tar.*.json"))
    with Store.open(Settings(home=store.home)) as again:
        report = bundle(again, out, options=CreateOptions(volume_bytes=volume_bytes, replace=True))
    volumes = report.paths[:-1] if volume_bytes else report.paths
    assert b"".join(path.read_bytes() for path in volumes) == whole.read_bytes()
    assert not list(tmp_path.glob("*.part*"))


@pytest.mark.parametrize("volume_bytes", [None, 100_000])
def test_create_goes_on_with_what_is_sound_of_what_was_written(
    tmp_path: Path, store: Store, volume_bytes: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same stop at every object; in between the unfinished file is damaged, cut, or belongs to another plan."""
    fill(store)
    bundle(store, tmp_path / "whole.tar")
    wanted = closure(store, find_roots(store, ["demo"]))
    count, out = len(wanted.objects), tmp_path / "out.tar"
    options = CreateOptions(volume_bytes=volume_bytes)
    monkeypatch.setattr("forebay.bundle.creating._TELL_SECONDS", -1.0)

    def stop_at(number: int) -> None:
        seen = 0

        def hook(event: Event) -> None:
            nonlocal seen
            seen += 1
            if seen == number:
                raise StopHereError

        with pytest.raises(StopHereError):
            create(store, wanted, out, options, hook)

    for number in range(1, count, 5):
        stop_at(number)
        parts = sorted(tmp_path.glob("out.tar*.part"))
        content_ = bytearray(parts[-1].read_bytes())
        if number % 2 and content_:
            content_[-1] ^= 1
            parts[-1].write_bytes(content_)
    with pytest.raises(StopHereError):
        create(store, closure(store, find_roots(store, ["runs/last"])), out, CreateOptions(level=3), lambda _: stop())
    stop_at(count - 2)
    with (tmp_path / "out.tar.part.log").open("a") as log:
        log.write('["torn')
    report = create(store, wanted, out, options)
    assert 0 < report.resumed < count
    volumes = report.paths[:-1] if volume_bytes else report.paths
    assert b"".join(path.read_bytes() for path in volumes) == (tmp_path / "whole.tar").read_bytes()


def stop() -> None:
    raise StopHereError


def test_two_do_not_write_one_bundle(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    fill_small(store)
    wanted = closure(store, find_roots(store, ["demo"]))
    monkeypatch.setattr("forebay.bundle.creating._TELL_SECONDS", -1.0)
    told: list[str] = []

    def hook(_: Event) -> None:
        if not told:
            with pytest.raises(InputError, match="somebody writes") as caught:
                create(store, wanted, tmp_path / "b.tar")
            told.append(str(caught.value))

    create(store, wanted, tmp_path / "b.tar", None, hook)
    assert told
    assert verify(tmp_path / "b.tar").ok


def test_install_goes_on_after_kills(tmp_path: Path, store: Store) -> None:
    big(store)
    bundle(store, tmp_path / "b.tar")
    home = tmp_path / "there"
    for attempt in range(5):
        killed_after(0.02 + 0.04 * attempt, "install", home, tmp_path / "b.tar")
    with Store.open(Settings(home=home)) as there:
        present = len(list((home / "objects-v1").rglob("*")))
        report = install(there, tmp_path / "b.tar")
        assert report.present <= present
        assert content(there) == content(store)
        assert there.verify().ok
        assert there.usage().reserved_bytes == 0


def test_install_keeps_the_objects_of_an_attempt_that_stopped(
    tmp_path: Path, store: Store, other: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store)
    bundle(store, tmp_path / "b.tar")
    monkeypatch.setattr(taking, "_GROUP", 4)
    monkeypatch.setattr(taking, "_TELL_SECONDS", -1.0)
    seen = 0

    def hook(_: Event) -> None:
        nonlocal seen
        seen += 1
        if seen == 10:
            raise StopHereError

    with pytest.raises(StopHereError):
        install(other, tmp_path / "b.tar", hook=hook)
    assert not list(other.entries())
    assert install(other, tmp_path / "b.tar").present == 8  # two groups of four
    assert content(other) == content(store)


def test_what_an_attempt_left_is_garbage_to_others(
    tmp_path: Path, store: Store, other: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store)
    bundle(store, tmp_path / "b.tar")

    def hook(_: Event) -> None:
        raise StopHereError

    monkeypatch.setattr(taking, "_TELL_SECONDS", -1.0)
    with pytest.raises(StopHereError):
        install(other, tmp_path / "b.tar", hook=hook)
    assert nothing_came(other)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of three megabytes."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    if (
        os.geteuid() != 0
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder], check=False).returncode
    ):
        pytest.skip("no disk can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_while_it_is_written(tmp_path: Path, store: Store, tiny_disk: Path) -> None:
    big(store, 4)
    (tiny_disk / "hog").write_bytes(bytes(200_000))
    with pytest.raises(StoreFullError, match="goes on where it stopped"):
        bundle(store, tiny_disk / "b.tar")
    assert not (tiny_disk / "b.tar").exists()
    (tiny_disk / "hog").unlink()
    subprocess.run(["mount", "-o", "remount,size=20m", tiny_disk], check=True)
    assert bundle(store, tiny_disk / "b.tar").resumed >= 1
    assert verify(tiny_disk / "b.tar").ok


def test_a_disk_without_any_room(tmp_path: Path, store: Store, tiny_disk: Path) -> None:
    """What is told names the file, and nothing half-written is in the way of the next attempt."""
    big(store, 1)
    with suppress(OSError), (tiny_disk / "hog").open("wb", buffering=0) as hog:
        while hog.write(bytes(4096)):
            pass
    with pytest.raises(StoreFullError, match=r"cannot write .*b\.tar: No space left"):
        bundle(store, tiny_disk / "b.tar")
    with pytest.raises(InputError, match=r"cannot write .*key: No space left"):
        make_key(tiny_disk / "key")
    (tiny_disk / "hog").unlink()
    make_key(tiny_disk / "key")
    bundle(store, tiny_disk / "b.tar")
    assert verify(tiny_disk / "b.tar").ok


def test_a_full_disk_while_it_is_installed(tmp_path: Path, store: Store, tiny_disk: Path) -> None:
    big(store, 4)
    bundle(store, tmp_path / "b.tar")
    with Store.open(Settings(home=tiny_disk / "s", min_free_bytes=0)) as there:
        with pytest.raises(StoreFullError):
            install(there, tmp_path / "b.tar")
        assert nothing_came(there)


def test_a_budget_that_is_too_small_is_told_before_anything_is_written(tmp_path: Path, store: Store) -> None:
    big(store, 2)
    bundle(store, tmp_path / "b.tar")
    with Store.open(Settings(home=tmp_path / "s", max_bytes=1_000_000)) as there:
        with pytest.raises(StoreFullError, match="can hold"):
            install(there, tmp_path / "b.tar")
        assert there.usage().objects == 0
    with Store.open(Settings(home=tmp_path / "t", max_bytes=6_000_000)) as there:
        put(there, "old", {"a": noise("old", 4_000_000)})
        install(there, tmp_path / "b.tar")  # the old one goes: it can be made again
        assert there.get("delta", put(store, "old", {}).key) is None
        assert there.usage().bytes <= 6_000_000


def test_a_folder_that_may_not_be_written(tmp_path: Path, store: Store) -> None:
    fill_small(store)
    with pytest.raises(StoreError, match="cannot write"):
        bundle(store, tmp_path / "nowhere" / "b.tar")


def test_a_file_system_for_small_files_only(tmp_path: Path, store: Store) -> None:
    """FAT32, say: to make room would not help."""
    big(store, 2)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
    try:
        with pytest.raises(StoreFullError, match=r"cannot write .*b\.tar: File too large; .* try --volume-size 4GB"):
            bundle(store, tmp_path / "b.tar")
        bundle(store, tmp_path / "v.tar", options=CreateOptions(volume_bytes=1_000_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert verify(tmp_path / "v.tar").ok
