"""A store that cannot keep what comes: the client has its bytes all the same, checked as far as can be."""

from __future__ import annotations

import http.client
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from forebay.errors import StoreFullError, WrongBytesError
from forebay.events import Event, What
from forebay.mirror.carrying import Carrying
from forebay.testing import FakeHub, HubFault, Repository

BIG = bytes(range(256)) * (40 << 10)  # 10 MiB: more than is gathered in memory
SMALL = b"{}" * 1000
PATH = "/datasets/a/b/resolve/main/big.bin"
FEW = "/datasets/a/b/resolve/main/small.json"
CLIENT = """
from huggingface_hub import HfFileSystem, hf_hub_download, snapshot_download
import pathlib
print(pathlib.Path(hf_hub_download("a/b", "big.bin", repo_type="dataset")).stat().st_size)
print(len(list(pathlib.Path(snapshot_download("a/b", repo_type="dataset")).iterdir())))
print(HfFileSystem().cat_file("datasets/a/b/big.bin", start=1000, end=1004).hex())
"""
FULL = {"FOREBAY_MIN_FREE_BYTES": str(1 << 60)}
BUDGET = {"FOREBAY_MAX_BYTES": str(1 << 20)}
READ_ONLY = {"FOREBAY_READ_ONLY": "1"}


@pytest.fixture
def fake():
    files = {"big.bin": BIG, "small.json": SMALL}
    repositories = [Repository("a/b", files=files), Repository("c/d", files={"x": "1"}, private=True, readers={"me"})]
    with FakeHub(repositories, users={"tok": "me"}) as hub:
        yield hub


