"""What goes wrong on the way: kills, Ctrl-C, two runs at once, a store that is full, read-only or damaged."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, cast

import pytest
from pipeline_support import Bench, counts

from forebay.config import Settings
from forebay.errors import BuildError, SourceError, StoreError
from forebay.events import What
from forebay.pipeline import RunReport
from forebay.pipeline.runs import exporting
from forebay.pipeline.workers.space import Parcel, Scratch, Space
from forebay.store import Store
from forebay.types import Entry, Key

SLOW = """
import os, time
from pathlib import Path

def note(folder, row):
    with open(Path(folder) / "calls", "a") as file:
        file.write(f"{os.getpid()} {row['id']}\\n")

def slow(row, folder, seconds=0.002):
    note(folder, row)
    time.sleep(seconds)
    while row["id"] >= 285 and (Path(folder) / "hold").exists():
        time.sleep(0.01)
    row["slow"] = row["id"] * 2
    return row

def held(row, folder):
    while (Path(folder) / "hold-all").exists():
        time.sleep(0.01)
    return row

def broken(row, folder):
    assert row["id"] != 150 or (Path(folder) / "mended").exists()
    return row

def deadly(row, folder, times):
    if row["id"] == 150:
        for number in range(times):
            mark = Path(folder) / f"died-{number}"
            if not mark.exists():
                mark.touch()
                os.kill(os.getpid(), 9)
    return row
"""

RUNNER = """
import json, signal, sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in a shell's background
sys.path.insert(0, {tests!r})
from pipeline_support import Bench
values = json.loads(sys.argv[1])
bench = Bench(Path(values["folder"]), [], steps=values["steps"], recipe=values["recipe"])
try:
    report = bench.run(processes=values["processes"])
except KeyboardInterrupt as stop:
    print(json.dumps({{"interrupted": [str(stop)]}}))
else:
    print(json.dumps(report.to_json()))
"""


KILLED_WHILE_EXPORTING = """
import os
from forebay.table.unfinished import Journal
note, written = Journal.note, []
def note_or_die(self, size, digest):
    note(self, size, digest)
    written.append(size)
    if len(written) == 4:
        os.kill(os.getpid(), 9)
