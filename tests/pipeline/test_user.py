"""User functions: every kind and input form, keyed by content, told with the row when they fail, checked for
determinism."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from pipeline_support import Bench, counts

import forebay
from forebay.config import Settings
from forebay.errors import BuildError, RecipeError, UnhashableError
from forebay.pipeline.recipes import importing
from forebay.pipeline.workers import determinism
from forebay.store import Store

OPS = """
import pyarrow as pa
import pyarrow.compute as pc

SUFFIX = "!"

def tidy(text):
    return text.strip() + SUFFIX

def clean(row, lower=False):
    row["text"] = tidy(row["text"].lower() if lower else row["text"])
    return row

def clean_batch(batch):
    return {**batch, "text": [tidy(text) for text in batch["text"]]}

def clean_arrow(table):
    return {"text": pa.array([tidy(text) for text in table["text"].to_pylist()])}

def keep(row):
    return row["id"] % 2 == 0

def keep_batch(batch):
    return [number % 2 == 0 for number in batch["id"]]

def few_batch(batch):
    return {name: values[:1] for name, values in batch.items()}

def few_arrow(table):
    return table.slice(0, 1)

def keep_arrow(table):
    return pc.equal(pc.bit_wise_and(table["id"], 1), 0)

def split(row):
    for word in row["text"].split()[:2]:
        yield {"id": row["id"], "word": word}

def split_batch(batch):
    rows = [(at, number, word) for at, (number, text) in enumerate(zip(batch["id"], batch["text"]))
            for word in text.split()[:2]]
    return {"__parent": [row[0] for row in rows], "id": [row[1] for row in rows], "word": [row[2] for row in rows]}

def group(row):
    return row["meta"]["n"] if row["id"] < 250 else None

def score(row):
    return row["id"] % 10

def measured(row):
    row["words"] = len(row["text"].split())
    del row["meta"]
    return row

def widen(row):
    row["id"] = row["id"] / 2
    row["meta"]["more"] = [str(row["id"])]
    return row

class Prefix:
    made = 0
    def __init__(self, prefix):
        type(self).made += 1
        self.prefix = prefix
    def __call__(self, row):
        row["text"] = self.prefix + row["text"]
        return row

def fails(row):
    if row["id"] == 137:
        raise KeyError("colour")
    return row

def nothing(row):
    pass

def sideways(row):
    row["text"] = object()
    return row

def process_single(row):
    row["text"] = row["text"].upper()
    return row
