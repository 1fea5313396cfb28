"""What goes into a bundle comes out of it, wherever and by whomever; and the same content gives the same bytes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pytest
from blake3 import blake3
from bundling import bundle, content, fill, fill_small, key, names, noise, prose, put
from hypothesis import given, settings
from hypothesis import strategies as st

from forebay.bundle import CreateOptions, InstallOptions, closure, create, find_roots, install, verify
from forebay.bundle.frames import Coders
from forebay.bundle.manifest import FRAME_BYTES
from forebay.config import Settings
from forebay.errors import InputError, NotFoundError, StoreReadOnlyError
from forebay.hub.snapshot import Snapshot, SnapshotFile
from forebay.store import Store
from forebay.table.entering import enter
from forebay.types import Cost, Entry

CODECS = ("none", "zstd", "lz4", "gzip")

payloads = st.one_of(
    st.binary(max_size=2000),
    st.builds(prose, st.text(max_size=5), st.integers(0, 5000)),
    st.builds(noise, st.text(max_size=5), st.integers(0, 3000)),
)
facts = st.dictionaries(
    st.text(max_size=8),
    st.one_of(st.none(), st.booleans(), st.integers(-(2**60), 2**60), st.floats(-1e300, 1e300), st.text(max_size=20)),
    max_size=4,
)  # fmt: skip
entries = st.lists(
    st.tuples(
        st.sampled_from(["delta", "run", "snapshot", "a" * 64]),
        st.integers(0, 30),
        st.dictionaries(st.sampled_from(["a", "b", "file:x/y", "file:é"]), payloads, max_size=3),
        facts,
        st.lists(st.integers(0, 30), max_size=3),
    ),
    min_size=1, max_size=8, unique_by=lambda each: each[:2],
)  # fmt: skip
name_texts = st.lists(st.sampled_from(["runs/demo", "a", "hub/hf/dataset/n s/é", "x/y.json"]), unique=True, max_size=3)


@settings(max_examples=15, deadline=None)
@given(entries, name_texts, st.sampled_from(CODECS), st.sampled_from(CODECS), st.sampled_from([None, 3000]))
def test_whatever_a_store_holds_comes_through(made, named, codec, codec_there, volume_bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "b.tar"
        with Store.open(Settings(home=Path(folder) / "a", codec=codec)) as store:
            for kind, number, objects, meta, inputs in made:
                inputs_ = tuple(key(f"k{each}") for each in inputs)
                whole = Entry(
                    kind, key(f"k{number}"), meta={"given": meta}, inputs=inputs_, cost=Cost(0.5, 7), dataset="demo"
                )
                store.commit(whole, objects)
            for name, (kind, number, *_) in zip(named, made, strict=False):
                store.names.set(name, kind, key(f"k{number}"))
            bundle(store, out, options=CreateOptions(volume_bytes=volume_bytes))
            here, pointed = content(store), names(store)
            metas = {(row.kind, row.key): store.get(row.kind, row.key) for row in store.entries()}
        assert verify(out).ok
        with Store.open(Settings(home=Path(folder) / "b", codec=codec_there)) as there:
            install(there, out)
            assert content(there) == here
            assert names(there) == pointed
            for place, mine in metas.items():
                found = there.get(*place)
                assert found is not None
                assert mine is not None
                assert (found.meta, found.inputs, found.cost, found.dataset) == (
                    mine.meta,
                    mine.inputs,
                    mine.cost,
                    mine.dataset,
                )
                assert not found.recoverable
            assert there.verify().ok
            assert install(there, out).entries == 0


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 3 * FRAME_BYTES),
    st.sampled_from([noise, prose]),
    st.integers(1, 3),
    st.sampled_from([1, 700, 10**6]),
)
def test_packing_and_unpacking(size, make, threads, step) -> None:
    data = make("x", size)
    with Coders(threads=threads) as coders:
        [(known, pack, pieces)] = coders.packed([(7, size, lambda: memoryview(data))])
        packed = b"".join(pieces)
        assert known == 7
        if pack == "none":
            assert packed == data
            return
        cut = (packed[at : at + step] for at in range(0, len(packed), step))
        assert b"".join(bytes(piece) for piece in coders.unpacked(cut, size)) == data
        import zstandard

        assert zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True).read() == data


def test_large_objects_that_take_many_frames(tmp_path: Path, store: Store, other: Store) -> None:
    mixed = prose("a", 3_000_000) + noise("b", 3_000_000) + bytes(20_000_001)
    put(store, "e", {"mixed": mixed, "noise": noise("n", 20_000_000), "exact": prose("c", 2 * FRAME_BYTES)})
    report = bundle(store, tmp_path / "b.tar", options=CreateOptions(volume_bytes=5_000_000))
    assert len(report.paths) == 6
    assert verify(tmp_path / "b.tar").ok
    install(other, tmp_path / "b.tar.002")
    assert content(other) == content(store)
    assert other.verify().ok


DRIVER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from bundling import bundle, fill
from forebay.bundle import CreateOptions
from forebay.config import Settings
from forebay.hub.snapshot import Snapshot, SnapshotFile
from forebay.store import Store
with Store.open(Settings(home=Path(sys.argv[1]), codec=sys.argv[4])) as store:
    if len(sys.argv) > 6:
        fill(store, count=5, size=200_000)
    bundle(store, Path(sys.argv[2]), options=CreateOptions(threads=int(sys.argv[5])))
"""


