"""Bundles made on purpose to do harm: consistent as archives, wrong in what they say. Each is refused in one line."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard
from blake3 import blake3
from bundling import bundle, forge, key, manifest_bytes, members_of, noise, nothing_came, small_bundle

from forebay.bundle import archive, install, verify
from forebay.bundle.installing import install_from
from forebay.bundle.manifest import MOST_BYTES, parse
from forebay.bundle.source import open_bytes
from forebay.config import Settings
from forebay.errors import BundleError, StoreError, StoreFullError
from forebay.store import Store
from forebay.store import entry as entry_files
from forebay.testing import Fault, FaultKind, FaultyFilesystem
from forebay.types import Digest, Entry, ObjectRef

Fields = dict[str, Any]
Contents = dict[str, bytes]
OBJECTS = "objects/"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return small_bundle(tmp_path_factory.mktemp("small"))


@pytest.fixture
def sound(small: bytes) -> tuple[Fields, Contents]:
    return members_of(small)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store that stays empty, for all that is refused."""
    with Store.open(Settings(home=tmp_path_factory.mktemp("empty") / "store")) as store:
        assert nothing_came(store)
        yield store


def refused(store: Store, data: bytes, error: type[Exception] = BundleError) -> str:
    """Return in which words a bundle is refused; nothing may come of it."""
    with pytest.raises(error) as caught, open_bytes(data) as source:
        install_from(store, source)
    assert "\n" not in str(caught.value)
    assert nothing_came(store)
    return str(caught.value)


def digest(data: bytes) -> str:
    return blake3(data).hexdigest()


def test_what_is_forged_without_change_is_taken(sound: tuple[Fields, Contents], other: Store) -> None:
    with open_bytes(forge(*sound)) as source:
        assert install_from(other, source).entries == 2


# The MANIFEST says what no manifest says


MANIFESTS: dict[str, Callable[[Fields], object]] = {
    "format": lambda it: it.update(format=2),
    "no format": lambda it: it.pop("format"),
    "more": lambda it: it.update(more=1),
    "names: traversal": lambda it: it["names"][0].update(name="../../etc/passwd"),
    "names: absolute": lambda it: it["names"][0].update(name="/etc/passwd"),
    "names: hidden": lambda it: it["names"][0].update(name="runs/.demo"),
    "names: backslash": lambda it: it["names"][0].update(name="..\\demo"),
    "names: control": lambda it: it["names"][0].update(name="a\x1b[2J"),
    "names: too long": lambda it: it["names"][0].update(name="a" * 300),
    "names: not there": lambda it: it["names"][0].update(key="0" * 64),
    "names: twice": lambda it: it["names"].append(it["names"][0]),
    "names: a number": lambda it: it["names"][0].update(name=7),
    "entries: kind": lambda it: it["entries"][0].update(kind="../x"),
    "entries: kind is a number": lambda it: it["entries"][0].update(kind=7),
    "entries: key": lambda it: it["entries"][0].update(key="../../x"),
    "entries: capitals": lambda it: it["entries"][0].update(key=it["entries"][0]["key"].upper()),
    "entries: twice": lambda it: it["entries"].append(it["entries"][-1]),
    "entries: order": lambda it: it["entries"].reverse(),
    "entries: size": lambda it: it["entries"][0].update(size=2**40),
    "entries: negative": lambda it: it["entries"][0].update(size=-1),
    "entries: true": lambda it: it["entries"][0].update(size=True),
    "entries: a float": lambda it: it["entries"][0].update(size=1.0),
    "objects: digest": lambda it: it["objects"][0].update(digest="/etc/passwd"),
    "objects: twice": lambda it: it["objects"].append(it["objects"][-1]),
    "objects: order": lambda it: it["objects"].reverse(),
    "objects: pack": lambda it: it["objects"][0].update(pack="gzip"),
    "objects: raw but smaller": lambda it: [o.update(packed=1) for o in it["objects"] if o["pack"] == "none"],
    "objects: a bomb": lambda it: [o.update(size=2**50) for o in it["objects"] if o["pack"] == "zstd"],
    "objects: packed larger": lambda it: [o.update(packed=2**40) for o in it["objects"]],
    "objects: not a list": lambda it: it.update(objects={}),
    "objects: a list": lambda it: it["objects"].insert(0, []),
    "files: unknown": lambda it: it["files"][0].update(name="../README.txt"),
    "files: order": lambda it: it["files"].reverse(),
    "files: size": lambda it: it["files"][0].update(size=2**40),
    "roots: not there": lambda it: it["roots"].append({"kind": "zzz", "key": "0" * 64}),
    "needs: not a delta": lambda it: it["needs"]["objects"].append(["0" * 64, 1]),
    "needs: what it has": lambda it: (
        it.update(since="0" * 64), it["needs"]["objects"].append([it["objects"][0]["digest"], 1])
    ),
    "needs: three": lambda it: it["needs"]["objects"].append(["0" * 64, 1, 2]),
    "since": lambda it: it.update(since="yesterday"),
    "signer": lambda it: it.update(signer=7),
    "level": lambda it: it["zstd"].update(level=1000),
    "library": lambda it: it["zstd"].update(library="1.5\n7"),
    "frames": lambda it: it["zstd"].update(frame_bytes=2**30),
}  # fmt: skip


