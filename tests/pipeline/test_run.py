"""Runs from recipe to export: what is computed again after each kind of change, and that bytes never depend on how."""

from __future__ import annotations

import os
from typing import Any

import pytest
from pipeline_support import Bench, counts, document

from forebay.errors import CacheRequiredError, ConfigError, RecipeError, SourceError
from forebay.events import What

OPERATORS = [
    "whitespace_normalization_mapper", "clean_links_mapper", "text_length_filter", "document_deduplicator",
    "words_num_filter",
]  # fmt: skip


class TestWhatIsComputed:
    def test_cold_all_warm_nothing(self, bench: Bench) -> None:
        cold = bench.run()
        assert cold.shards >= 6
        assert counts(cold) == dict.fromkeys(["read", *OPERATORS], (cold.shards, 0))
        assert cold.rows_in == 300
        assert cold.rows_out == len(bench.exported()) < 300
        assert cold.export is not None
        assert cold.export.written
        warm = bench.run()
        assert warm.no_op
        assert counts(warm) == dict.fromkeys(["read", *OPERATORS], (0, cold.shards))
        assert (warm.rows_in, warm.rows_out) == (cold.rows_in, cold.rows_out)
        assert warm.export is not None
        assert not warm.export.written

    def test_the_result_is_what_the_operators_say(self, bench: Bench) -> None:
        bench.run()
        expected: list[dict[str, Any]] = []
        seen: set[str] = set()
        for row in bench.rows:
            text = " ".join(word for word in row["text"].split(" "))
            text = text.strip().replace("http://x.org/a", "")
            if len(text) < 30 or text in seen:
                continue
            seen.add(text)
            if len(text.split()) >= 4:
                expected.append({**row, "text": text})
        assert bench.exported() == expected

    def test_one_document_edited(self, bench: Bench) -> None:
        cold = bench.run()
        bench.rows[150]["text"] = "the edited document, long enough to stay, with its very own words"
        bench.write()
        edited = bench.run()
        for operator in (edited.read, *edited.operators):
            assert 1 <= operator.shards_computed <= 2, operator
            assert operator.shards_computed + operator.shards_reused == edited.shards
        assert abs(edited.shards - cold.shards) <= 1
        assert edited.export is not None
        assert edited.export.parts_reused >= edited.shards - 2
        assert any(row["text"].startswith("the edited document") for row in bench.exported())

    def test_appended_documents(self, bench: Bench) -> None:
        bench.run()
        bench.rows += [document(number, seed=5) for number in range(300, 310)]
        bench.write()
        report = bench.run()
        assert all(operator.shards_computed <= 2 for operator in report.operators)
        assert report.rows_in == 310

    def test_the_last_operator_changed(self, bench: Bench) -> None:
        cold = bench.run()
        bench.steps[-1] = {"words_num_filter": {"min_num": 8}}
        report = bench.run()
        assert counts(report) == {
            **dict.fromkeys(["read", *OPERATORS[:-1]], (0, cold.shards)), "words_num_filter": (cold.shards, 0),
        }  # fmt: skip
        assert report.operators[-1].reason == "min_num: 4 -> 8"
        assert report.export is not None
        assert report.export.written

    def test_a_change_without_effect_costs_nothing_after_it(self, bench: Bench) -> None:
        cold = bench.run()
        bench.steps[2] = {"text_length_filter": {"min_len": 30, "max_len": 10**6}}
        report = bench.run()
        assert counts(report) == {
            "read": (0, cold.shards),
            **{name: (cold.shards, 0) if name == "text_length_filter" else (0, cold.shards) for name in OPERATORS},
        }
        assert report.export is not None
        assert not report.export.written

    def test_an_operator_added_in_front_that_changes_few_rows(self, bench: Bench) -> None:
        bench.rows[10]["text"] += " someone©example"
        bench.write()
        cold = bench.run()
        bench.steps.insert(0, {"text_length_filter": {"min_len": 0}})
        report = bench.run()
        assert report.operators[0].shards_computed == cold.shards
        assert all(operator.shards_computed == 0 for operator in report.operators[1:])

    def test_touched_or_copied_files_are_known_by_content(self, bench: Bench) -> None:
        bench.run()
        bench.corpus.touch()
        assert bench.run().no_op
        copy = bench.folder / "elsewhere.jsonl"
        copy.write_bytes(bench.corpus.read_bytes())
        assert bench.run(bench.make(dataset_path=str(copy))).no_op

    def test_same_size_and_mtime_but_other_content(self, bench: Bench) -> None:
        import os

        bench.run()
        stat = bench.corpus.stat()
        data = bench.corpus.read_bytes().replace(b"river", b"brook")
        bench.corpus.write_bytes(data)
        os.utime(bench.corpus, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        assert bench.corpus.stat().st_size == stat.st_size
        report = bench.run()
        assert not report.no_op
        assert "river" not in bench.out.read_text()

    def test_going_back_is_known(self, bench: Bench) -> None:
        bench.run()
        bench.steps[-1] = {"words_num_filter": {"min_num": 8}}
        bench.run()
        bench.steps[-1] = {"words_num_filter": {"min_num": 4}}
        report = bench.run()
        assert all(operator.shards_computed == 0 for operator in report.operators)
        assert report.export is not None
        assert report.export.written

    def test_refresh_computes_all_again(self, bench: Bench) -> None:
        cold = bench.run()
        before = bench.out.read_bytes()
        report = bench.run(refresh=True)
        assert counts(report) == dict.fromkeys(["read", *OPERATORS], (cold.shards, 0))
        assert bench.out.read_bytes() == before
        assert bench.run().no_op


class TestTheExport:
    def test_removed_it_is_written_again_without_computing(self, bench: Bench) -> None:
        bench.run()
        data = bench.out.read_bytes()
        bench.out.unlink()
        report = bench.run()
        assert report.computed == 0
        assert report.export is not None
        assert report.export.written
        assert bench.out.read_bytes() == data

    def test_overwritten_by_someone_it_is_mended(self, bench: Bench) -> None:
        bench.run()
        data = bench.out.read_bytes()
        bench.out.write_bytes(b"x" * len(data))
        bench.run()
        assert bench.out.read_bytes() == data

    def test_names_that_are_no_utf8(self, bench: Bench) -> None:
        """A source's name is bytes to the system; what is kept and told of it shows them as `?`."""
        folder = bench.folder / os.fsdecode(b"d\xe9")
        folder.mkdir()
        source = folder / os.fsdecode(b"\xff.jsonl")
        bench.corpus.rename(source)
        recipe = bench.make(dataset_path=str(folder))
        bench.run(recipe)
        assert bench.run(recipe).no_op
        source.write_bytes(source.read_bytes()[1000:].partition(b"\n")[2])
        assert "d?/?.jsonl from line 1" in bench.run(recipe).operators[0].reason
        assert bench.run(recipe).no_op
        assert bench.told() == []
        source.write_bytes(b'{"text": \n')
        with pytest.raises(SourceError, match="jsonl:1: not JSON"):
            bench.run(recipe, processes=2)

    def test_a_file_of_the_dataset_is_not_written_over(self, bench: Bench) -> None:
        before = bench.corpus.read_bytes()
        (bench.folder / "link.jsonl").symlink_to(bench.corpus)
        for name in ("corpus.jsonl", "link.jsonl"):
            with pytest.raises(RecipeError, match=r"is a file of the dataset; name another export_path"):
                bench.run(bench.make(export_path=str(bench.folder / name)))
        assert bench.corpus.read_bytes() == before

    def test_a_place_that_cannot_be_is_told_before_anything_is_computed(self, bench: Bench) -> None:
        (bench.folder / "loop.jsonl").symlink_to("loop.jsonl")
        for name, reason in [
            ("loop.jsonl", "Too many levels of symbolic links"),
            ("corpus.jsonl/out.jsonl", "Not a directory"),
            ("x" * 300 + ".jsonl", "File name too long"),
            ("a\0.jsonl", ".*embedded null (byte|character).*"),
        ]:
            with pytest.raises(RecipeError, match=f"cannot write .*: {reason}; name another export_path"):
                bench.run(bench.make(export_path=str(bench.folder / name)))

    def test_a_result_is_not_put_where_it_would_be_read(self, bench: Bench) -> None:
        data = bench.folder / "data"
        (data / "deep").mkdir(parents=True)
        bench.corpus.rename(data / "corpus.jsonl")
        for place in (data / "out.jsonl", data / "deep" / "out.parquet"):
            with pytest.raises(RecipeError, match=r"lies in the dataset's folder, so the next run would read it"):
                bench.run(bench.make(dataset_path=str(data), export_path=str(place)))
        assert [path.name for path in data.rglob("out.*")] == []
        for place in (bench.folder / "out.jsonl", data / ".hidden" / "out.jsonl"):
            bench.run(bench.make(dataset_path=str(data), export_path=str(place)))
        apart = {"dataset_path": str(data), "export_path": str(data / "out.parquet"), "suffixes": [".jsonl"]}
        bench.run(bench.make(**apart))
        out = data / "out.jsonl"
        (bench.folder / "link").symlink_to(data)
        linked = bench.folder / "link" / "*.jsonl"
        for pattern in (data / "*.jsonl", data / "**" / "[a-z]*.jsonl", bench.folder / "**" / "*", linked):
            told = r"out\.jsonl matches the dataset's .*, so the next run would read it; name another"
            with pytest.raises(RecipeError, match=told):
                bench.run(bench.make(dataset_path=str(pattern), export_path=str(out)))
            assert not out.exists()
        bench.run(bench.make(dataset_path=str(data / "c*.jsonl"), export_path=str(out)))
        with pytest.raises(RecipeError, match=r"out\.jsonl is a file of the dataset"):
            bench.run(bench.make(dataset_path=str(data / "*.jsonl"), export_path=str(out)))

    def test_to_another_path(self, bench: Bench) -> None:
        bench.run()
        other = bench.folder / "deep/er/other.jsonl"
        report = bench.run(bench.make(export_path=str(other)))
        assert report.computed == 0
        assert other.read_bytes() == bench.out.read_bytes()

    @pytest.mark.parametrize("name", ["out.jsonl.gz", "out.jsonl.zst", "out.parquet", "out.arrow"])
    @pytest.mark.parametrize("stats", [False, True])
    def test_every_format_holds_the_same_rows(self, bench: Bench, name: str, stats: bool) -> None:
        bench.run()
        path = bench.folder / name
        recipe = bench.make(export_path=str(path), keep_stats_in_res_ds=stats)
        bench.run(recipe)
        rows = read_any(path)
        if stats:
            assert all(row.pop("__dj__stats__")["text_len"] == len(row["text"]) for row in rows)
        assert rows == bench.exported()
        assert bench.run(recipe).no_op

    def test_statistics_as_a_column(self, bench: Bench) -> None:
        bench.run(bench.make(keep_stats_in_res_ds=True))
        for row in bench.exported():
            assert row["__dj__stats__"] == {"text_len": len(row["text"]), "num_words": len(row["text"].split())}

    def test_none_wanted(self, bench: Bench) -> None:
        report = bench.run(bench.make(export_path=None))
        assert report.export is None
        assert not bench.out.exists()
        assert bench.run(bench.make(export_path=None)).no_op


def read_any(path: Any) -> list[dict[str, Any]]:
    import gzip
    import json

    import pyarrow as pa
    import pyarrow.parquet as pq
    import zstandard

    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    if path.suffix == ".arrow":
        with pa.ipc.open_file(path) as file:
            return file.read_all().to_pylist()
    if path.suffix == ".gz":
        data = gzip.decompress(path.read_bytes())
    else:
        with path.open("rb") as file:
            data = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True).read()
    return [json.loads(line) for line in data.splitlines()]