def test_the_same_content_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process, path, hash seed, number of threads, codec at rest; even another store that was installed."""
    here, digests = str(Path(__file__).parent), []
    for number, (codec, threads) in enumerate([("none", 1), ("zstd", 3)]):
        home, out = tmp_path / f"{'deep/' * number}store{number}", tmp_path / f"out{number}.tar"
        monkeypatch.setenv("PYTHONHASHSEED", str(number))
        command = [sys.executable, "-c", DRIVER, home, out, here, codec, str(threads), "fill"]
        subprocess.run(command, check=True, umask=0o27 * number)
        digests.append(blake3(out.read_bytes()).hexdigest())
    with Store.open(Settings(home=tmp_path / "third")) as third:
        install(third, tmp_path / "out0.tar")
        bundle(third, tmp_path / "out2.tar")
    digests.append(blake3((tmp_path / "out2.tar").read_bytes()).hexdigest())
    assert len(set(digests)) == 1


def test_a_folder_whose_name_is_no_utf8(tmp_path: Path, store: Store, other: Store) -> None:
    fill_small(store)
    folder = tmp_path / os.fsdecode(b"d\xe9")
    folder.mkdir()
    bundle(store, folder / "b.tar")
    install(other, folder / "b.tar")
    assert content(other) == content(store)


def test_volumes_put_together_are_the_archive(tmp_path: Path, store: Store) -> None:
    fill(store)
    bundle(store, tmp_path / "whole.tar")
    whole = (tmp_path / "whole.tar").read_bytes()
    for size in (512, 1000, 30_000, len(whole), len(whole) + 1):
        report = bundle(store, tmp_path / f"v{size}.tar", options=CreateOptions(volume_bytes=size))
        volumes = [path.read_bytes() for path in report.paths[:-1]]
        assert b"".join(volumes) == whole
        assert all(len(volume) == size for volume in volumes[:-1])
        assert verify(report.paths[0]).ok


def test_a_store_that_has_half_of_it_reads_the_other_half(tmp_path: Path, store: Store, other: Store) -> None:
    fill(store)
    bundle(store, tmp_path / "b.tar")
    first = key("e5")
    bundle(store, tmp_path / "half.tar", f"delta:{first[:16]}")
    half = install(other, tmp_path / "half.tar")
    assert half.entries == 6  # a chain: it and its inputs
    whole = install(other, tmp_path / "b.tar")
    assert (whole.entries, whole.kept, whole.present) == (6, 6, half.objects)
    assert content(other) == content(store)


def test_an_unpacked_bundle_is_linked_and_a_copy_is_not(tmp_path: Path, store: Store) -> None:
    fill(store)
    bundle(store, tmp_path / "b.tar")
    (tmp_path / "un").mkdir()
    subprocess.run(["tar", "-xf", tmp_path / "b.tar", "-C", tmp_path / "un"], check=True)
    files = [path for path in (tmp_path / "un/objects").rglob("*") if path.is_file()]
    with Store.open(Settings(home=tmp_path / "copied")) as there:
        assert install(there, tmp_path / "un", InstallOptions(link=False)).linked == 0
        assert {path.stat().st_nlink for path in files} == {1}
    with Store.open(Settings(home=tmp_path / "linked", codec="lz4")) as there:
        report = install(there, tmp_path / "un")
        assert report.linked == report.objects == len(files)
        assert {path.stat().st_nlink for path in files} == {2}
        assert {path.stat().st_mode & 0o777 for path in files} == {0o444}
        assert content(there) == content(store)
        assert there.verify().ok
        for path in files:
            path.unlink()
        assert content(there) == content(store)
        assert there.usage().reserved_bytes == 0


def test_a_bundle_that_may_only_be_read(tmp_path: Path, store: Store, other: Store) -> None:
    fill_small(store)
    bundle(store, tmp_path / "b.tar")
    (tmp_path / "b.tar").chmod(0o400)
    assert install(other, tmp_path / "b.tar").entries == 2
    with Store.open(Settings(home=other.home, read_only=True)) as shut, pytest.raises(StoreReadOnlyError):
        install(shut, tmp_path / "b.tar")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_another_user_installs_it(tmp_path: Path, store: Store) -> None:
    fill(store)
    bundle(store, tmp_path / "b.tar")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        place.chmod(0o777)
        for name in ("b.tar", "un"):
            if name == "un":
                (place / name).mkdir()
                subprocess.run(["tar", "-xf", place / "b.tar", "-C", place / name], check=True)
            else:
                (place / name).write_bytes((tmp_path / name).read_bytes())
                (place / name).chmod(0o444)
            script = (
                "import os, sys\n"
                "from pathlib import Path\n"
                "from forebay.bundle import InstallOptions, install, closure, verify\n"
                "from forebay.config import Settings\n"
                "from forebay.store import Store\n"
                "import forebay.bundle.installing, forebay.bundle.checking, zstandard\n"
                "with Store.open(Settings(home=Path(sys.argv[1] + '-before'))) as store:\n"
                "    install(store, Path(sys.argv[2]), InstallOptions(link=False))\n"  # nobody may not import, maybe
                "os.setgid(65534); os.setuid(65534)\n"
                "with Store.open(Settings(home=Path(sys.argv[1]))) as store:\n"
                "    report = install(store, Path(sys.argv[2]))\n"
                "    assert store.verify().ok\n"
                "    print(report.entries, report.linked)\n"
            )
            done = subprocess.run(
                [sys.executable, "-c", script, place / f"home-{name}", place / name],
                capture_output=True, text=True, cwd="/", env={**os.environ, "HOME": folder}, check=False,
            )  # fmt: skip
            assert done.stdout.split() == ["12", "0"], done.stderr  # files of somebody else are not shared


# Closures


def test_a_closure_is_what_is_needed_and_no_more(store: Store) -> None:
    fill(store, count=6)
    put(store, "stranger", {"a": b"1"}, dataset="other")
    put(store, "table", {"t": b"2"}, kind="table", dataset="other")
    put(store, "run", {}, kind="run", meta={"deep": [{"table": key("table")}]}, inputs=(key("gone"),), dataset="other")
    whole = closure(store, [("run", key("run"))])
    assert [(entry.kind, entry.key) for entry in whole.entries] == [("run", key("run")), ("table", key("table"))]
    chain = closure(store, [("delta", key("e3"))])
    assert {entry.key for entry in chain.entries} == {key(f"e{number}") for number in range(4)}
    assert [each.name for each in chain.names] == ["hub/some/first"]
    assert list(chain.objects) == sorted(chain.objects)


def test_a_snapshot_brings_the_entries_of_its_files_and_what_was_not_there(store: Store) -> None:
    files = (SnapshotFile("a.txt", 3, "sha256:" + "1" * 64), SnapshotFile("b.txt", 3, "sha256:" + "2" * 64))
    snapshot = Snapshot("hf", "dataset", "ns/name", "0" * 40, files)
    dataset = snapshot.dataset
    store.commit(Entry("file", files[0].key), {"content": b"abc"})
    store.commit(Entry("file", key("stranger")), {"content": b"xyz"})
    store.commit(Entry("absent", key("gone"), dataset=dataset))
    store.commit(Entry("absent", key("elsewhere"), dataset="hf://datasets/ns/other"))
    contents = {"manifest": snapshot.manifest(), "file:a.txt": b"abc"}
    store.commit(Entry("snapshot", snapshot.key, dataset=dataset), contents)
    store.names.set("hub/hf/dataset/ns/name/main", "snapshot", snapshot.key)
    whole = closure(store, find_roots(store, ["hub/hf/dataset/ns/name"]))
    assert [(each.kind, each.key) for each in whole.entries] == [
        ("absent", key("gone")), ("file", files[0].key), ("snapshot", snapshot.key),
    ]  # fmt: skip


def test_what_a_user_may_call_an_entry(store: Store) -> None:
    fill(store, count=3)
    last = ("delta", key("e2"))
    digits = key("e2")[:12]
    for text in ("runs/last", "runs", "runs/", digits, f"delta:{digits}", key("e2")):
        assert find_roots(store, [text]) == [last], text
    assert len(find_roots(store, ["demo", "runs/last"])) == 3
    for text in ("nothing", "run:" + digits, "0" * 64, "../x", ""):
        with pytest.raises(NotFoundError, match="no entry"):
            find_roots(store, [text])


def test_a_closure_with_a_hole_is_no_closure(tmp_path: Path, store: Store) -> None:
    fill(store, count=3)
    with pytest.raises(NotFoundError, match="no entry"):
        closure(store, [("delta", key("nothing"))])
    found = store.get("delta", key("e1"))
    assert found is not None
    gone = found.objects[0].digest
    (store.home / "objects-v1" / gone[:2] / gone[2:]).unlink()
    with pytest.raises(NotFoundError, match="1 objects are not in"):
        closure(store, [("delta", key("e2"))])


def test_a_bundle_is_not_written_over(tmp_path: Path, store: Store) -> None:
    fill_small(store)
    bundle(store, tmp_path / "b.tar")
    with pytest.raises(InputError, match="is there already"):
        bundle(store, tmp_path / "b.tar")
    whole = closure(store, find_roots(store, ["demo"]))
    assert create(store, whole, tmp_path / "b.tar", CreateOptions(replace=True)).paths == (tmp_path / "b.tar",)


def test_a_table_of_many_shards(tmp_path: Path, store: Store, other: Store) -> None:
    rows = pa.table({"text": [noise(str(number), 500).hex() for number in range(300)]})
    shards, _ = enter(store, [rows], "demo", 20_000)
    assert len(shards) > 2
    bundle(store, tmp_path / "b.tar")
    assert verify(tmp_path / "b.tar").ok
    install(other, tmp_path / "b.tar")
    for shard in shards:
        assert bytes(other.read(shard.base.digest)) == bytes(store.read(shard.base.digest))
