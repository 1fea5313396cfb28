"""Recipes: Data-Juicer's schema, overrides, and errors that name key and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from forebay.errors import NotFoundError, RecipeError
from forebay.pipeline.recipes.recipe import Recipe

WHOLE = """\
project_name: demo
dataset_path: data/corpus.jsonl
export_path: out/clean.jsonl.zst
np: 3
text_keys: [content, title]
suffixes: jsonl
keep_stats_in_res_ds: true
on_bad_rows: skip
open_tracer: true
op_fusion: false
process:
  - whitespace_normalization_mapper
  - text_length_filter:
      min_len: 20
      max_len: 900
  - mapper: {function: "ops.py:clean"}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(text)
    return path


def test_reads_what_data_juicer_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = Recipe.load(write(tmp_path, WHOLE))
    assert recipe.project == "demo"
    assert recipe.dataset == (str(tmp_path / "data/corpus.jsonl"),)
    assert recipe.export is not None
    assert (recipe.export.path, recipe.export.format, recipe.export.compression) == (
        tmp_path / "out/clean.jsonl.zst", "jsonl", "zst",
    )  # fmt: skip
    assert recipe.export.keep_stats
    assert (recipe.processes, recipe.text_key, recipe.suffixes, recipe.on_bad_rows) == (
        3,
        "content",
        (".jsonl",),
        "skip",
    )
    assert [(step.name, dict(step.params), step.line) for step in recipe.steps] == [
        ("whitespace_normalization_mapper", {}, 12),
        ("text_length_filter", {"min_len": 20, "max_len": 900}, 13),
        ("mapper", {"function": "ops.py:clean"}, 16),
    ]


def test_keys_without_a_meaning_are_told_once_and_only_where_they_ask_for_something(tmp_path: Path) -> None:
    recipe = Recipe.load(write(tmp_path, WHOLE))
    assert recipe.notes == ("recipe keys without a meaning here, ignored: open_tracer",)


def test_keys_of_data_juicer_that_are_not_followed_here(tmp_path: Path) -> None:
    recipe = Recipe.load(write(tmp_path, "dataset_path: a\nload_jsonl_lenient: true\nwork_dir: x\nuse_dag: null\n"))
    assert recipe.on_bad_rows == "skip"
    assert recipe.notes == ("recipe keys without a meaning here, ignored: work_dir",)
    text = "dataset_path: a\nload_jsonl_lenient: true\non_bad_rows: error\nencrypt_before_export: false\n"
    assert Recipe.load(write(tmp_path, text)).on_bad_rows == "error"
    with pytest.raises(RecipeError, match=r"recipe.yaml:2: encrypt_before_export is not done here; encrypt the export"):
        Recipe.load(write(tmp_path, "dataset_path: a\nencrypt_before_export: true\n"))