class TestBytesNeverDependOnHow:
    @pytest.fixture
    def expected(self, bench: Bench) -> bytes:
        bench.run()
        data = bench.out.read_bytes()
        bench.out.unlink()
        assert data
        return data

    @pytest.mark.parametrize("processes", [1, 2, 3])
    def test_on_the_number_of_processes(self, bench: Bench, expected: bytes, processes: int) -> None:
        bench.settings["home"] = bench.folder / "fresh"
        report = run_fresh(bench, processes=processes)
        assert bench.out.read_bytes() == expected
        assert report.computed == 5 * report.shards

    @pytest.mark.parametrize("codec", ["none", "zstd", "lz4", "gzip"])
    def test_on_the_codec(self, bench: Bench, expected: bytes, codec: str) -> None:
        run_fresh(bench, codec=codec)
        assert bench.out.read_bytes() == expected

    @pytest.mark.parametrize("shard_bytes", [500, 9000, 10**7])
    def test_on_the_size_of_shards(self, bench: Bench, expected: bytes, shard_bytes: int) -> None:
        bench.recipe["shard_bytes"] = shard_bytes
        run_fresh(bench)
        assert bench.out.read_bytes() == expected

    def test_on_the_cache(self, bench: Bench, expected: bytes) -> None:
        before = len(bench.files())
        report = bench.run(use_cache=False)
        assert report.computed == 5 * report.shards
        assert report.run_key is None
        assert bench.out.read_bytes() == expected
        assert len(bench.files()) == before

    def test_recipes_may_switch_the_cache_off(self, bench: Bench, expected: bytes) -> None:
        report = bench.run(bench.make(use_cache=False))
        assert report.reused == 0
        assert bench.out.read_bytes() == expected