@pytest.mark.parametrize("what", MANIFESTS)
def test_a_manifest_that_says_what_none_says(sound: tuple[Fields, Contents], empty: Store, what: str) -> None:
    fields, contents = sound
    MANIFESTS[what](fields)
    assert "MANIFEST" in (told := refused(empty, forge(fields, contents))) or "bundle" in told or "name" in told


@pytest.mark.parametrize(
    "line",
    [
        b'{"a":1,"a":2}\n', b'{"a": 1}\n', b"[" * 100_000 + b"\n", b"7\n", b"null\n", b'{"a":1e400}\n', b"\n", b"{}",
        b'{"a":' + b"9" * 5000 + b"}\n", b'{"b":1,"a":2}\n', b'{"a":"\\u0041"}\n', b'{"a":NaN}\n', b"\xff\xfe{}\n",
        b'{"a":"\\ud800"}\n',
    ],
)  # fmt: skip
def test_what_is_not_canonical_json_is_no_manifest(line: bytes) -> None:
    whole = b'{"check":"' + blake3(b"{" + line[1:]).hexdigest().encode() + b'",' + line[1:]
    with pytest.raises(BundleError, match="MANIFEST"):
        parse(whole)


def test_a_huge_manifest_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.tar"
    with path.open("wb") as file:
        file.write(archive.header("MANIFEST.json", MOST_BYTES + 1))
        file.truncate(2 * MOST_BYTES)  # a sparse file
    with pytest.raises(BundleError, match="larger than"):
        verify(path)


# The archive holds what it should not


