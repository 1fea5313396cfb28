"""Why it was computed, in words; and what stays after a run."""

from __future__ import annotations

from typing import Any

import pytest
from pipeline_support import Bench, counts, document

from forebay.errors import CacheRequiredError, NotFoundError
from forebay.pipeline import explain, plan


def reasons(bench: Bench, report: Any) -> list[str]:
    with bench.open() as store:
        lines = explain(store, report.run_key)
        assert lines == explain(store, report.project)
    expected = [f"operator {at} {one.name}: {one.reason}" for at, one in enumerate(report.operators, 1) if one.reason]
    assert lines == expected
    return lines


class TestExplain:
    def test_the_first_run(self, bench: Bench) -> None:
        report = bench.run()
        assert reasons(bench, report)[0] == (
            "operator 1 whitespace_normalization_mapper: no earlier run of test or with these operators"
        )

    def test_nothing_to_do_has_nothing_to_explain(self, bench: Bench) -> None:
        bench.run()
        assert bench.run().operators[0].reason == ""

    def test_a_parameter(self, bench: Bench) -> None:
        bench.run()
        bench.steps[2] = {"text_length_filter": {"min_len": 50}}
        lines = reasons(bench, bench.run())
        assert lines[0] == "operator 3 text_length_filter: min_len: 30 -> 50"
        assert lines[1].endswith("shards: their rows changed in operator 3 text_length_filter")

    def test_a_new_operator(self, bench: Bench) -> None:
        bench.run()
        bench.steps.append({"text_length_filter": {"max_len": 10**6}})
        bench.steps.append("clean_email_mapper")
        lines = reasons(bench, bench.run())
        assert [line.partition(": ")[0] for line in lines] == [
            "operator 6 text_length_filter",
            "operator 7 clean_email_mapper",
        ]
        assert "a new operator" in lines[1]

    def test_an_edited_source_names_the_place(self, bench: Bench) -> None:
        bench.run()
        bench.rows[150]["text"] = "an edited document that is long enough to be kept by all"
        bench.write()
        lines = reasons(bench, bench.run())
        assert "shards: the source changed (corpus.jsonl from line 1" in lines[0]

    def test_what_was_removed(self, bench: Bench) -> None:
        first = bench.run()
        bench.out.unlink()
        with bench.open() as store:
            for info in list(store.entries(kind="delta")):
                store.remove("delta", info.key)
            for kind in ("run", "table"):
                for info in list(store.entries(kind=kind)):
                    if kind == "table":
                        store.remove(kind, info.key)
        report = bench.run()
        text = f"{first.shards} of {first.shards} shards: the result was known and is no longer in the store"
        assert report.operators[0].reason == text

    def test_another_project_with_the_same_operators_is_compared_with(self, bench: Bench) -> None:
        bench.run()
        bench.steps[-1] = {"words_num_filter": {"min_num": 9}}
        report = bench.run(bench.make(project_name="other"))
        assert report.operators[-1].reason == "min_num: 4 -> 9"

    def test_a_recipe_without_operators(self, bench: Bench) -> None:
        """It turns one format into another; a dry run of it reads nothing either."""
        bench.steps = []
        report = bench.run(dry_run=True)
        assert (report.dry, report.operators, report.read.shards_reused) == (True, (), 0)
        with pytest.raises(CacheRequiredError, match=r"not in the store.*: read \("):
            bench.run(require_cache=True)
        bench.run()
        assert bench.run(dry_run=True).no_op

    def test_no_such_run(self, bench: Bench) -> None:
        with bench.open() as store:
            with pytest.raises(NotFoundError, match="no run 'nothing'"):
                explain(store, "nothing")
            with pytest.raises(NotFoundError):
                explain(store, "0" * 64)


class TestRetention:
    def kinds(self, bench: Bench) -> dict[str, int]:
        with bench.open() as store:
            found: dict[str, int] = {}
            for info in store.entries():
                found[info.kind] = found.get(info.kind, 0) + 1
            return found

    def test_all_is_the_default(self, bench: Bench) -> None:
        report = bench.run()
        assert self.kinds(bench)["delta"] >= 4 * report.shards - 4

    def test_final_keeps_the_table_and_the_record(self, bench: Bench) -> None:
        report = bench.run(retain="final")
        found = self.kinds(bench)
        assert not {"delta", "summary", "global"} & found.keys()
        assert (found["table"], found["run"]) == (1, 1)
        assert bench.run().no_op
        bench.out.unlink()
        again = bench.run()
        assert again.computed == 0
        assert again.export is not None
        assert again.export.written
        assert again.rows_out == report.rows_out

    def test_final_after_all_drops_what_earlier_runs_left(self, bench: Bench) -> None:
        for least in (3, 4, 5):
            bench.steps[-1] = {"words_num_filter": {"min_num": least}}
            bench.run()
        with bench.open() as store:
            before = store.usage().bytes
        assert bench.run(retain="final").no_op
        assert self.kinds(bench)["table"] == 1
        with bench.open() as store:
            assert store.usage().bytes < before

    def test_constant_space_however_often(self, bench: Bench) -> None:
        sizes: list[int] = []
        for number in range(4):
            bench.steps[0] = {"text_length_filter": {"min_len": 2 + number}}
            bench.rows[5] = document(5, seed=number)
            bench.write()
            bench.run(retain="final")
            with bench.open() as store:
                sizes.append(store.usage().bytes)
        assert max(sizes) < 1.3 * min(sizes)

    def test_last_keeps_the_last_operators(self, bench: Bench) -> None:
        report = bench.run(retain="last:1")
        found = self.kinds(bench)
        assert found["delta"] <= report.shards
        assert "summary" not in found

    @pytest.mark.parametrize("edit", ["operator", "row"])
    def test_an_edit_after_it_computes_what_was_not_kept_and_says_so(self, bench: Bench, edit: str) -> None:
        shards = bench.run(retain="last:2").shards
        if edit == "operator":
            bench.steps[-1] = {"words_num_filter": {"min_num": 8}}
        else:
            bench.rows[150]["text"] += " edited"
            bench.write()
        changed = 0 if edit == "operator" else 1
        told = f"{shards - changed} of {shards} shards: the result was not kept (retain: last:2)"
        with bench.open() as store:
            planned = plan(bench.make(), store=store)
        assert all(operator.reason.endswith(told) for operator in planned.operators[:3])
        assert planned.operators[3].reason.endswith(
            "their rows are known only when operator 1 whitespace_normalization_mapper, whose result was not kept "
            "(retain: last:2), has run"
        )
        report = bench.run(retain="last:2")
        assert all(operator.reason.endswith(told) for operator in report.operators[:3])
        assert report.operators[3].shards_computed == changed  # what was kept is found again

    def test_results_that_have_gone_otherwise_are_not_said_to_be_dropped(self, bench: Bench) -> None:
        bench.run()
        with bench.open() as store:
            for info in list(store.entries("delta")):
                store.remove("delta", info.key)
        bench.steps[-1] = {"words_num_filter": {"min_num": 8}}
        with bench.open() as store:
            told = [operator.reason for operator in plan(bench.make(retain="final"), store=store).operators]
        assert told[0].endswith("the result was known and is no longer in the store")
        assert not any("retain" in reason for reason in told)

    def test_other_projects_keep_theirs(self, bench: Bench) -> None:
        bench.run(bench.make(project_name="mine"))
        other = bench.make(project_name="other", export_path=None)
        bench.run(other, retain="final")
        again = bench.run(bench.make(project_name="mine", export_path=str(bench.folder / "again.jsonl")))
        assert counts(again)["read"][0] == 0
        assert again.computed == 0
