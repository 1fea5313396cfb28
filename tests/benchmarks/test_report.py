"""The results page: promises kept and missed, and nothing about what was not measured."""

from __future__ import annotations

import pytest

from benchmarks import bench, pipeline, report


def cost(wall, cpu=1.0, **more):
    return {"wall": wall, "cpu": cpu, "largest": 100e6, "tree": 0, "private": 0, **more}


@pytest.mark.parametrize(("wall", "verdict"), [(0.5, "kept"), (0.7, "**missed**")])
def test_a_bound_is_kept_or_missed(wall, verdict):
    told = report.promises({"warm": {"forebay": [cost(wall)] * 3}})
    assert [line.split("|")[4].strip() for line in told.splitlines() if "warm rerun" in line] == [verdict]


def test_a_peer_is_compared_where_it_was_measured():
    figures = {"warm": {"forebay": [cost(0.5)], "data_juicer": [cost(9.0)]}}
    told = report.promises(figures)
    assert "1/18" in told
    assert "**missed**" in told
    assert "Data-Juicer" not in report.promises({"warm": {"forebay": [cost(0.5)]}})


def test_sections_that_were_not_measured_are_not_told():
    assert len(report.promises({}).splitlines()) == 2


def test_more_shards_than_promised_is_a_miss():
    change = {"kind": "changed", "cost": cost(1.0), "computed": {"1 a": 1, "2 b": 3}, "shards": 24}
    told = report.promises({"edited": {"changes": [change]}})
    assert "at most 3 of 24 shards" in told
    assert "**missed**" in told


def test_other_bytes_are_a_miss_however_small_they_are():
    runs = [{"codec": codec, "processes": 2, "objects": 10} for codec in ("none", "zstd")]
    space = {"source": 100, "runs": runs, "different_outputs": 2, "different_object_sets": 1}
    verdicts = [line.split("|")[4].strip() for line in report.promises({"space": space}).splitlines()[2:]]
    assert verdicts == ["kept", "kept", "**missed**"]


def test_numbers_are_short():
    assert [report.number(value) for value in (0, 0.0123, 0.5, 12.34, 1234.5)] == [
        "0",
        "0.012",
        "0.50",
        "12.3",
        "1,234",
    ]


def test_exports_are_compared_as_multisets(tmp_path):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.write_text('{"id":1,"text":"a"}\n{"id":2,"text":"b","day":"2026-01-02"}\n{"id":3,"text":"c"}\n')
    theirs.write_text('{"text": "x", "id": 3}\n{"id":1,"text":"a"}\n{"id":2,"text":"b","day":"2026-01-02T00:00:00"}\n')
    found = pipeline.compare(ours, theirs)
    assert (found["only_ours"], found["only_theirs"], found["same_order"]) == (1, 1, False)
    assert found["examples_theirs"] == ["3: x"]
    assert found["other_columns_differ"] == 1


def test_a_changed_recipe_keeps_the_other_parameters(tmp_path):
    import yaml

    path = bench.Bench(tmp_path, bench.Options()).recipe("text_length_filter", min_len=5)
    steps = {name: params for step in yaml.safe_load(path.read_text())["process"] for name, params in step.items()}
    assert steps["text_length_filter"] == {"min_len": 5, "max_len": 12000}
    assert len(steps) == 8
