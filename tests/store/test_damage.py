"""Bit flips, cut files, zeroed pages, lost files: each is a miss, told once, and healed; never a wrong answer."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from disks import digest_of, key, payload

from forebay.config import Settings
from forebay.errors import ObjectDamagedError, ObjectMissingError
from forebay.events import Event, What
from forebay.store import Store
from forebay.types import Entry

DATA = payload("data", 300_000)


class Told(list[Event]):
    def __call__(self, event: Event, /) -> None:
        self.append(event)

    def of(self, *what: What) -> list[str]:
        return [event.message for event in self if event.what in what]


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    with Store.open(Settings(home=tmp_path / "s")) as store:
        store.commit(Entry("delta", key("a")), {"o": DATA, "p": b"small"})
    return tmp_path / "s"


def opened(home: Path, told: Told, **settings: Any) -> Store:
    return Store.open(Settings(home=home, **settings), hook=told)


def path_of(home: Path, data: bytes) -> Path:
    digest = digest_of(data)
    return home / "objects-v1" / digest[:2] / digest[2:]


def rewrite(path: Path, content: bytes) -> None:
    """As a failing disk does: under the same name, without a trace."""
    path.chmod(0o644)
    path.write_bytes(content)


DAMAGE = {
    "one bit": lambda data: data[:77_000] + bytes([data[77_000] ^ 4]) + data[77_001:],
    "zeroed page": lambda data: data[:4096] + bytes(4096) + data[8192:],
    "cut": lambda data: data[:100_000],
    "emptied": lambda data: b"",
    "longer": lambda data: data + b"x",
}


@pytest.mark.parametrize("how", DAMAGE)
@pytest.mark.parametrize("policy", ["once", "always"])
def test_damaged_object(home: Path, told: Told, how: str, policy: str) -> None:
    path = path_of(home, DATA)
    rewrite(path, DAMAGE[how](DATA))
    with opened(home, told, verify=policy) as store:
        with pytest.raises(ObjectDamagedError):
            store.read(digest_of(DATA))
        assert not path.exists()
        assert len(told.of(What.QUARANTINE)) == 1
        assert "\n" not in told.of(What.QUARANTINE)[0]
        assert [kept.name.split("-")[1] for kept in (home / "quarantine").iterdir()] == [digest_of(DATA)]
        with pytest.raises(ObjectMissingError):
            store.read(digest_of(DATA))
        entry = store.get("delta", key("a"))
        assert entry is not None
        assert not store.complete(entry)
        again = store.commit(Entry("delta", key("a")), {"o": DATA, "p": b"small"})
        assert store.complete(again)
        assert store.read(digest_of(DATA)) == DATA
        assert store.usage().damaged == 1
        assert store.usage().damaged_bytes == len(DAMAGE[how](DATA))


@pytest.mark.parametrize("codec", ["zstd", "lz4", "gzip"])
def test_damaged_encoded_object(tmp_path: Path, told: Told, codec: str) -> None:
    text = b"some text that shrinks " * 20_000
    with opened(tmp_path / "s", told, codec=codec) as store:
        store.commit(Entry("delta", key("a")), {"o": text})
    (path,) = path_of(tmp_path / "s", text).parent.iterdir()
    rewrite(path, path.read_bytes()[:-7])
    with opened(tmp_path / "s", told) as store:
        with pytest.raises(ObjectDamagedError):
            store.read(digest_of(text))
        (kept,) = (tmp_path / "s" / "quarantine").iterdir()
        assert kept.name.endswith(path.suffix)


def test_size_policy_sees_what_is_cut(home: Path, told: Told) -> None:
    rewrite(path_of(home, DATA), DATA[:-1])
    with opened(home, told, verify="size") as store:
        store.get("delta", key("a"))
        with pytest.raises(ObjectDamagedError):
            store.read(digest_of(DATA))


def test_verified_once_per_process(home: Path, told: Told) -> None:
    """What was found right is not hashed again; always is."""
    with opened(home, told) as once, opened(home, told, verify="always") as always:
        once.read(digest_of(DATA))
        always.read(digest_of(DATA))
        path = path_of(home, DATA)
        content = bytearray(DATA)
        content[5] ^= 1
        rewrite(path, bytes(content))
        assert len(once.read(digest_of(DATA))) == len(DATA)
        with pytest.raises(ObjectDamagedError):
            always.read(digest_of(DATA))


def test_cut_object_is_not_relied_on(home: Path, told: Told) -> None:
    """Who puts the same bytes again finds a file of the name, sees that it is cut, and writes it anew."""
    rewrite(path_of(home, DATA), DATA[:1000])
    with opened(home, told) as store:
        store.commit(Entry("delta", key("b")), {"o": DATA})
        assert store.read(digest_of(DATA)) == DATA
        assert len(told.of(What.QUARANTINE)) == 1


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"not json", b'{"check":"' + b"0" * 64 + b'","cost":1}\n', b'{"check":"', bytes(500)],
)
def test_damaged_entry(home: Path, told: Told, content: bytes) -> None:
    path = home / "entries-v1" / "delta" / key("a")[:2] / f"{key('a')[2:]}.json"
    rewrite(path, content)
    with opened(home, told) as store:
        assert store.get("delta", key("a")) is None
        assert len(told.of(What.QUARANTINE)) == 1
        assert store.get("delta", key("a")) is None
        assert len(told.of(What.QUARANTINE)) == 1
        store.commit(Entry("delta", key("a")), {"o": DATA})
        assert store.get("delta", key("a")) is not None


def test_what_only_a_reader_set_aside_is_off_the_books(home: Path, told: Told) -> None:
    """When the store is closed at the latest: no list names it any more."""
    rewrite(home / "entries-v1" / "delta" / key("a")[:2] / f"{key('a')[2:]}.json", b"x")
    with opened(home, told) as store:
        assert store.usage().entries == 1
        assert store.get("delta", key("a")) is None
    with opened(home, told) as store:
        usage = store.usage()
        assert (usage.entries, usage.damaged, usage.damaged_bytes) == (0, 1, 1)


def test_every_flipped_bit_of_an_entry_is_seen(home: Path, told: Told) -> None:
    path = home / "entries-v1" / "delta" / key("a")[:2] / f"{key('a')[2:]}.json"
    good = path.read_bytes()
    with opened(home, told) as store:
        for offset in range(0, len(good), 7):
            path.unlink(missing_ok=True)
            path.write_bytes(good[:offset] + bytes([good[offset] ^ (1 << offset % 8)]) + good[offset + 1 :])
            assert store.get("delta", key("a")) is None


def test_entry_under_the_wrong_key(home: Path, told: Told) -> None:
    path = home / "entries-v1" / "delta" / key("a")[:2] / f"{key('a')[2:]}.json"
    other = home / "entries-v1" / "delta" / key("b")[:2] / f"{key('b')[2:]}.json"
    other.parent.mkdir(exist_ok=True)
    other.write_bytes(path.read_bytes())
    with opened(home, told) as store:
        assert store.get("delta", key("b")) is None
        assert store.get("delta", key("a")) is not None


def test_damage_in_a_store_that_may_not_be_written(home: Path, told: Told) -> None:
    """Cannot be set aside; is a miss all the same, and told once."""
    rewrite(path_of(home, DATA), DATA[:-1])
    with opened(home, told, read_only=True) as store:
        for _ in range(3):
            with pytest.raises(ObjectDamagedError):
                store.read(digest_of(DATA))
        assert len(told.of(What.WARNING, What.QUARANTINE)) == 1
    assert path_of(home, DATA).exists()


def test_verify_reports_all_of_it(home: Path, told: Told) -> None:
    with opened(home, told) as store:
        for number in range(5):
            store.commit(Entry("delta", key(f"v{number}")), {"o": payload(f"v{number}")})
        rewrite(path_of(home, payload("v1")), b"other")
        path_of(home, payload("v2")).unlink()
        report = store.verify()
        assert not report.ok
        assert [each.name for each in report.damaged] == [digest_of(payload("v1"))]
        assert {each.name for each in report.missing} == {key("v1"), key("v2")}
        assert store.gc().entries == 2
        after = store.verify()
        assert after.ok
        assert not after.missing


def test_damaged_files_count_and_go_first(tmp_path: Path, told: Told) -> None:
    with opened(tmp_path / "s", told, max_bytes=30_000, min_free_bytes=0) as store:
        for name in ("a", "b"):
            store.commit(Entry("delta", key(name)), {"o": payload(name, 9000)})
        rewrite(path_of(tmp_path / "s", payload("a", 9000)), bytes(9000))
        with pytest.raises(ObjectDamagedError):
            store.read(digest_of(payload("a", 9000)))
        store.commit(Entry("delta", key("c")), {"o": payload("c", 9000)})
        assert store.usage().damaged == 1
        store.commit(Entry("delta", key("d")), {"o": payload("d", 9000)})
        assert store.usage().damaged == 0
        assert store.complete(store.get("delta", key("b")))  # type: ignore[arg-type]


def test_damaged_names_and_pins(home: Path, told: Told) -> None:
    """A damaged name is no name; a damaged pin still holds."""
    with opened(home, told) as store:
        store.names.set("n", "delta", key("a"))
        store.pin("delta", key("a"), "why")
        rewrite(home / "names-v1" / "n.json", b"{")
        (pin,) = (home / "holds-v1" / "pins").iterdir()
        rewrite(pin, b"")
        assert store.names.get("n") is None
        assert store.gc(max_bytes=0).entries == 0
        assert [each.note for each in store.pins()] == [""]


@pytest.mark.parametrize("how", ["garbage", "cut", "deleted", "other version", "table gone", "flipped"])
def test_damaged_index_is_made_anew(home: Path, told: Told, how: str) -> None:
    index = home / "index.sqlite"
    if how == "garbage":
        index.write_bytes(os.urandom(50_000))
    elif how == "cut":
        index.write_bytes(index.read_bytes()[:5000])
    elif how == "deleted":
        index.unlink()
    elif how == "flipped":
        content = bytearray(index.read_bytes())
        for offset in range(4096, len(content), 50):
            content[offset] ^= 0xFF
        index.write_bytes(bytes(content))
    else:
        with sqlite3.connect(index) as db:
            db.execute("PRAGMA user_version = 77" if how == "other version" else "DROP TABLE entries")
        db.close()
    with opened(home, told) as store:
        assert store.get("delta", key("a")) is not None
        assert [info.key for info in store.entries()] == [key("a")]
        store.commit(Entry("delta", key("b")), {"o": payload("b")})
        assert store.usage().entries == 2
        assert store.usage().object_bytes == len(DATA) + 5 + 1000


@pytest.mark.parametrize("how", ["deleted", "its log deleted", "replaced"])
def test_index_that_goes_while_it_is_used(home: Path, told: Told, how: str) -> None:
    """Also with a batch under way: what it has reserved is counted on, and what it relies on stays."""
    with opened(home, told) as store, opened(home, told) as other:
        with store.batch() as batch:
            refs = (batch.put("o", payload("n")), batch.put("p", DATA))
            if how == "deleted":
                for path in home.glob("index.sqlite*"):
                    path.unlink()
            elif how == "its log deleted":
                (home / "index.sqlite-wal").unlink()
            else:
                (home / "index.sqlite").unlink()
                other.reindex()
            assert other.usage().entries == 1
            batch.add(Entry("delta", key("n"), refs))
        assert {info.key for info in other.entries()} == {key("a"), key("n")}
        assert store.usage().reserved_bytes == 0
        store.gc()
        assert store.complete(store.get("delta", key("n")))  # type: ignore[arg-type]