def test_relative_paths_start_from_the_working_folder_not_the_recipes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "recipes").mkdir()
    monkeypatch.chdir(tmp_path)
    recipe = Recipe.load(write(tmp_path / "recipes", "dataset_path: a.jsonl\n"))
    assert recipe.dataset == (str(tmp_path / "a.jsonl"),)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("dataset_path: a\nproces: []\n", r"recipe.yaml:2: unknown key 'proces'; did you mean process\?"),
        ("dataset_path: a\nnp: many\n", r"recipe.yaml:2: np must be a whole number from 1, not 'many'"),
        ("dataset_path: a\nnp: 0\n", "np must be a whole number from 1"),
        ("dataset_path: a\nshard_bytes: 1\n", "shard_bytes must be a whole number from 2"),
        ("dataset_path: a\non_bad_rows: drop\n", "on_bad_rows must be error or skip"),
        ("dataset_path: a\nprocess: x\n", "process must be a list"),
        ("dataset_path: a\nprocess:\n  - a: {}\n    b: {}\n", r"recipe.yaml:3: operator 1 is neither a name nor one"),
        ("dataset_path: a\nprocess:\n  - a: 3\n", "parameters of a must be"),
        ("export_path: x.jsonl\n", "no dataset"),
        ("dataset_path: a\nexport_path: x.csv\n", "cannot tell the format of export_path"),
        ("dataset_path: a\nexport_path: x.jsonl\nexport_type: parquet\n", "does not fit export_path x.jsonl"),
        ("dataset_path: a\nexport_path: x.jsonl\nexport_type: excel\n", "cannot export to 'excel'"),
        ("dataset: {configs: [{type: remote, path: a}]}\n", "dataset type 'remote' cannot be read"),
        ("dataset: {configs: [{type: local}]}\n", "a dataset without a path"),
        ("- a\n", "a recipe is a mapping"),
        ("a: [\n", r"recipe.yaml:2: not YAML"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(RecipeError, match=says):
        Recipe.load(write(tmp_path, text))


def test_a_recipe_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no such recipe"):
        Recipe.load(tmp_path / "nowhere.yaml")


def test_dataset_configs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = Recipe.from_mapping({"dataset": {"configs": [{"type": "local", "path": "a.jsonl"}, {"path": ["b", "c"]}]}})
    assert [Path(path).name for path in recipe.dataset] == ["a.jsonl", "b", "c"]
    assert recipe.project == "hello_world"


class TestOverrides:
    def test_by_position_and_by_name(self, tmp_path: Path) -> None:
        path = write(tmp_path, WHOLE)
        recipe = Recipe.load(path, ["process.1.text_length_filter.min_len=30", "np=1", "project_name=other"])
        assert recipe.steps[1].params["min_len"] == 30
        assert (recipe.processes, recipe.project) == (1, "other")
        by_name = Recipe.load(path, ["process.text_length_filter.text_length_filter.min_len=30"])
        assert by_name.steps == recipe.steps
        short = Recipe.load(path, ["process.text_length_filter.min_len=30"])
        assert short.steps == recipe.steps

    def test_a_bare_name_gets_parameters(self, tmp_path: Path) -> None:
        recipe = Recipe.load(
            write(tmp_path, WHOLE), ["process.0.whitespace_normalization_mapper.text_key=title", "export_path="]
        )
        assert dict(recipe.steps[0].params) == {"text_key": "title"}
        assert recipe.export is None

    @pytest.mark.parametrize(
        ("value", "project"),
        [("my data #1", "my data #1"), (" a ", "a"), ("'a #1' # why", "a #1"), ("a: #1", None), ("a\udce9", "a\udce9")],
    )
    def test_a_plain_text_ends_in_no_comment(self, tmp_path: Path, value: str, project: str | None) -> None:
        override = f"project_name={value}"
        if project is None:  # a mapping, with a comment
            with pytest.raises(RecipeError, match="project_name"):
                Recipe.load(write(tmp_path, WHOLE), [override])
        else:
            assert Recipe.load(write(tmp_path, WHOLE), [override]).project == project

    @pytest.mark.parametrize(
        ("override", "says"),
        [
            ("np", "not an override"),
            ("process.9.x=1", "no item '9' in a list of 3"),
            ("np.x=1", "nothing can be set there"),
            ("project_name.x.y=1", "does not lead to"),
            ("np=[", "not YAML"),
            ("nq=2", "unknown key 'nq'"),
        ],
    )
    def test_what_leads_nowhere(self, tmp_path: Path, override: str, says: str) -> None:
        with pytest.raises(RecipeError, match=says):
            Recipe.load(write(tmp_path, WHOLE), [override])

    @pytest.mark.parametrize(
        "dataset",
        [
            {"configs": [{"type": "local", "path": "a", "weight": 0.5}]},
            {"configs": [{"type": "local", "path": "a"}], "max_sample_num": 10},
        ],
    )
    def test_a_share_of_a_dataset_does_not_become_all_of_it(self, dataset: dict[str, object]) -> None:
        with pytest.raises(RecipeError, match=r"has no meaning here; a dataset is read whole"):
            Recipe.from_mapping({"dataset": dataset})
        whole = {"configs": [{"type": "local", "path": "a", "weight": 1.0}], "max_sample_num": None}
        assert [Path(path).name for path in Recipe.from_mapping({"dataset": whole}).dataset] == ["a"]

    def test_a_dataset_elsewhere_is_told_by_its_name(self) -> None:
        assert Recipe.from_mapping({"dataset_path": "hf://datasets/a/b"}).dataset == ("hf://datasets/a/b",)

    def test_a_name_that_two_operators_bear(self) -> None:
        steps = [{"mapper": {"function": "a"}}, "document_deduplicator", {"mapper": {"function": "b"}}]
        values = {"dataset_path": "x", "process": steps}
        with pytest.raises(RecipeError, match="2 items are 'mapper'; say which by its number, from 0: 0, 2"):
            Recipe.from_mapping(values, ["process.mapper.function=c"])
        assert Recipe.from_mapping(values, ["process.2.mapper.function=c"]).steps[2].params == {"function": "c"}


def test_the_recipe_of_the_benchmark_is_read() -> None:
    found = sorted((Path(__file__).parents[2] / "benchmarks").glob("*.yaml"))
    for path in found:
        assert Recipe.load(path, ["dataset_path=x"]).steps