@pytest.fixture
def long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take every file for one that is given out whole before it is kept."""
    monkeypatch.setattr("forebay.hub.streaming._LONG_BYTES", 0)


@pytest.fixture(params=[FULL, BUDGET, READ_ONLY], ids=["full", "budget", "read-only"])
def poor(request, fake, start_mirror, upstream):
    start_mirror(*upstream(fake)).stop()  # there is a store, with nothing in it
    return start_mirror(*upstream(fake), **request.param)


def said(tmp_path: Path) -> list[str]:
    lines = "".join(path.read_text() for path in tmp_path.glob("*.log")).splitlines()
    return [line for line in lines if "not kept" in line or "cannot answer" in line]


def test_bytes_come_and_are_not_kept(poor, tmp_path) -> None:
    assert poor.ask(PATH, "HEAD").headers["content-length"] == str(len(BIG))
    for _ in range(2):
        assert poor.ask(PATH).body == BIG
        assert poor.ask(FEW).body == SMALL
        assert poor.ask(PATH, Range="bytes=-7").body == BIG[-7:]
        assert poor.ask(PATH, Range="bytes=9000000-9000099").body == BIG[9000000:9000100]
        assert poor.ask(FEW, Range="bytes=10-19").body == SMALL[10:20]
    assert poor.ask("/datasets/a/b/resolve/main/none").status == 404
    assert poor.ask("/api/datasets/a/none").status == 401
    assert poor.counts()["failed"] == 0
    poor.stop()
    assert len(said(tmp_path)) == 1, said(tmp_path)


def test_clients_do_not_notice(poor, run_client) -> None:
    assert run_client(CLIENT, poor.endpoint).split() == [str(len(BIG)), "2", BIG[1000:1004].hex()]


@pytest.mark.parametrize("wrong", [b"?" * len(BIG), BIG[:-1] + b"?", BIG[:-1], BIG + b"x"])
def test_wrong_bytes_never_make_a_whole_answer(wrong, poor, fake) -> None:
    fake.faults.add(HubFault(replace_with=wrong), "*big.bin*")
    for path in (PATH, FEW):
        try:
            answer = poor.ask(path)
        except (http.client.IncompleteRead, ConnectionError):
            assert path == PATH
        else:
            assert answer.body == SMALL if path == FEW else answer.status >= 500


@pytest.mark.parametrize(
    "fault", [HubFault(cut_after_bytes=3 << 20), HubFault(status=503), HubFault(ignore_range=True)]
)
def test_a_hub_that_stumbles_is_not_noticed(fault, poor, fake) -> None:
    fake.faults.add(fault, "*big.bin*", times=2)
    assert poor.ask(PATH).body == BIG
    assert poor.ask(PATH, Range="bytes=5000000-").body == BIG[5000000:]


def test_who_goes_on_from_the_middle_of_wrong_bytes_gets_all(poor, fake) -> None:
    fake.faults.add(HubFault(replace_with=b"?" * len(BIG)), "*big.bin*")
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        poor.ask(PATH)
    fake.faults.clear()
    answer = poor.ask(PATH, Range="bytes=1000-")
    assert (answer.status, answer.body) == (200, BIG)


def test_a_private_repository_stays_private(fake, start_mirror, upstream) -> None:
    start_mirror(*upstream(fake)).stop()
    mirror = start_mirror(*upstream(fake), **READ_ONLY)
    assert mirror.ask("/datasets/c/d/resolve/main/x", Authorization="Bearer tok").body == b"1"
    for path in ("/datasets/c/d/resolve/main/x", "/api/datasets/c/d/tree/main", "/api/datasets/c/d"):
        assert mirror.ask(path).status == 401


@pytest.mark.parametrize(("start", "end"), [(0, len(BIG)), (5, 9_000_000)])
def test_a_store_that_gives_up_in_the_midst(start, end, fake, bench, monkeypatch) -> None:
    """As when other programs fill the disk."""
    made = bench(fake)
    gave_up = _give_up_after(made, 3)
    monkeypatch.setattr(made.hub, "stream", gave_up)
    picture = made.library.picture(_reference(), None)
    content = made.library.opener(picture, picture.snapshot.file("big.bin"), None)(start, end)
    assert b"".join(bytes(piece) for piece in content.pieces()) == BIG[start:end]


@pytest.mark.usefixtures("long")
def test_a_store_that_gives_up_after_the_last_byte(fake, bench, monkeypatch) -> None:
    """The answer is whole and right, nothing is asked for again, and it is told that nothing was kept."""
    made = bench(fake)
    picture = made.library.picture(_reference(), None)

    def publish(*_: object) -> None:
        published.wait(60)
        raise StoreFullError("the disk is full")

    published = threading.Event()
    monkeypatch.setattr("forebay.hub.publishing.Publisher.publish", publish)
    events: list[Event] = []
    carrying = Carrying(made.hub, events.append)
    pieces = carrying.stream(picture.snapshot, "big.bin", 0, len(BIG), token=None)
    came = b""
    while len(came) < len(BIG):
        came += next(pieces)
    assert (came, events) == (BIG, [])
    published.set()
    assert list(pieces) == []
    assert [event.what for event in events] == [What.WARNING]
    assert "not kept" in events[0].message
    assert sum(one.path.endswith("big.bin") and one.status == 200 for one in fake.log) == 1


@pytest.mark.parametrize("start", [0, 5])
def test_a_store_that_gives_up_has_what_was_given_compared(start, fake, bench, monkeypatch) -> None:
    """It was wrong, and what comes past the store is right: who has the beginning must not get the rest."""
    made = bench(fake)
    picture = made.library.picture(_reference(), None)
    wrong = bytearray(BIG)
    wrong[1000] ^= 1
    fake.faults.add(HubFault(replace_with=bytes(wrong)), "*big.bin*", times=1)
    monkeypatch.setattr(made.hub, "stream", _give_up_after(made, 3))
    pieces = Carrying(made.hub, lambda _: None).stream(picture.snapshot, "big.bin", start, len(BIG), token=None)
    came: list[bytes] = []
    with pytest.raises(WrongBytesError):
        came.extend(pieces)
    assert sum(map(len, came)) < len(BIG) - start


def _reference():
    from forebay.hub import Reference

    return Reference("hf", "dataset", "a/b")


def _give_up_after(made, pieces: int) -> Callable[..., object]:
    stream = made.hub.stream

    def streamed(*arguments, **named):
        for number, piece in enumerate(stream(*arguments, **named)):
            if number == pieces:
                raise StoreFullError("the disk is full")
            yield piece

    return streamed


def test_a_disk_that_is_full(fake, tmp_path, start_mirror, upstream) -> None:
    """A real one, of a few megabytes, as root may have one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("no right to mount")
    try:
        mirror = start_mirror(*upstream(fake), FOREBAY_HOME=str(disk / "store"), FOREBAY_MIN_FREE_BYTES="0")
        (disk / "filled").write_bytes(bytes(1 << 20))
        assert mirror.ask(PATH).body == BIG
        assert mirror.ask(FEW).body == SMALL
        subprocess.run(["dd", "if=/dev/zero", f"of={disk / 'rest'}", "bs=4096"], capture_output=True, check=False)
        assert mirror.ask("/datasets/a/b/resolve/main/none").status == 404
        assert mirror.ask(PATH).body == BIG
        assert mirror.ask("/api/datasets/a/none").status == 401
        mirror.stop()
    finally:
        subprocess.run(["umount", str(disk)], check=True)
