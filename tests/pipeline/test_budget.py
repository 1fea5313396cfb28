"""A budget that is smaller than what a run makes: it spares what it needs, and does the rest without the store."""

from __future__ import annotations

from pathlib import Path

import pytest
from pipeline_support import Bench

from forebay.errors import StoreFullError
from forebay.io import LocalFilesystem
from forebay.io.filesystem import DiskSpace
from forebay.pipeline.workers.keeping import Keeper
from forebay.types import Entry, Key


@pytest.fixture
def wanted(bench: Bench) -> bytes:
    path = bench.folder / "wanted.jsonl"
    bench.run(bench.make(export_path=str(path)), use_cache=False)
    return path.read_bytes()


def holds(bench: Bench) -> list[Path]:
    return [path for path in (bench.folder / "store" / "holds-v1").rglob("*.json") if path.is_file()]


def shrink_disk(bench: Bench, capacity: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on the disk seems to have room for so many bytes of objects and entries."""
    bench.settings["min_free_bytes"] = 0

    def space(*_: object) -> DiskSpace:
        folders = [bench.folder / "store" / name for name in ("objects-v1", "entries-v1", "quarantine", "tmp")]
        return DiskSpace(capacity, capacity - sum(size_of(path) for folder in folders for path in folder.rglob("*")))

    monkeypatch.setattr(LocalFilesystem, "space", space)


def size_of(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except FileNotFoundError:  # a temporary
        return 0


@pytest.mark.parametrize("scarce", ["budget", "disk"])
@pytest.mark.parametrize("processes", [1, 2])
def test_a_run_does_not_evict_what_it_needs(
    bench: Bench, wanted: bytes, processes: int, scarce: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.run()
    with bench.open() as store:
        needed = store.bytes_at_rest()
    bench.folder = bench.folder / "again"
    bench.folder.mkdir()
    bench.write()
    if scarce == "budget":
        bench.settings["max_bytes"] = needed // 2
    else:
        shrink_disk(bench, needed // 2, monkeypatch)
    first = bench.run(processes=processes)
    assert [text.partition(":")[0] for text in bench.told()] == ["results are not cached any more"]
    assert (first.computed, first.read.shards_computed) == (5 * first.shards, first.shards)  # each once
    assert bench.out.read_bytes() == wanted
    assert not holds(bench)
    bench.out.unlink()
    again = bench.run(processes=processes)
    assert again.read.shards_reused + sum(one.shards_reused for one in again.operators) > 0
    assert not [text for text in bench.told() if "computed again" in text]
    assert bench.out.read_bytes() == wanted


def test_what_others_left_goes_first(bench: Bench, wanted: bytes) -> None:
    bench.run()
    with bench.open() as store:
        needed = store.bytes_at_rest()
    for row in bench.rows:
        row["text"] = f"{row['id']} {row['text']}"
    bench.write()
    bench.settings["max_bytes"] = needed * 3 // 2
    report = bench.run(processes=2)
    assert bench.told() == []
    assert report.run_key is not None
    assert bench.run().no_op


def test_holds_are_few_and_only_near_the_budget(bench: Bench) -> None:
    bench.settings["max_bytes"] = 400_000
    with bench.open() as store:
        keeper = Keeper(store)

        def entry(number: int, size: int) -> tuple[str, Key]:
            made = Entry("delta", Key(f"{number:064x}"))
            store.commit(made, {"data": number.to_bytes(8, "little") + bytes(size)})
            return made.kind, made.key

        keeper.keep([entry(0, 100)])
        assert not holds(bench)
        keeper.keep([entry(1, 250_000)])
        assert len(holds(bench)) == 1
        for number in range(2, 100):
            keeper.keep([entry(number, 100)])
        assert len(holds(bench)) < 20
        with pytest.raises(StoreFullError):
            entry(100, 200_000)
        assert store.get("delta", Key(f"{0:064x}")) is not None
        keeper.close()
        assert not holds(bench)