def as_tar(members: list[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for info, data in members:
            info.size = len(data) if info.type == tarfile.REGTYPE else info.size
            tar.addfile(info, io.BytesIO(data))
    return raw.getvalue()


@pytest.mark.parametrize(
    "type_",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE, b"S"],
)
def test_links_devices_and_sparse_files_are_refused(sound: tuple[Fields, Contents], empty: Store, type_: bytes) -> None:
    fields, contents = sound
    victim = next(name for name in contents if name.startswith(OBJECTS))
    data = bytearray(forge(fields, contents))
    at = data.rindex(victim.encode())
    info = tarfile.TarInfo(victim)
    info.type, info.linkname, info.mode = type_, "/etc/passwd", 0o444
    data[at : at + archive.BLOCK] = info.tobuf(tarfile.USTAR_FORMAT)
    assert victim in refused(empty, bytes(data))


def test_unknown_missing_double_and_reordered_members_are_refused(sound: tuple[Fields, Contents], empty: Store) -> None:
    fields, contents = sound
    pairs = list(contents.items())
    evil = ("objects/../../../../tmp/evil", b"x")
    for members in (
        [*pairs, evil],
        [evil, *pairs],
        [*pairs[:-1], evil, pairs[-1]],
        pairs[:-1],
        pairs[1:],
        [*pairs, pairs[-1]],
        [pairs[0], *pairs],
        [*pairs[:-2], pairs[-1], pairs[-2]],
        list(reversed(pairs)),
        [],
    ):
        refused(empty, forge(fields, members))
    with pytest.raises(BundleError):
        open_bytes(as_tar([(tarfile.TarInfo("MANIFEST.json"), manifest_bytes(fields))]) + forge(fields, pairs))


@pytest.mark.parametrize("data", [b"", b"x", bytes(512), bytes(100_000), b"PK\3\4" + bytes(600)])
def test_what_is_no_bundle(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(BundleError):
        verify(tmp_path / "x")


def test_tars_of_other_dialects_are_refused(sound: tuple[Fields, Contents]) -> None:
    fields, contents = sound
    for dialect in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        raw = io.BytesIO()
        with tarfile.open(fileobj=raw, mode="w", format=dialect) as tar:
            for name, data in [("MANIFEST.json", manifest_bytes(fields)), *contents.items()]:
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        with pytest.raises(BundleError):
            open_bytes(raw.getvalue())


# Objects that are not what they seem


def with_object(sound: tuple[Fields, Contents], packed: bytes, size: int, name: str | None = None) -> bytes:
    """Forge a bundle in which the zstd object is replaced by other packed bytes, with a BLAKE3 that fits."""
    fields, contents = sound
    told = next(each for each in fields["objects"] if each["pack"] == "zstd")
    member = f"objects/{told['digest'][:2]}/{told['digest'][2:]}.zst"
    told.update(packed=len(packed), blake3=digest(packed), size=size)
    if name is not None:
        told["digest"] = name
    contents[member] = packed
    return forge(fields, contents)


def frame(data: bytes, **options: Any) -> bytes:
    return zstandard.ZstdCompressor(**options).compress(data)


PROSE = b"base the forebay" * 44


@pytest.mark.parametrize(
    ("packed", "size"),
    [
        (frame(b"other" * 140), 700),  # other bytes
        (frame(b"x" * 699), 700),  # fewer
        (frame(b"x" * 701), 700),  # more
        (frame(bytes(2**20)) * 16, 700),  # a bomb
        (frame(bytes(2**24)), 700),  # a bomb in one frame
        (frame(b"x" * 700, write_content_size=False), 700),
        (frame(b"x" * 700, write_checksum=True), 700),
        (frame(b"x" * 350) + frame(b"x" * 350), 700),  # frames that are too short
        (frame(b"x" * 700) + b"\x50\x2a\x4d\x18\x04\0\0\0abcd", 700),  # a skippable frame behind it
        (b"\x50\x2a\x4d\x18\x04\0\0\0abcd" + frame(b"x" * 700), 700),
        (frame(b"x" * 700) + b"\0", 700),
        (frame(b"x" * 700)[:-1], 700),
        (frame(b"x" * 700, dict_data=zstandard.ZstdCompressionDict(noise("dictionary", 4096))), 700),
        (b"\x28\xb5\x2f\xfd" + noise("damaged", 60), 700),
        (b"\x28\xb5\x2f\xfd\x00\xff" + bytes(60), 700),  # a window beyond all bounds
        (b"\x28\xb5\x2f\xfd\xe0" + (2**40).to_bytes(8, "little") + bytes(60), 700),
        (b"\x28\xb5\x2f\xfd\x60\xbc\x01\x07\0\0\0\0\0", 700),  # a block of the reserved type
        (noise("no zstd", 100), 700),
    ],
)
def test_objects_that_do_not_unpack_to_what_they_should(
    sound: tuple[Fields, Contents], empty: Store, packed: bytes, size: int
) -> None:
    assert OBJECTS in refused(empty, with_object(sound, packed, size))


def test_a_raw_object_under_another_name(sound: tuple[Fields, Contents], empty: Store) -> None:
    fields, contents = sound
    told = next(each for each in fields["objects"] if each["pack"] == "none" and each["size"])
    contents[f"objects/{told['digest'][:2]}/{told['digest'][2:]}"] = bytes(told["size"])
    assert "damaged" in refused(empty, forge(fields, contents))


def test_more_than_the_disk_holds_is_refused_at_once(sound: tuple[Fields, Contents], other: Store) -> None:
    fields, contents = sound
    told = next(each for each in fields["objects"] if each["pack"] == "none" and each["size"])
    told.update(size=2**50, packed=2**50)
    data = forge(fields, contents)
    with pytest.raises((StoreFullError, BundleError)), open_bytes(data) as source:
        install_from(other, source)
    assert nothing_came(other)


# Entries that are not what they seem


def with_entry(sound: tuple[Fields, Contents], data: bytes, at: int = 0) -> bytes:
    fields, contents = sound
    told = fields["entries"][at]
    told.update(size=len(data), blake3=digest(data))
    contents[f"entries/{told['kind']}/{told['key']}.json"] = data
    return forge(fields, contents)


def entry_at(sound: tuple[Fields, Contents], at: int = 0) -> dict[str, Any]:
    fields, contents = sound
    told = fields["entries"][at]
    found = json.loads(contents[f"entries/{told['kind']}/{told['key']}.json"])
    del found["check"]
    return found


ENTRIES: dict[str, Callable[[dict[str, Any]], object]] = {
    "another key": lambda it: it.update(key=key("other")),
    "another kind": lambda it: it.update(kind="run"),
    "an object that is not there": lambda it: it["objects"][0].update(digest="0" * 64),
    "another size": lambda it: it["objects"][0].update(size=it["objects"][0]["size"] + 1),
    "a path that leads elsewhere": lambda it: it["objects"][0].update(role="file:../../etc/passwd"),
    "an absolute path": lambda it: it["objects"][0].update(role="file:/etc/passwd"),
    "a path with a backslash": lambda it: it["objects"][0].update(role="file:..\\x"),
    "a path with nothing in it": lambda it: it["objects"][0].update(role="file:a//b"),
    "a role that is a number": lambda it: it["objects"][0].update(role=7),
    "a role twice": lambda it: it["objects"].append(it["objects"][0]),
    "a path twice": lambda it: [each.update(role="file:a") for each in it["objects"]],
    "an input that is no key": lambda it: it.update(inputs=["../x"]),
    "facts that are a list": lambda it: it.update(meta=[1]),
    "a dataset that is a number": lambda it: it.update(dataset=7),
    "a version that is a number": lambda it: it.update(versions={"forebay": 1}),
    "a time": lambda it: it.update(created=1.0),
    "an origin": lambda it: it.update(recoverable=True),
    "more fields": lambda it: it.update(more=1),
    "deep facts": lambda it: it.update(meta=deep(3000)),
}


def deep(levels: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for _ in range(levels):
        found = {"a": found}
    return found


@pytest.mark.parametrize("what", ENTRIES)
def test_entries_that_say_what_none_says(sound: tuple[Fields, Contents], empty: Store, what: str) -> None:
    fields = entry_at(sound)
    ENTRIES[what](fields)
    try:
        line = manifest_bytes(fields)  # an entry carries its check in the same way
    except RecursionError:
        line = b'{"check":"' + b"0" * 64 + b'",' + b'"a":' * 0 + b"[" * 100_000 + b"\n"
    assert "entries/" in refused(empty, with_entry(sound, line))


def test_an_entry_with_another_check_or_form(sound: tuple[Fields, Contents], empty: Store) -> None:
    fields = entry_at(sound)
    line = manifest_bytes(fields)
    for data in (
        line.replace(b'"check":"', b'"check": "', 1), line[:-1], line + b"\n", b"", b"{}\n",
        line.replace(b"demo", b"dem0"), json.dumps(json.loads(line)).encode(),
    ):  # fmt: skip
        assert "entries/" in refused(empty, with_entry(sound, data))


def test_an_object_that_no_entry_names(sound: tuple[Fields, Contents], empty: Store) -> None:
    fields = entry_at(sound)
    fields["objects"] = fields["objects"][:1]
    assert "belongs to no entry" in refused(empty, with_entry(sound, manifest_bytes(fields)))


# Folders


def unpacked(folder: Path) -> Path:
    data = small_bundle(folder)
    (folder / "unpacked").mkdir()
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        tar.extractall(folder / "unpacked", filter="tar")
    return folder / "unpacked"


def test_a_folder_with_links_pipes_or_other_files_in_it(tmp_path: Path, other: Store) -> None:
    folder = unpacked(tmp_path)
    victim = next(path for path in folder.rglob("objects/*/*") if path.stat().st_size)
    whole = victim.read_bytes()

    def spoil(make: Callable[[], object]) -> None:
        victim.unlink(missing_ok=True)
        make()
        with pytest.raises(BundleError):
            install(other, folder)
        assert nothing_came(other)

    (tmp_path / "outside").write_bytes(whole)
    spoil(lambda: victim.symlink_to(tmp_path / "outside"))
    spoil(lambda: os.mkfifo(victim))
    victim.unlink()
    spoil(lambda: victim.mkdir())
    victim.rmdir()
    spoil(lambda: None)
    spoil(lambda: victim.write_bytes(whole + b"x"))
    spoil(lambda: victim.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1])))
    victim.write_bytes(whole)
    above = victim.parent
    above.rename(tmp_path / "elsewhere")
    above.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BundleError, match="behind a link"):
        install(other, folder)
    assert nothing_came(other)
    above.unlink()
    (tmp_path / "elsewhere").rename(above)
    assert install(other, folder).entries == 2