"""


@pytest.fixture
def user(bench: Bench) -> Bench:
    (bench.folder / "ops.py").write_text(OPS)
    return bench


def use(kind: str, function: str, **options: Any) -> dict[str, Any]:
    return {kind: {"function": f"ops.py:{function}", **options}}


def run_one(bench: Bench, *steps: object, **options: Any) -> list[dict[str, Any]]:
    bench.steps = list(steps)
    bench.run(**options)
    return bench.exported()


class TestKindsAndForms:
    @pytest.mark.parametrize(
        ("function", "form"), [("clean", "row"), ("clean_batch", "batch"), ("clean_arrow", "arrow")]
    )
    def test_mappers(self, user: Bench, function: str, form: str) -> None:
        found = run_one(user, use("mapper", function, input=form))
        assert found == [{**row, "text": row["text"].strip() + "!"} for row in user.rows]

    @pytest.mark.parametrize(("function", "form"), [("keep", "row"), ("keep_batch", "batch"), ("keep_arrow", "arrow")])
    def test_filters(self, user: Bench, function: str, form: str) -> None:
        assert run_one(user, use("filter", function, input=form)) == [row for row in user.rows if row["id"] % 2 == 0]

    @pytest.mark.parametrize(("function", "form"), [("split", "row"), ("split_batch", "batch")])
    def test_flat_mappers(self, user: Bench, function: str, form: str) -> None:
        found = run_one(user, use("flat_mapper", function, input=form, batch_size=7))
        assert found == [{"id": row["id"], "word": word} for row in user.rows for word in row["text"].split()[:2]]

    @pytest.mark.parametrize("shard_bytes", [600, 4000])
    def test_deduplicators_keep_the_first_in_dataset_order_and_all_without_a_key(
        self, user: Bench, shard_bytes: int
    ) -> None:
        user.recipe["shard_bytes"] = shard_bytes
        found = run_one(user, use("deduplicator", "group"), processes=2)
        assert [row["id"] for row in found] == [0, 1, 2, 3, 4, *range(250, 300)]

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ({"top": 3}, [9, 19, 29]),
            ({"top": 3, "largest": False}, [0, 10, 20]),
            ({"ratio": 0.1}, list(range(9, 300, 10))),
            ({"top": 0}, []),
        ],
    )
    def test_selectors(self, user: Bench, options: dict[str, Any], expected: list[int]) -> None:
        assert [row["id"] for row in run_one(user, use("selector", "score", **options))] == expected

    def test_new_and_removed_columns(self, user: Bench) -> None:
        found = run_one(user, use("mapper", "measured"))
        assert found == [{"id": row["id"], "text": row["text"], "words": len(row["text"].split())} for row in user.rows]

    def test_changed_types_and_nested_values_changed_in_place(self, user: Bench) -> None:
        found = run_one(user, use("mapper", "widen"))
        assert found == [
            {**row, "id": row["id"] / 2, "meta": {"n": row["meta"]["n"], "more": [str(row["id"] / 2)]}}
            for row in user.rows
        ]

    def test_a_class_is_made_once_per_worker(self, user: Bench) -> None:
        found = run_one(user, use("mapper", "Prefix", init={"prefix": "> "}))
        assert [row["text"] for row in found] == ["> " + row["text"] for row in user.rows]
        made = [
            module.Prefix.made
            for module in (*sys.modules.values(), *importing._FOLDERS[str(user.folder)].values())
            if getattr(module, "__file__", "") == str(user.folder / "ops.py")
        ]
        assert made == [1]

    def test_only_the_columns_it_says_it_reads(self, user: Bench) -> None:
        found = run_one(user, use("mapper", "clean", reads=["text"], writes=["text"]))
        assert found == [{**row, "text": row["text"].strip() + "!"} for row in user.rows]
        user.rows[5]["meta"]["n"] = 77
        user.write()
        report = user.run()
        assert report.read.shards_computed <= 2
        with pytest.raises(BuildError, match="KeyError"):
            run_one(user, use("filter", "keep", reads=["text"]))

    @pytest.mark.parametrize(
        ("body", "name"),
        [
            ("return {**row, 'text': 'fixed'}", "text"),
            ("return {**row, 'new': 1}", "new"),
            ("return {'id': row['id']}", "text"),
            ("return {**row, 'id': row['id'] + 1}", ""),
        ],
    )
    @pytest.mark.parametrize("reads", [None, ["id", "text"]])
    def test_a_mapper_writes_no_column_but_those_it_says(
        self, user: Bench, body: str, name: str, reads: list[str] | None
    ) -> None:
        """What it gives is stored as the difference to what was there, and its key covers these columns only."""
        (user.folder / "ops.py").write_text(f"def change(row):\n    {body}\n")
        more = {} if reads is None else {"reads": reads}
        step = use("mapper", "change", writes=["id"], **more)
        if not name:
            assert [row["id"] for row in run_one(user, step)] == [row["id"] + 1 for row in user.rows]
            return
        with pytest.raises(BuildError, match=rf"change on shard 1 .* writes column '{name}', which its `writes` does"):
            run_one(user, step)

    def test_data_juicers_spellings(self, user: Bench) -> None:
        steps: list[object] = [
            {"python_file_mapper": {"file_path": "ops.py", "function_name": "process_single"}},
            {"python_lambda_mapper": {"lambda_str": "lambda row: {**row, 'text': row['text'] + '.'}"}},
        ]
        found = run_one(user, *steps)
        assert [row["text"] for row in found] == [row["text"].upper() + "." for row in user.rows]
        assert user.run().no_op

    def test_over_stages_and_processes(self, user: Bench) -> None:
        steps = [
            use("mapper", "clean"), use("deduplicator", "group"), use("flat_mapper", "split"), use("filter", "keep"),
        ]  # fmt: skip
        one = run_one(user, *steps)
        user.out.unlink()
        two = run_one(user, *steps, processes=3, use_cache=False)
        assert one == two
        assert one


class TestKeysOfFunctions:
    def edit(self, bench: Bench, old: str, new: str) -> None:
        text = (bench.folder / "ops.py").read_text()
        assert old in text
        (bench.folder / "ops.py").write_text(text.replace(old, new))

    def test_an_edited_helper_computes_again_and_is_told_with_its_line(self, user: Bench) -> None:
        run_one(user, use("mapper", "clean"), use("filter", "keep"))
        self.edit(user, "text.strip() + SUFFIX", "text.rstrip() + SUFFIX")
        report = user.run()
        assert counts(report)["clean"] == (report.shards, 0)
        assert "tidy" in report.operators[0].reason
        assert "ops.py:7" in report.operators[0].reason
        assert (
            "rows changed in operator 1 clean" in report.operators[1].reason or report.operators[1].shards_computed == 0
        )

    def test_a_changed_global(self, user: Bench) -> None:
        run_one(user, use("mapper", "clean"))
        self.edit(user, 'SUFFIX = "!"', 'SUFFIX = "?"')
        report = user.run()
        assert counts(report)["clean"] == (report.shards, 0)
        assert "SUFFIX" in report.operators[0].reason
        assert all(row["text"].endswith("?") for row in user.exported())

    def test_an_edit_of_the_same_size_in_the_same_second(self, user: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "dont_write_bytecode", False)
        os.utime(user.folder / "ops.py", (1_700_000_000, 1_700_000_000))
        run_one(user, use("mapper", "clean"))
        self.edit(user, 'SUFFIX = "!"', 'SUFFIX = "?"')
        os.utime(user.folder / "ops.py", (1_700_000_000, 1_700_000_000.9))
        report = user.run()
        assert counts(report)["clean"] == (report.shards, 0)
        assert all(row["text"].endswith("?") for row in user.exported())

    def test_comments_other_functions_and_the_files_place_do_not_matter(self, user: Bench) -> None:
        run_one(user, use("mapper", "clean"))
        self.edit(user, "def tidy(text):", "# a comment\n\n\ndef tidy(text):  # another")
        self.edit(user, "% 10", "% 11")
        assert user.run().no_op
        (user.folder / "sub").mkdir()
        (user.folder / "ops.py").rename(user.folder / "sub/ops.py")
        user.steps = [{"mapper": {"function": "sub/ops.py:clean"}}]
        assert user.run().no_op

    def test_parameters_and_init(self, user: Bench) -> None:
        run_one(user, use("mapper", "clean"), use("mapper", "Prefix", init={"prefix": "a"}))
        user.steps = [use("mapper", "clean", params={"lower": True}), use("mapper", "Prefix", init={"prefix": "a"})]
        assert user.run().operators[0].shards_computed > 0
        user.steps[1] = use("mapper", "Prefix", init={"prefix": "b"})
        report = user.run()
        assert counts(report)["clean"][0] == 0
        assert counts(report)["Prefix"][1] == 0

    def test_a_version_stands_in_for_the_code(self, user: Bench) -> None:
        run_one(user, use("mapper", "clean", version="7"))
        self.edit(user, "text.strip() + SUFFIX", "text.rstrip() + SUFFIX")
        assert user.run().no_op
        user.steps = [use("mapper", "clean", version="8")]
        assert not user.run().no_op

    def test_what_cannot_be_keyed_is_an_error_that_says_what_to_do(self, user: Bench) -> None:
        self.edit(user, 'SUFFIX = "!"', "import zlib\nSUFFIX = zlib.compressobj()")
        with pytest.raises(UnhashableError, match="version"):
            run_one(user, use("mapper", "clean"))

    def test_cache_false(self, user: Bench) -> None:
        first = run_one(
            user, "whitespace_normalization_mapper", use("mapper", "clean", cache=False), use("filter", "keep")
        )
        report = user.run()
        assert counts(report)["whitespace_normalization_mapper"] == (0, report.shards)
        assert counts(report)["clean"] == (report.shards, 0)
        assert counts(report)["keep"] == (report.shards, 0)
        assert report.run_key is None
        assert user.exported() == first
        assert report.export is not None
        assert not report.export.written


class TestErrors:
    @pytest.mark.parametrize("processes", [1, 2])
    def test_name_operator_file_line_and_exception(self, user: Bench, processes: int) -> None:
        pattern = r"operator 2 fails raised KeyError at corpus\.jsonl line 138 \(shard \d+\): 'colour'"
        with pytest.raises(BuildError, match=pattern) as caught:
            run_one(user, {"text_length_filter": {"min_len": 10}}, use("mapper", "fails"), processes=processes)
        assert 'raise KeyError("colour")' in str(caught.value.__cause__)

    def test_what_was_done_before_is_kept(self, user: Bench) -> None:
        with pytest.raises(BuildError):
            run_one(user, "whitespace_normalization_mapper", use("mapper", "fails"))
        user.steps = ["whitespace_normalization_mapper", use("mapper", "clean")]
        assert user.run().operators[0].shards_reused > 0

    @pytest.mark.parametrize(
        ("step", "says"),
        [
            (use("mapper", "nothing"), "a mapper returns the row, not NoneType"),
            (use("mapper", "sideways"), "column 'text'"),
            (use("flat_mapper", "keep"), "TypeError"),
            (use("mapper", "keep_batch", input="batch"), "returns a dict of lists, not list"),
            (use("mapper", "clean", input="arrow"), "operator 1 clean raised"),
            (use("filter", "few_batch", input="batch"), "gives one value for each row, not a dict"),
            (use("filter", "few_arrow", input="arrow"), "gives one value for each row, not a Table"),
            (use("deduplicator", "few_batch", input="batch"), "gives one value for each row, not a dict"),
            (use("selector", "few_arrow", input="arrow", top=3), "gives one value for each row, not a Table"),
            (use("flat_mapper", "few_batch", input="batch"), "number in the batch, from 0, of the row"),
        ],
    )
    def test_results_of_a_wrong_kind(self, user: Bench, step: object, says: str) -> None:
        with pytest.raises(BuildError, match=says):
            run_one(user, step)

    @pytest.mark.parametrize(
        ("step", "says"),
        [
            ({"mapper": {}}, "mapper has no function"),
            (use("mapper", "claen"), "ops.py has no 'claen'; did you mean clean"),
            ({"mapper": {"function": "nowhere.py:f"}}, "no such file: nowhere.py"),
            ({"mapper": {"function": "no.such.module:f"}}, "cannot import no.such.module: ModuleNotFoundError"),
            ({"mapper": {"function": "clean"}}, "cannot find function 'clean'"),
            ({"mapper": {"function": "ops.py"}}, "cannot find function 'ops.py'; write \"ops.py:clean\""),
            (use("mapper", "zzz"), "ops.py has no 'zzz'; define it there"),
            (use("mapper", "SUFFIX"), "ops.py:SUFFIX is not a function"),
            (use("mapper", "clean", inptu="row"), "mapper has no option 'inptu'; did you mean input"),
            (use("mapper", "clean", input="rows"), "input is row, batch or arrow"),
            (use("mapper", "clean", params=3), "params must be"),
            (use("mapper", "clean", batch_size=0), "batch_size must be"),
            (use("mapper", "clean", reads=3), "reads must be a list"),
            (use("selector", "score"), "a selector wants one of top and ratio"),
            (use("selector", "score", ratio=2), "ratio must lie between"),
            ({"python_lambda_mapper": {"lambda_str": "1 + 1"}}, "not a lambda"),
            ({"python_lambda_mapper": {"lambda_str": "lambda:::"}}, "not Python"),
            ({"python_file_mapper": {}}, "wants file_path or lambda_str"),
        ],
    )
    def test_entries_that_are_wrong(self, user: Bench, step: object, says: str) -> None:
        with pytest.raises(RecipeError, match=says):
            run_one(user, step)

    def test_a_file_that_does_not_import(self, user: Bench) -> None:
        (user.folder / "ops.py").write_text("import nosuch\n")
        with pytest.raises(RecipeError, match=r"cannot import ops\.py: ModuleNotFoundError"):
            run_one(user, use("mapper", "clean"))


COUNTING = """
import random
calls = [0]
def counted(row):
    calls[0] += 1
    row["n"] = calls[0]
    return row