def run_fresh(bench: Bench, *, processes: int = 1, codec: str = "none") -> Any:
    from forebay.config import resolve
    from forebay.pipeline import RunOptions, run
    from forebay.store import Store

    with Store.open(resolve(home=bench.folder / "fresh", codec=codec)) as store:
        return run(bench.make(), store=store, options=RunOptions(processes=processes))


class TestPlans:
    def test_a_dry_run_changes_nothing_and_says_what_and_why(self, bench: Bench) -> None:
        before = len(bench.files())
        plan = bench.run(dry_run=True)
        assert plan.dry
        assert not bench.out.exists()
        assert all(operator.shards_computed == plan.shards for operator in plan.operators)
        cold = bench.run()
        assert plan.shards == cold.shards
        files = len(bench.files())
        assert files > before
        bench.steps[-1] = {"words_num_filter": {"min_num": 8}}
        plan = bench.run(dry_run=True)
        assert counts(plan)["words_num_filter"] == (cold.shards, 0)
        assert counts(plan)["document_deduplicator"] == (0, cold.shards)
        assert plan.operators[-1].reason == "min_num: 4 -> 8"
        assert len(bench.files()) == files

    def test_a_dry_run_of_what_is_known(self, bench: Bench) -> None:
        bench.run()
        bench.out.unlink()
        plan = bench.run(dry_run=True)
        assert plan.no_op
        assert plan.export is not None
        assert plan.export.written
        assert not bench.out.exists()

    def test_a_store_that_is_opened_so_requires_it(self, bench: Bench) -> None:
        bench.settings["require_cache"] = True
        with pytest.raises(CacheRequiredError, match="run it once without require_cache"):
            bench.run()
        assert not bench.out.exists()
        with pytest.raises(ConfigError, match="refresh and require_cache contradict each other"):
            bench.run(refresh=True)
        bench.settings.clear()
        bench.run()
        bench.settings["require_cache"] = True
        assert bench.run().no_op

    def test_require_cache(self, bench: Bench) -> None:
        with pytest.raises(CacheRequiredError, match=r"not in the store, .*whitespace_normalization_mapper \(\d+\)"):
            bench.run(require_cache=True)
        bench.run()
        assert bench.run(require_cache=True).no_op
        bench.out.unlink()
        assert bench.run(require_cache=True).computed == 0
        assert bench.out.exists()

    @pytest.mark.parametrize("retain", ["some", "last:x", "last", "final:2"])
    def test_a_wrong_retention_is_told_before_the_work(self, bench: Bench, retain: str) -> None:
        with pytest.raises(ConfigError, match="not a retention"):
            bench.run(retain=retain)
        assert not bench.out.exists()

    def test_unknown_operators_and_parameters_name_the_line(self, bench: Bench) -> None:
        bench.steps[1] = "clean_linx_mapper"
        with pytest.raises(RecipeError, match=r"clean_linx_mapper.*clean_links_mapper"):
            bench.run()
        bench.steps[1] = {"text_length_filter": {"min_length": 3}}
        with pytest.raises(RecipeError, match="min_length"):
            bench.run()

    def test_a_column_that_is_not_there(self, bench: Bench) -> None:
        bench.recipe["text_keys"] = "content"
        with pytest.raises(RecipeError, match=r"operator 1 whitespace_normalization_mapper: .*no column 'content'"):
            bench.run()