# What is there is not harmed


def test_what_a_store_made_itself_is_believed_more_than_a_bundle(tmp_path: Path, other: Store) -> None:
    data = small_bundle(tmp_path)
    mine = other.commit(Entry("delta", key("base"), dataset="demo"), {"data": b"made here"})
    with open_bytes(data) as source:
        report = install_from(other, source)
    assert report.differing == (("delta", key("base")),)
    there = other.get("delta", key("base"))
    assert there == mine
    assert other.get("delta", key("top")) is not None


def test_a_failing_store_leaves_no_entry_and_no_name(small: bytes) -> None:
    """A disk that fails at any one operation of an install: then all of the bundle is there, or nothing of it."""
    home, number, finished = Path("/home/store"), 0, False
    while not finished:
        number += 1
        disk = FaultyFilesystem()
        with Store.open(Settings(home=home, min_free_bytes=0), fs=disk) as store, open_bytes(small) as source:
            begun = len(disk.trace)
            disk.plan(Fault(FaultKind.NO_SPACE, at=begun + number))
            try:
                install_from(store, source)
                finished = len(disk.trace) < begun + number
            except (StoreError, OSError):
                assert not store.names.list(), disk.told()
                assert not list(store.entries()), disk.told()
    assert number > 50


def test_an_entry_that_grew_is_taken_and_one_that_shrank_is_not(tmp_path: Path, other: Store) -> None:
    with Store.open(Settings(home=tmp_path / "from")) as store:
        store.commit(Entry("snapshot", key("s"), dataset="demo"), {"file:a": b"a", "file:b": b"b"})
        bundle(store, tmp_path / "whole.tar")
    with Store.open(Settings(home=tmp_path / "part")) as store:
        store.commit(Entry("snapshot", key("s"), dataset="demo"), {"file:a": b"a"})
        bundle(store, tmp_path / "part.tar")
    other.commit(Entry("snapshot", key("s"), dataset="demo"), {"file:a": b"a"})
    assert install(other, tmp_path / "whole.tar").entries == 1
    report = install(other, tmp_path / "part.tar")
    assert (report.entries, report.kept, report.differing) == (0, 1, ())
    grown = other.get("snapshot", key("s"))
    assert grown is not None
    assert {ref.role for ref in grown.objects} == {"file:a", "file:b"}
    assert grown == entry_files.decode(entry_files.encode(grown))
    assert grown.objects[0] == ObjectRef("file:a", Digest(digest(b"a")), 1)