Journal.note = note_or_die
"""


@pytest.fixture
def slow(bench: Bench) -> Bench:
    (bench.folder / "ops.py").write_text(SLOW)
    params = {"folder": str(bench.folder)}
    bench.steps = [
        "whitespace_normalization_mapper",
        {"mapper": {"function": "ops.py:slow", "params": params, "version": "1"}},
        "document_deduplicator",
        {"words_num_filter": {"min_num": 3}},
    ]
    return bench


def start(bench: Bench, processes: int = 2, before: str = "", **recipe: Any) -> subprocess.Popen[str]:
    """Run in a process of its own, which does `before` first."""
    import json

    values = {
        "folder": str(bench.folder),
        "steps": bench.steps,
        "recipe": {**bench.recipe, **recipe},
        "processes": processes,
    }
    code = RUNNER.format(tests=str(Path(__file__).parent))
    return subprocess.Popen(
        [sys.executable, "-c", before + code, json.dumps(values)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def result(process: subprocess.Popen[str]) -> dict[str, Any]:
    import json

    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return json.loads(out)


def calls(bench: Bench) -> list[int]:
    try:
        return [int(line.split()[1]) for line in (bench.folder / "calls").read_text().splitlines()]
    except FileNotFoundError:
        return []


def hold(bench: Bench) -> Path:
    """Let the last fifteen documents wait until this file is gone: a run cannot be done before it is stopped."""
    mark = bench.folder / "hold"
    mark.touch()
    return mark


def published(bench: Bench) -> list[int]:
    """How many rows each shard has whose result of the slow operator is in the store."""
    with bench.open() as store:
        entries = [store.get(info.kind, info.key) for info in store.entries("delta")]
    return [cast("int", entry.meta["rows_in"]) for entry in entries if entry and entry.parts.get("name") == "slow"]


def wait_for_calls(bench: Bench, count: int, process: subprocess.Popen[str], shards: int = 0) -> None:
    """Wait for calls of the slow operator, and for shards of it that are durable, however slow the disk."""
    deadline = time.monotonic() + 300
    while process.poll() is None and time.monotonic() < deadline:
        if len(calls(bench)) >= count and (not shards or len(published(bench)) >= shards):
            return
        time.sleep(0.005)
    assert process.poll() is None, process.communicate()
    raise AssertionError(f"after five minutes {len(calls(bench))} calls, {len(published(bench))} shards kept")


def expected(bench: Bench, tmp: Path) -> bytes:
    """What an undisturbed run without a cache exports."""
    out = tmp / "expected.jsonl"
    bench.run(bench.make(export_path=str(out)), use_cache=False)
    (bench.folder / "calls").unlink(missing_ok=True)
    return out.read_bytes()


class TestKills:
    def test_killed_at_ninety_percent_the_rerun_does_the_rest(self, slow: Bench, tmp_path: Path) -> None:
        slow.recipe["shard_bytes"] = 1000
        wanted, held = expected(slow, tmp_path), hold(slow)
        process = start(slow)
        wait_for_calls(slow, 270, process, shards=20)  # of 36; no more than 3 of each worker wait for the disk
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        held.unlink()
        done, kept = len(calls(slow)), published(slow)
        report = slow.run(processes=2)
        assert counts(report)["slow"][1] >= len(kept)
        assert len(calls(slow)) - done <= 300 - sum(kept) + 2 * 16, "the rest, and the determinism check's samples"
        assert slow.out.read_bytes() == wanted
        assert slow.run().no_op

    def test_killed_within_a_shard_its_costly_results_are_kept(self, slow: Bench, tmp_path: Path) -> None:
        """Both workers have done the slow operator for one shard, and neither is through with it."""
        slow.steps.insert(2, {"mapper": {"function": "ops.py:held", "params": {"folder": str(tmp_path)}}})
        wanted, mark = expected(slow, tmp_path), slow.folder / "hold-all"
        mark.touch()
        process = start(slow)
        wait_for_calls(slow, 0, process, shards=2)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        mark.unlink()
        done, kept = set(calls(slow)), sum(published(slow))
        (slow.folder / "calls").unlink()
        report = slow.run(processes=2)
        assert counts(report)["slow"] == (report.shards - 2, 2)
        assert len(done) == kept
        assert not done & set(calls(slow))
        assert slow.out.read_bytes() == wanted

    @pytest.mark.parametrize("processes", [1, 2])
    def test_an_operator_that_fails_takes_no_result_before_it_with_it(
        self, slow: Bench, tmp_path: Path, processes: int
    ) -> None:
        params = {"folder": str(tmp_path)}
        slow.steps.insert(2, {"mapper": {"function": "ops.py:broken", "params": params, "version": "1"}})
        with pytest.raises(BuildError, match=r"broken raised AssertionError at corpus.jsonl line 151"):
            slow.run(processes=processes)
        done, kept = set(calls(slow)), sum(published(slow))
        assert 150 in done
        assert len(done) == kept
        (slow.folder / "calls").unlink()
        (slow.folder / "mended").touch()
        slow.run(processes=processes)
        assert not done & set(calls(slow))

    @pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.zst"])
    def test_killed_while_it_exports_no_part_is_rendered_twice(self, bench: Bench, name: str) -> None:
        export = str(bench.folder / name)
        bench.rows[1]["x"] = float("nan")  # in the first part, which is not rendered again
        bench.write()
        process = start(bench, before=KILLED_WHILE_EXPORTING, export_path=export)
        process.communicate(timeout=120)
        assert process.returncode == -signal.SIGKILL
        assert len(list(bench.folder.glob(".out*"))) == 2
        report = bench.run(bench.make(export_path=export), processes=2)
        assert not any(computed for computed, _ in counts(report).values())
        assert report.export is not None
        assert report.export.parts_reused == 4
        assert bench.told() == [f"1 numbers that JSON has no word for (NaN, infinities) are null in {name}"]
        written = Path(export).read_bytes()
        assert list(bench.folder.glob(".out*")) == []
        bench.run(bench.make(export_path=export), use_cache=False)
        assert Path(export).read_bytes() == written

    def test_a_killed_worker_costs_a_warning(self, slow: Bench, tmp_path: Path) -> None:
        wanted = expected(slow, tmp_path)
        slow.steps.insert(
            1,
            {"mapper": {"function": "ops.py:deadly", "params": {"folder": str(tmp_path), "times": 1}, "version": "1"}},
        )
        report = slow.run(processes=2)
        (told,) = slow.told()
        assert "a worker was lost (killed by signal 9; out of memory?) at operator 2 deadly on shard" in told
        assert slow.out.read_bytes() == wanted
        assert report.run_key is not None

    def test_a_shard_that_kills_every_worker_is_an_error(self, slow: Bench, tmp_path: Path) -> None:
        slow.steps.insert(
            1,
            {"mapper": {"function": "ops.py:deadly", "params": {"folder": str(tmp_path), "times": 9}, "version": "1"}},
        )
        with pytest.raises(
            BuildError, match=r"two workers were lost .*operator 2 deadly on shard \d+ \(corpus.jsonl from line"
        ):
            slow.run(processes=2)

    @pytest.mark.parametrize("processes", [1, 2])
    def test_ctrl_c_stops_keeps_what_is_done_and_says_how_to_go_on(
        self, slow: Bench, tmp_path: Path, processes: int
    ) -> None:
        slow.recipe["shard_bytes"] = 2000
        wanted, held = expected(slow, tmp_path), hold(slow)
        process = start(slow, processes)
        wait_for_calls(slow, 150, process, shards=2)
        os.killpg(process.pid, signal.SIGINT)
        (told,) = result(process)["interrupted"]
        held.unlink()
        assert told.startswith("stopped; ")
        assert told.endswith("what is done is kept: the same command goes on from there")
        done, kept = len(calls(slow)), published(slow)
        report = slow.run(processes=2)
        assert counts(report)["slow"][1] >= 2
        assert len(calls(slow)) - done <= 300 - sum(kept) + 2 * 16
        assert slow.out.read_bytes() == wanted


class TestTwoRunsAtOnce:
    def test_share_the_work(self, slow: Bench, tmp_path: Path) -> None:
        wanted = expected(slow, tmp_path)
        other = tmp_path / "other.jsonl"
        first = start(slow, 1)
        second = start(slow, 1, export_path=str(other))
        reports = [result(first), result(second)]
        assert slow.out.read_bytes() == other.read_bytes() == wanted
        checks = 16 * 2  # each run looks twice at a sample of its first shard
        assert len(calls(slow)) <= 300 + checks
        slow_computed = [report["operators"][1]["shards_computed"] for report in reports]
        assert sum(slow_computed) == reports[0]["shards"]


class TestStoreInTrouble:
    def test_too_small_a_budget_costs_a_warning(self, bench: Bench) -> None:
        bench.run(bench.make(export_path=str(bench.folder / "wanted.jsonl")), use_cache=False)
        bench.settings["max_bytes"] = 60_000
        for processes in (1, 2):
            report = bench.run(processes=processes)
            assert bench.out.read_bytes() == (bench.folder / "wanted.jsonl").read_bytes()
            assert report.rows_in == 300
            bench.out.unlink()

    def test_no_room_at_all_costs_one_warning(self, bench: Bench) -> None:
        bench.run(bench.make(export_path=str(bench.folder / "wanted.jsonl")), use_cache=False)
        bench.settings["max_bytes"] = 1
        for processes in (1, 2):
            report = bench.run(processes=processes)
            assert bench.out.read_bytes() == (bench.folder / "wanted.jsonl").read_bytes()
            assert report.run_key is None
            (told,) = bench.told()
            assert told.startswith("results are not cached any more: ")
            bench.out.unlink()

    def test_a_read_only_store_serves_what_it_has(self, bench: Bench) -> None:
        bench.run()
        wanted = bench.out.read_bytes()
        bench.settings["read_only"] = True
        assert bench.run().no_op
        assert bench.told() == []
        bench.steps[-1] = {"words_num_filter": {"min_num": 8}}
        report = bench.run(processes=2)
        assert counts(report)["words_num_filter"] == (report.shards, 0)
        assert counts(report)["document_deduplicator"] == (0, report.shards)
        assert bench.told() == ["the store is read-only: what must be computed is not kept"]
        assert bench.out.read_bytes() != wanted

    @pytest.mark.parametrize("processes", [1, 2])
    def test_damaged_objects_heal(self, bench: Bench, processes: int) -> None:
        bench.run()
        wanted = bench.out.read_bytes()
        objects = sorted((bench.folder / "store" / "objects-v1").rglob("*"), key=lambda path: path.name)
        for path in [path for path in objects if path.is_file()][::3]:
            path.chmod(0o600)
            data = bytearray(path.read_bytes())
            data[len(data) // 2] ^= 1
            path.write_bytes(data)
        bench.steps[-1] = {"words_num_filter": {"min_num": 8}}
        bench.run(processes=processes)
        assert any("computed again" in text for text in bench.told())
        bench.steps[-1] = {"words_num_filter": {"min_num": 4}}
        bench.run(processes=processes)
        assert bench.out.read_bytes() == wanted

    def test_evicted_objects_are_made_again(self, bench: Bench) -> None:
        bench.run()
        wanted = bench.out.read_bytes()
        bench.out.unlink()
        objects = [path for path in (bench.folder / "store" / "objects-v1").rglob("*") if path.is_file()]
        for path in objects[::2]:
            path.unlink()
        bench.run()
        assert bench.out.read_bytes() == wanted

    def test_an_export_that_was_given_up_shares_no_file_with_the_next(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Workers may still be rendering for the first when the second begins."""
        parts: list[str] = []
        task = exporting._Parts._task

        def noted(self: exporting._Parts, number: int) -> Any:
            made = task(self, number)
            parts.append(cast("str", made.message["part"]))
            return made

        bench.run()
        with bench.open() as store:
            shards = [store.get("shard", info.key) for info in store.entries("shard")]
        bases = [ref.digest for entry in shards if entry is not None for ref in entry.objects]
        for digest in bases:
            path = bench.folder / "store" / "objects-v1" / digest[:2] / digest[2:]
            path.chmod(0o600)
            path.write_bytes(bytes(path.stat().st_size))
        monkeypatch.setattr(exporting._Parts, "_task", noted)
        report = bench.run(bench.make(export_path=str(bench.folder / "other.jsonl.gz")), processes=2)
        assert len(parts) > report.shards  # it did begin anew
        assert len(set(parts)) == len(parts)
        assert gzip.decompress((bench.folder / "other.jsonl.gz").read_bytes()) == bench.out.read_bytes()

    def test_what_the_table_names_and_is_not_whole_is_made_again(self, bench: Bench) -> None:
        bench.run()
        with bench.open() as store:
            shards = [store.get("shard", info.key) for info in store.entries("shard")]
        base = next(entry.objects[0].digest for entry in shards if entry is not None)
        path = bench.folder / "store" / "objects-v1" / base[:2] / base[2:]
        path.chmod(0o600)
        os.truncate(path, path.stat().st_size // 2)
        other = bench.make(export_path=str(bench.folder / "other.jsonl.gz"))
        bench.run(other, processes=2)
        assert any("computed again" in text for text in bench.told())
        assert not any("not remembered" in text for text in bench.told())
        assert gzip.decompress((bench.folder / "other.jsonl.gz").read_bytes()) == bench.out.read_bytes()
        again = bench.run(other)
        assert (again.computed, again.run_key is not None, bench.told()) == (0, True, [])

    def test_a_store_that_fails_a_worker_costs_a_warning_and_nothing_else(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The parent's own works: it must not take what lies in the scratch folder for lost, and make it again."""
        parent, commit = os.getpid(), Space._commit

        def failing(self: Space, store: Store, parcel: Parcel) -> None:
            if os.getpid() != parent and any(entry.kind == "delta" for entry in parcel.entries):
                raise StoreError("the disk is on fire")
            commit(self, store, parcel)

        monkeypatch.setattr(Space, "_commit", failing)
        report = bench.run(processes=2)
        assert bench.told() == ["results are not cached any more: the disk is on fire"]
        assert report.computed == 5 * report.shards
        assert len(bench.exported()) == report.rows_out

    def test_every_object_gone(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        import shutil

        monkeypatch.setattr("forebay.table.layers.INLINE_BYTES", -1)
        bench.run()
        wanted = bench.out.read_bytes()
        bench.out.unlink()
        shutil.rmtree(bench.folder / "store" / "objects-v1")
        report: RunReport = bench.run()
        assert report.computed == 5 * report.shards
        assert bench.out.read_bytes() == wanted

    def test_a_source_that_is_damaged_stays_an_error(self, bench: Bench) -> None:
        bench.corpus.write_text('{"text": "a"}\n{"text": \n')
        with pytest.raises(SourceError, match=r"corpus.jsonl:2"):
            bench.run()
        bench.recipe["on_bad_rows"] = "skip"
        report = bench.run()
        assert report.bad_rows == 1
        assert "1 malformed row set aside" in bench.told()[0]

    def test_types_that_do_not_fit_name_both_places_or_are_set_aside(self, bench: Bench) -> None:
        bench.rows[280]["id"] = "two hundred"  # type: ignore[assignment]
        bench.write()
        with pytest.raises(
            SourceError, match=r"column 'id' is int64 in .*corpus.jsonl:1 but .*corpus.jsonl:281|corpus.jsonl:\d+"
        ):
            bench.run()
        bench.recipe["on_bad_rows"] = "skip"
        report = bench.run()
        assert (report.bad_rows, report.rows_in) == (1, 299)

    @pytest.mark.parametrize("processes", [1, 2])
    @pytest.mark.parametrize("suffix", ["jsonl.gz", "json"])
    def test_such_rows_are_set_aside_in_files_read_in_one_pass_too(
        self, bench: Bench, suffix: str, processes: int
    ) -> None:
        bench.rows[2]["n"] = 2**53 + 1
        bench.rows[240]["n"] = 1.5
        bench.rows[3]["code"], bench.rows[280]["code"] = 7, "seven"
        path = bench.folder / f"packed.{suffix}"
        lines = [json.dumps(row) for row in bench.rows]
        data = "[" + ",\n".join(lines) + "]" if suffix == "json" else "\n".join(lines)
        path.write_bytes(data.encode() if suffix == "json" else gzip.compress(data.encode()))
        bench.steps = ["whitespace_normalization_mapper"]
        wanted = {"dataset_path": str(path)}
        with pytest.raises(SourceError, match=r"'code' is int64 .*make them one type, or set on_bad_rows: skip"):
            bench.run(bench.make(**wanted), processes=processes)
        recipe = bench.make(on_bad_rows="skip", **wanted)
        report = bench.run(recipe, processes=processes)
        assert (report.bad_rows, report.rows_in) == (2, 298)
        assert {row["id"] for row in bench.exported()} == set(range(300)) - {2, 280}
        assert bench.run(recipe).no_op
        bench.out.unlink()
        assert bench.run(recipe).computed == 0

    @pytest.mark.parametrize("on_bad_rows", ["error", "skip"])
    @pytest.mark.parametrize("suffix", ["parquet", "csv"])
    def test_types_of_whole_files_that_do_not_fit_are_not_said_to_be_skipped(
        self, bench: Bench, suffix: str, on_bad_rows: str
    ) -> None:
        import pyarrow as pa
        import pyarrow.csv
        import pyarrow.parquet

        folder = bench.folder / "typed"
        folder.mkdir()
        for name, ids in (("a", [1, 2]), ("b", ["one", "two"])):
            table = pa.table({"text": ["x", "y"], "id": ids})
            if suffix == "csv":
                pyarrow.csv.write_csv(table, folder / f"{name}.csv")
            else:
                pyarrow.parquet.write_table(table, folder / f"{name}.parquet")
        told = (
            rf"'id' is int64 in .*a\.{suffix} but string in .*b\.{suffix}; make them one type; "
            "on_bad_rows: skip sets rows of JSON files aside, and here the type is the whole file's"
        )
        with pytest.raises(SourceError, match=told):
            bench.run(bench.make(dataset_path=str(folder), on_bad_rows=on_bad_rows))

    def test_nothing_is_left_in_the_scratch_folder(
        self, bench: Bench, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import gc
        import tempfile

        folder = tmp_path_factory.mktemp("scratch")
        monkeypatch.setattr(tempfile, "tempdir", str(folder))
        bench.run(processes=2)
        bench.out.unlink()
        bench.run(use_cache=False)
        gc.collect()
        assert list(folder.iterdir()) == []


class TestDrift:
    def test_columns_that_only_some_shards_have_are_null_elsewhere(self, bench: Bench) -> None:
        for row in bench.rows[200:]:
            row["late"] = row["id"] / 4
            row["meta"]["deep"] = "x"
        for row in bench.rows[:100]:
            row["early"] = [row["id"]]
        bench.write()
        (bench.folder / "ops.py").write_text("def show(row):\n    row['keys'] = sorted(row)\n    return row\n")
        bench.steps = [{"mapper": {"function": "ops.py:show"}}]
        first = bench.run()
        rows = bench.exported()
        assert {tuple(row["keys"]) for row in rows} == {("early", "id", "late", "meta", "text")}
        assert rows[0] == {
            **bench.rows[0],
            "meta": {**bench.rows[0]["meta"], "deep": None},
            "late": None,
            "keys": rows[0]["keys"],
        }
        one_shard = bench.folder / "one.jsonl"
        bench.run(bench.make(shard_bytes=10**7, export_path=str(one_shard)))
        assert [set(row) for row in bench.exported()] == [set(row) for row in rows]
        import json

        assert [json.loads(line) for line in one_shard.read_text().splitlines()] == rows
        again = bench.run(refresh=False)
        assert again.no_op
        bench.rows[3]["text"] += " more"
        bench.write()
        edited = bench.run(processes=2)
        assert edited.operators[0].shards_computed <= 2
        assert edited.shards == first.shards


def test_events_tell_of_waiting(slow: Bench) -> None:
    first = start(slow, 1)
    wait_for_calls(slow, 20, first)
    slow.recipe["shard_bytes"] = slow.recipe.get("shard_bytes", 4000)
    slow.run(slow.make(export_path=None))
    result(first)
    assert not [event for event in slow.events if event.what is What.WARNING]


def test_store_errors_outside_of_a_run_are_raised(bench: Bench) -> None:
    (bench.folder / "store").write_text("not a folder")
    with pytest.raises(StoreError):
        bench.run()


def test_what_does_not_fit_together_is_kept_one_by_one(tmp_path: Path) -> None:
    parcels: list[Parcel] = []
    for number in range(3):
        parcel = Parcel()
        ref = parcel.put("base", os.urandom(40_000))
        parcel.put("loose", bytes([number]) * 100, keep=False)
        parcel.entries.append(Entry("delta", Key(f"{number:064x}"), (ref,)))
        parcels.append(parcel)
    loose = [digest for parcel in parcels for digest in parcel.loose]
    with Store.open(Settings(home=tmp_path / "s", max_bytes=100_000)) as store:
        space = Space(store, Scratch())
        space.publish_all(parcels)
        assert "no room for 40.0 kB" in space.broken  # what it has published is not evicted for more
        kept = [store.get(parcel.entries[0].kind, parcel.entries[0].key) is not None for parcel in parcels]
        assert kept == [True, True, False]
        assert [len(space.read(digest)) for parcel in parcels for digest in parcel.kept] == [40_000] * 3
        assert [len(space.read(digest)) for digest in loose] == [100] * 3
        space.keeper.close()
