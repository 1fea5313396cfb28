"""`import forebay`: its names, what importing it costs, and its verbs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pipeline_support import Bench, document

import forebay
from forebay.errors import BuildError, InputError, StoreError
from forebay.events import Event, What
from forebay.pipeline.cached import used_store

HEAVY = [
    "numpy", "pyarrow", "pandas", "yaml", "click", "rich", "sqlite3", "asyncio", "multiprocessing", "inspect", "orjson",
    "zstandard", "lz4", "datasets", "torch", "difflib", "importlib.metadata",
]  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Iterator[forebay.Store]:
    with forebay.open(home=tmp_path / "store") as opened:
        yield opened


class TestDefaultStore:
    def test_a_home_that_can_hold_none(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        home = tmp_path / "file"
        home.write_text("not a folder")
        monkeypatch.setenv("FOREBAY_HOME", str(home))
        with pytest.warns(RuntimeWarning, match=r"a file is in the way\); set FOREBAY_HOME"):
            assert forebay.map(ROWS, shout) == [shout(row) for row in ROWS]
        assert forebay.filter(ROWS, long) == [row for row in ROWS if long(row)]  # told once
        used_store().close()
        monkeypatch.setenv("FOREBAY_REQUIRE_CACHE", "1")
        with pytest.raises(StoreError, match="cannot make a store"):
            forebay.map(ROWS, shout)


class TestNames:
    def test_sorted_complete_and_few(self) -> None:
        assert forebay.__all__ == sorted(forebay.__all__)
        assert len(forebay.__all__) <= 25
        assert dir(forebay) == forebay.__all__
        for name in forebay.__all__:
            assert getattr(forebay, name) is not None

    def test_an_unknown_name(self) -> None:
        with pytest.raises(AttributeError, match="no attribute 'fech'"):
            _ = forebay.fech  # type: ignore[attr-defined]

    @pytest.mark.parametrize("module", ["forebay", "forebay.store", "forebay.fingerprint"])
    def test_importing_loads_nothing_heavy(self, module: str) -> None:
        allowed = {"inspect"} if module != "forebay" else set()
        code = f"import sys, {module}; print([name for name in {HEAVY!r} if name in sys.modules])"
        found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert set(eval(found.stdout)) <= allowed

    def test_a_rerun_with_nothing_to_do_loads_no_arrays(self, bench: Bench) -> None:
        bench.recipe["process"] = bench.steps
        bench.run()
        values = {
            "dataset_path": str(bench.corpus), "export_path": str(bench.out), "process": bench.steps,
            "shard_bytes": 4000, "project_name": "test",
        }  # fmt: skip
        code = (
            "import sys, forebay.pipeline as p, forebay.store as s\n"
            "from forebay.config import resolve\n"
            f"recipe = p.Recipe.from_mapping({values!r})\n"
            f"with s.Store.open(resolve(home={str(bench.folder / 'store')!r})) as store:\n"
            "    report = p.run(recipe, store=store)\n"
            "assert report.no_op\n"
            f"print([name for name in {[*HEAVY[:3], 'multiprocessing', 'asyncio']!r} if name in sys.modules])"
        )
        found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert found.returncode == 0, found.stderr
        assert eval(found.stdout) == []


def shout(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "text": row["text"].upper()}


def long(row: dict[str, Any]) -> bool:
    return len(row["text"]) > 60


ROWS = [document(number) for number in range(50)]


class TestMapAndFilter:
    def test_rows_in_rows_out(self, store: forebay.Store) -> None:
        assert forebay.map(ROWS, shout, store=store) == [shout(row) for row in ROWS]
        assert forebay.filter(ROWS, long, store=store) == [row for row in ROWS if long(row)]

    def test_a_table_of_arrow(self, store: forebay.Store) -> None:
        table = pa.Table.from_pylist(ROWS)
        made = forebay.map(table, shout, store=store)
        assert isinstance(made, pa.Table)
        assert made.to_pylist() == [shout(row) for row in ROWS]

    def test_our_own_table_and_again(self, store: forebay.Store) -> None:
        table = forebay.Table.from_rows(store, ROWS)
        once = forebay.map(table, shout, store=store)
        assert isinstance(once, forebay.Table)
        twice = forebay.filter(once, long, store=store)
        assert list(twice.iter_rows()) == [shout(row) for row in ROWS if long(row)]

    def test_a_dataset_of_hugging_face(self, store: forebay.Store) -> None:
        datasets = pytest.importorskip("datasets")
        dataset = datasets.Dataset.from_list(ROWS)
        made = forebay.map(dataset, shout, store=store)
        assert isinstance(made, datasets.Dataset)
        assert made.to_list() == [shout(row) for row in ROWS]

    def test_a_dataset_without_rows_keeps_its_columns(self, store: forebay.Store) -> None:
        datasets = pytest.importorskip("datasets")
        features = datasets.Features(
            {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])}
        )
        dataset = datasets.Dataset.from_dict({"text": ["a"], "label": [1]}, features=features)
        for empty in (dataset.select([]), datasets.Dataset.from_dict({"text": [], "label": []}, features=features)):
            kept = forebay.filter(empty, lambda row: True, store=store)
            assert kept.features == features
            assert len(kept) == 0

    def test_class_labels_stay(self, store: forebay.Store) -> None:
        datasets = pytest.importorskip("datasets")
        labels = datasets.ClassLabel(names=["bad", "good"])
        features = datasets.Features({"text": datasets.Value("string"), "label": labels})
        dataset = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [1, 0]}, features=features)
        assert forebay.map(dataset, shout, store=store).features["label"] == labels

    def test_the_second_time_nothing_is_called(self, store: forebay.Store, tmp_path: Path) -> None:
        def noted(row: dict[str, Any]) -> dict[str, Any]:
            with (tmp_path / "calls").open("a") as file:
                file.write("x")
            return row

        forebay.map(ROWS, noted, store=store, version="1")
        calls = (tmp_path / "calls").stat().st_size
        assert calls >= 50
        forebay.map(ROWS, noted, store=store, version="1")
        assert (tmp_path / "calls").stat().st_size == calls

    def test_batches_parameters_and_columns(self, store: forebay.Store) -> None:
        def number(batch: dict[str, list[Any]], start: int) -> dict[str, list[Any]]:
            return {"id": [start + one for one in batch["id"]]}

        made = forebay.map(ROWS, number, store=store, input="batch", params={"start": 1000}, reads=["id"])
        assert [row["id"] for row in made] == [1000 + row["id"] for row in ROWS]
        assert [row["text"] for row in made] == [row["text"] for row in ROWS]

    def test_what_holds_no_rows(self, store: forebay.Store) -> None:
        with pytest.raises(InputError, match=r"cannot take rows from a builtins\.int"):
            forebay.map(3, shout, store=store)

    @pytest.mark.parametrize("place", ["here", Path("here")])
    def test_a_folder_is_no_store(self, place: Any) -> None:
        told = r"not a store: 'here'; write `with forebay.open\(home='here'\) as store:` and give that"
        for work in (
            lambda: forebay.map(ROWS, shout, store=place),
            lambda: forebay.run({"dataset_path": "x"}, store=place),
            lambda: forebay.fetch("x", store=place),
            lambda: forebay.load("x", store=place),
            lambda: forebay.cached(store=place)(shout)(ROWS[0]),
        ):
            with pytest.raises(InputError, match=told):
                work()

    def test_what_is_no_recipe_and_no_list_of_overrides(self, store: forebay.Store) -> None:
        nothing: Any = None
        with pytest.raises(InputError, match="not a recipe: None; give a file's path"):
            forebay.run(nothing, store=store)
        with pytest.raises(InputError, match=r"not a list of overrides: 'np=4'; write \['np=4'\]"):
            forebay.run({"dataset_path": "x"}, store=store, set="np=4")

    @pytest.mark.parametrize("processes", ["2", 2.0, 0])
    def test_what_is_no_number_of_processes(self, store: forebay.Store, processes: Any) -> None:
        with pytest.raises(InputError, match=rf"not a number of processes: {processes!r}; 1 computes"):
            forebay.map(ROWS, shout, store=store, processes=processes)

    def test_an_error_names_the_row(self, store: forebay.Store) -> None:
        def broken(row: dict[str, Any]) -> dict[str, Any]:
            if row["id"] == 33:
                raise ValueError("no such thing")
            return row

        with pytest.raises(
            BuildError, match=r"operator 1 .*broken raised ValueError at row 34 of shard 1: no such thing"
        ):
            forebay.map(ROWS, broken, store=store)

    def test_a_store_that_may_not_be_written_costs_a_warning_only(self, tmp_path: Path) -> None:
        with forebay.open(home=tmp_path / "store"):
            pass
        told: list[Event] = []
        with forebay.open(home=tmp_path / "store", read_only=True) as store:
            assert forebay.map(ROWS, shout, store=store, hook=told.append) == [shout(row) for row in ROWS]
        assert [event.message for event in told if event.what is What.WARNING] == [
            "the store is read-only: what must be computed is not kept"
        ]


class TestRun:
    def test_a_mapping_a_file_and_the_table(self, bench: Bench, store: forebay.Store) -> None:
        values = {"dataset_path": str(bench.corpus), "process": bench.steps, "np": 1}
        report = forebay.run(values, store=store)
        bench.run()
        assert list(report.table.iter_rows()) == bench.exported()
        path = bench.folder / "recipe.yaml"
        path.write_text(f"dataset_path: {bench.corpus}\nnp: 1\nprocess:\n  - text_length_filter: {{min_len: 30}}\n")
        assert forebay.run(path, store=store).rows_out > report.rows_out
        assert forebay.run(path, store=store, set=["process.0.text_length_filter.min_len=10000"]).rows_out == 0

    def test_the_table_of_a_rerun_with_nothing_to_do(self, bench: Bench, store: forebay.Store) -> None:
        first = forebay.run(bench.make(), store=store, options=forebay.RunOptions(processes=1))
        again = forebay.run(bench.make(), store=store, options=forebay.RunOptions(processes=1))
        assert again.no_op
        assert list(again.table.iter_rows()) == list(first.table.iter_rows()) == bench.exported()


class TestKeys:
    def test_equal_content_equal_key(self) -> None:
        assert forebay.key({"a": 1, "b": [2]}) == forebay.key({"b": [2], "a": 1})
        assert forebay.key(1) != forebay.key(1.5)

    def test_explain(self) -> None:
        assert forebay.explain({"a": 1}, {"a": 1}) == []
        (sentence,) = forebay.explain({"a": 1}, {"a": 2})
        assert "1" in sentence
        assert "2" in sentence