def chosen(row):
    return hash((calls.append(1), len(calls))) % 2 == 0
def batched(batch):
    return {**batch, "n": [sum(batch["id"])] * len(batch["id"])}
"""


class TestDeterminism:
    @pytest.fixture
    def counting(self, bench: Bench) -> Bench:
        (bench.folder / "ops.py").write_text(COUNTING)
        return bench

    @pytest.mark.parametrize("processes", [1, 2])
    def test_what_differs_is_told_once_and_not_cached_nor_what_follows(self, counting: Bench, processes: int) -> None:
        counting.steps = [
            "whitespace_normalization_mapper",
            use("mapper", "counted", version="1"),
            "clean_links_mapper",
        ]
        first = counting.run(processes=processes)
        told = [text for text in counting.told() if "different results" in text]
        assert len(told) == 1, counting.told()
        assert "operator 2 counted gives different results for the same row (column 'n')" in told[0]
        assert first.run_key is None
        assert [row["text"] for row in counting.exported()]
        again = counting.run(processes=processes)
        assert counts(again)["whitespace_normalization_mapper"] == (0, first.shards)
        assert counts(again)["counted"] == (first.shards, 0)
        assert counts(again)["clean_links_mapper"] == (first.shards, 0)

    def test_what_differs_is_not_kept_by_a_run_that_fails(self, counting: Bench) -> None:
        """One worker finds out at its first shard; the other had kept its own by then."""
        (counting.folder / "ops.py").write_text(
            "calls = []\n"
            "def unsteady(row):\n"
            "    calls.append(1)\n    row['n'] = 0 if row['id'] < 20 else len(calls)\n    return row\n"
            "def breaks(row):\n    assert row['id'] < 299\n    return row\n"
        )
        counting.steps = [use("mapper", "unsteady", version="1"), use("mapper", "breaks")]
        with pytest.raises(BuildError, match="operator 2 breaks raised AssertionError"):
            counting.run(processes=2)
        assert any("different results" in text for text in counting.told()), counting.told()
        with counting.open() as store:
            assert list(store.entries("delta")) == []

    def test_what_differs_can_still_be_read_by_who_made_it(self, tmp_path: Path) -> None:
        calls: list[int] = []

        def unsteady(row: dict[str, Any]) -> dict[str, Any]:
            calls.append(1)
            return {**row, "n": 0 if row["id"] < 200 else len(calls)}

        rows = [{"id": number, "text": "x" * 20_000} for number in range(1000)]
        with Store.open(Settings(home=tmp_path / "s")) as store:
            made = forebay.map(rows, unsteady, store=store, processes=2, version="1")
        assert len(made) == 1000

    def test_filters_too(self, counting: Bench) -> None:
        counting.steps = [use("filter", "chosen", version="1")]
        assert counting.run().run_key is None
        assert "the rows it keeps" in counting.told()[0]

    def test_the_check_can_be_left_out(self, counting: Bench) -> None:
        counting.steps = [use("mapper", "counted", version="1")]
        assert counting.run(check=False).run_key is not None
        assert counting.run(check=False).no_op

    def test_a_function_of_its_batch_is_deterministic(self, counting: Bench) -> None:
        counting.steps = [use("mapper", "batched", input="batch")]
        assert counting.run().run_key is not None

    def test_a_function_of_rows_given_batches_computes_a_sample_again(self, counting: Bench) -> None:
        (counting.folder / "ops.py").write_text(
            "import pathlib\n"
            "def lengths(batch):\n"
            "    with (pathlib.Path(__file__).parent / 'sizes.txt').open('a') as log:\n"
            "        log.write(f\"{len(batch['text'])}\\n\")\n"
            "    return {'n': [len(text) for text in batch['text']]}\n"
        )
        counting.steps = [use("mapper", "lengths", input="batch")]
        report = counting.run(processes=1)
        assert report.run_key is not None
        sizes = [int(line) for line in (counting.folder / "sizes.txt").read_text().split()]
        assert sum(sizes) == report.rows_in + determinism.SAMPLE_ROWS
        assert len(sizes) == report.shards + 1

    @pytest.mark.parametrize(
        ("body", "cached"),
        [
            ("calls.append(1); return {'n': [len(calls)] * len(batch['id'])}", False),
            ("assert len(batch['id']) > 16; return {'n': batch['id']}", True),
            ("assert len(batch['id']) > 16; calls.append(1); return {'n': [len(calls)] * len(batch['id'])}", False),
        ],
        ids=["counts its calls", "needs many rows", "needs many rows and counts its calls"],
    )
    def test_functions_over_batches(self, counting: Bench, body: str, cached: bool) -> None:
        (counting.folder / "ops.py").write_text(f"calls = []\ndef batched(batch):\n    {body}\n")
        counting.steps = [use("mapper", "batched", input="batch", version="1")]
        assert (counting.run().run_key is not None) == cached, counting.told()

    def test_what_the_key_cannot_see_is_told(self, counting: Bench) -> None:
        (counting.folder / "ops.py").write_text(
            "import time\ndef stamp(row):\n    row['late'] = time.time() > 5\n    return row\n"
        )
        counting.steps = [use("mapper", "stamp")]
        counting.run()
        (told,) = counting.told()
        assert "operator 1 stamp: time.time" in told
        assert counting.run().no_op

    def test_unseeded_random_is_never_cached(self, counting: Bench) -> None:
        (counting.folder / "ops.py").write_text(
            "import random\ndef draw(row):\n    row['n'] = random.random()\n    return row\n"
        )
        counting.steps = [use("mapper", "draw")]
        assert counting.run().run_key is None
        assert "random.random" in counting.told()[0]
        assert counting.run().operators[0].shards_reused == 0


def test_a_row_is_a_plain_dict(bench: Bench, tmp_path: Path) -> None:
    (bench.folder / "ops.py").write_text("import json\ndef show(row):\n    return {'json': json.dumps(row)}\n")
    bench.steps = [use("mapper", "show")]
    bench.run()
    assert [json.loads(row["json"]) for row in bench.exported()] == bench.rows