class TestWhatIsTold:
    def test_progress(self, bench: Bench) -> None:
        report = bench.run()
        facts = [event.facts for event in bench.events if event.what is What.PROGRESS]
        (plan,) = [fact for fact in facts if fact["phase"] == "plan"]
        assert plan["operators"] == OPERATORS
        assert (plan["shards"], plan["rows"]) == (report.shards, 300)
        done = [fact for fact in facts if fact["phase"] == "operator"]
        assert len(done) == 5 * report.shards
        for index, operator in enumerate(report.operators):
            assert sum(int(str(fact["rows_out"])) for fact in done if fact["index"] == index) == operator.rows_out
        assert {str(fact["phase"]) for fact in facts} >= {"plan", "operator", "export", "choose"}

    def test_hits_misses_and_builds(self, bench: Bench) -> None:
        report = bench.run()
        kinds = [event.what for event in bench.events if event.facts.get("operator")]
        assert kinds.count(What.MISS) == kinds.count(What.BUILD) == 5 * report.shards
        bench.steps[-1] = {"words_num_filter": {"min_num": 8}}
        bench.run()
        kinds = [event.what for event in bench.events if event.facts.get("operator")]
        assert kinds.count(What.HIT) == 4 * report.shards
        assert kinds.count(What.MISS) == report.shards

    def test_options_that_contradict_each_other(self, bench: Bench) -> None:
        with pytest.raises(ConfigError, match="no cache and refresh contradict each other; refresh replaces"):
            bench.run(use_cache=False, refresh=True)
        with pytest.raises(ConfigError, match="use_cache: false and refresh contradict"):
            bench.run(bench.make(use_cache=False), refresh=True)
        with pytest.raises(ConfigError, match=r"refresh and require_cache contradict each other; .* leave one out"):
            bench.run(refresh=True, require_cache=True)
        with pytest.raises(ConfigError, match="no cache and require_cache contradict each other; require_cache takes"):
            bench.run(use_cache=False, require_cache=True)
        with pytest.raises(ConfigError, match="use_cache: false and require_cache contradict each other"):
            bench.run(bench.make(use_cache=False), require_cache=True)
        with pytest.raises(ConfigError, match="last:0 would keep no operator's results; that is: final"):
            bench.run(retain="last:0")

    def test_numbers_that_json_has_no_word_for(self, bench: Bench) -> None:
        bench.rows[3]["x"] = [float("nan"), 1.5]
        bench.rows[250]["y"] = {"z": float("-inf")}
        bench.steps = ["whitespace_normalization_mapper"]
        bench.write()
        bench.run(processes=2)
        assert bench.told() == ["2 numbers that JSON has no word for (NaN, infinities) are null in out.jsonl"]
        bench.rows[120]["text"] += " and more"  # the other parts are taken from the file that is there
        bench.write()
        report = bench.run(processes=2)
        assert report.export is not None
        assert report.export.parts_reused >= report.shards - 2
        assert bench.told() == ["2 numbers that JSON has no word for (NaN, infinities) are null in out.jsonl"]
        bench.run(bench.make(export_path="out.parquet"))
        assert bench.told() == []

    def test_an_integer_that_floats_of_another_shard_cannot_hold(self, bench: Bench) -> None:
        bench.rows[3]["n"] = 2**53 + 1
        bench.rows[250]["n"] = 1.5
        bench.write()
        with pytest.raises(SourceError, match=r"corpus\.jsonl line 4 \(shard 1\): column 'n': the integer 90071992547"):
            bench.run()
        bench.rows[3]["n"] -= 1
        bench.write()
        bench.run()
        assert next(row for row in bench.exported() if row["id"] == 3)["n"] == 2.0**53

    @pytest.mark.parametrize("nested", [False, True])
    @pytest.mark.parametrize("processes", [1, 2])
    def test_such_an_integer_is_set_aside_where_rows_may_be_skipped(
        self, bench: Bench, processes: int, nested: bool
    ) -> None:
        for at, number in ((3, 2**53 + 1), (4, 7), (130, -(2**60) - 1), (131, 2**60), (250, 1.5)):
            bench.rows[at]["n"] = {"deep": [number]} if nested else number
            bench.rows[at]["count"] = 2**60 + at  # whole numbers everywhere
        bench.steps = ["whitespace_normalization_mapper"]
        bench.write()
        recipe = bench.make(on_bad_rows="skip")
        report = bench.run(recipe, processes=processes)
        assert report.rows_in == len(bench.rows) - 2
        assert "2 malformed rows set aside (on_bad_rows: skip)" in bench.told()
        found = {row["id"]: row for row in bench.exported() if row.get("n") is not None}
        numbers = [found[at]["n"]["deep"][0] if nested else found[at]["n"] for at in (4, 131, 250)]
        assert numbers == [7.0, 2.0**60, 1.5]
        assert {at: row["count"] for at, row in found.items()} == {at: 2**60 + at for at in found}
        assert not {3, 130} & found.keys()
        assert bench.run(recipe).no_op
        bench.rows[250]["text"] += " edited"
        bench.write()
        assert bench.run(recipe).rows_in == len(bench.rows) - 2

    def test_files_that_are_left_out(self, bench: Bench) -> None:
        for name in ["README.md", "run.log", "LICENSE", "d.txt"]:
            (bench.folder / "data" / name).parent.mkdir(exist_ok=True)
            (bench.folder / "data" / name).write_text("text")
        bench.corpus.rename(bench.folder / "data/corpus.jsonl")
        recipe = bench.make(dataset_path="data")
        told = (
            "4 files are not read: data/LICENSE, data/README.md, data/d.txt and 1 more: text beside data, or no known"
            " suffix; name a text file in dataset_path to read it"
        )
        assert bench.run(recipe).rows_in == 300
        assert bench.told() == [told]
        assert bench.run(recipe).warnings == (told,)  # a rerun, too
        assert bench.run(bench.make(dataset_path="data", suffixes=[".jsonl"])).warnings == ()

    def test_recipe_notes_once(self, bench: Bench) -> None:
        bench.run(bench.make(open_tracer=True))
        assert bench.told() == ["recipe keys without a meaning here, ignored: open_tracer"]


@pytest.mark.parametrize("processes", [1, 2])
def test_shards_of_the_same_rows_are_done_once_and_nobody_waits(bench: Bench, processes: int) -> None:
    """Tasks on the same lease follow one another: else a run would find its own work taken, and wait for itself."""
    for name in ("a", "b", "c"):
        (bench.folder / f"{name}.jsonl").write_bytes(bench.corpus.read_bytes())
    sources = [str(bench.folder / f"{name}.jsonl") for name in ("a", "b", "c")]
    report = bench.run(bench.make(dataset_path=sources, export_path=None), processes=processes)
    shards = report.shards // 3
    first = report.operators[0]
    assert (first.shards_computed, first.shards_reused) == (shards, 2 * shards)
    assert not [event for event in bench.events if event.what is What.WAIT]
