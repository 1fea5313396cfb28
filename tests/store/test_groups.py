"""Stores that a group shares: its members, whatever their umasks and settings."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from disks import key, payload
from users import AS_ROOT, NOBODY, folder_for_all, run_as

from forebay.config import Settings
from forebay.store import Store
from forebay.types import Cost, Entry

WRITE_AS_NOBODY = """
os.umask(0o077)
with Store.open(Settings(home=Path(sys.argv[1]), group=True, min_free_bytes=0)) as store:
    assert store.writable
    assert store.get("delta", Key(sys.argv[2])) is not None
    store.commit(Entry("delta", Key("1" * 64)), {"o": b"from the other user"})
    store.gc(max_bytes=0)
    store.commit(Entry("delta", Key("2" * 64)), {"o": b"from the other user"})
"""


FORGETS_GROUP = """
from forebay.hub.partial import Partials
os.umask(0o077)
with Store.open(Settings(home=Path(sys.argv[1]), min_free_bytes=0)) as store:
    store.commit(Entry("delta", Key("1" * 64)), {"o": b"from the other user"})
    store.names.set("runs/n", "delta", Key("1" * 64))
    lease = store._leases.acquire("ab" * 32)
    lease.progress("text", 1, 2)
    site = store._site
    partial = Partials(site.fs, store.home, dir_mode=site.files.dir_mode).of(Key("1" * 64))
    partial.write(b"some")
    partial.pause()
    os._exit(0)
"""

MAY_NOT_READ = """
from forebay.errors import StoreError
for read_only in (False, True):
    try:
        Store.open(Settings(home=Path(sys.argv[1]), read_only=read_only)).close()
    except StoreError as error:
        assert "may not be read" in str(error), error
    else:
        raise AssertionError("it opened")
"""

LINKS_ANOTHER_S = """
from blake3 import blake3
from forebay.types import Digest, ObjectRef
with Store.open(Settings(home=Path(sys.argv[1]), group=True, min_free_bytes=0)) as store:
    ref = ObjectRef("o", Digest(blake3(b"content").hexdigest()), 7)
    with store.batch() as batch:
        assert batch.link([(ref, store.home / "tmp" / "theirs", "none")]) == [ref]
        assert batch.put("o", b"content").digest == ref.digest
    assert sorted(path.name for path in (store.home / "tmp").iterdir()) == ["theirs"]
"""


@pytest.fixture
def home() -> Iterator[Path]:
    """An empty folder that a group shares."""
    with folder_for_all() as folder:
        home = folder / "s"
        home.mkdir()
        os.chown(home, 0, NOBODY)
        home.chmod(0o2770)
        yield home


@AS_ROOT
def test_group_may_write(home: Path) -> None:
    """Whatever the umasks: another member of the group reads, writes, evicts; strangers may not even read."""
    old = os.umask(0o077)
    try:
        with Store.open(Settings(home=home, group=True, min_free_bytes=0)) as store:
            store.commit(Entry("delta", key("a"), cost=Cost(1.0)), {"o": payload("a")})
            store.names.set("n", "delta", key("a"))
            run_as(WRITE_AS_NOBODY, home, key("a"), uid=NOBODY - 1)
            assert [info.key for info in store.entries()] == ["2" * 64]
            store.commit(Entry("delta", key("b")), {"o": payload("b")})
    finally:
        os.umask(old)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (home / "objects-v1").rglob("*") if path.is_file()}
    assert modes == {0o440}
    assert {stat.S_IMODE(path.stat().st_mode) for path in home.rglob("*") if path.is_dir()} == {0o2770}


@AS_ROOT
def test_a_group_s_store_is_known_by_its_folders(home: Path) -> None:
    """Who has not said that it is a group's leaves nothing in it that the others cannot read, list or evict."""
    Store.open(Settings(home=home, group=True, min_free_bytes=0)).close()
    run_as(FORGETS_GROUP, home, uid=NOBODY - 1)
    files = {path: stat.S_IMODE(path.stat().st_mode) for path in home.rglob("*")}
    assert {mode for path, mode in files.items() if path.is_dir()} == {0o2770}
    assert {mode for path, mode in files.items() if path.is_file()} == {0o440, 0o660}
    assert home / "leases-v1/ab" in files


@AS_ROOT
def test_who_may_not_even_read_it_is_told_at_once(home: Path) -> None:
    Store.open(Settings(home=home, group=True, min_free_bytes=0)).close()
    run_as(MAY_NOT_READ, home, uid=NOBODY - 1, gid=NOBODY - 1)


@AS_ROOT
def test_another_member_s_file_is_not_linked(home: Path) -> None:
    with Store.open(Settings(home=home, group=True, min_free_bytes=0)):
        (home / "tmp" / "theirs").write_bytes(b"content")
        os.chown(home / "tmp" / "theirs", 0, NOBODY)
        (home / "tmp" / "theirs").chmod(0o660)
        run_as(LINKS_ANOTHER_S, home, uid=NOBODY - 1)
