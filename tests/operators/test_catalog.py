"""The catalogue: names, parameters and keys, without an array library."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from forebay.errors import NotFoundError, RecipeError
from forebay.pipeline import catalog
from forebay.pipeline.operator import OperatorKind

ANSWERS = json.loads((Path(__file__).parent / "data_juicer.json").read_text("ascii"))


@pytest.mark.parametrize("name", catalog.names())
def test_parameters_and_defaults_are_those_of_data_juicer(name: str) -> None:
    own = {p.name: p for p in catalog.find(name).params}
    for parameter, default in ANSWERS["parameters"][name].items():
        assert own[parameter].default == own[parameter].check(default, name)


@pytest.mark.parametrize("name", catalog.names())
def test_defaults_are_canonical_and_classes_load(name: str) -> None:
    spec = catalog.find(name)
    use = spec.bind()
    defaults = {p.name: p.default for p in spec.params if p.in_key}
    assert spec.bind(defaults).key.digest == use.key.digest
    assert spec.doc.endswith(".")
    assert "\n" not in spec.doc
    operator = use.load()
    methods = {OperatorKind.MAPPER: ["map"], OperatorKind.FILTER: ["stats", "keep"]}
    assert all(callable(getattr(operator, method)) for method in methods.get(use.kind, ["summarise", "select"]))
    assert use.name == name
    assert not use.user


def test_planning_imports_no_array_library() -> None:
    code = (
        "import sys; from forebay.pipeline import catalog\n"
        "[catalog.find(n).bind() for n in catalog.names()]\n"
        "sys.exit(any(m in sys.modules for m in ('numpy', 'pyarrow', 'ftfy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_unknown_operator_names_the_nearest() -> None:
    with pytest.raises(NotFoundError, match="text_length_filter"):
        catalog.find("text_len_filter")
    with pytest.raises(
        NotFoundError, match=r"native operators: .*; a function of yours: mapper: {function: FILE.py:NAME}"
    ):
        catalog.find("zzz")
    with pytest.raises(NotFoundError, match=r"native operators: .*; a function of yours: filter: "):
        catalog.find("audio_duration_filter")  # of Data-Juicer, and no slip of word_repetition_filter


def test_the_docs_name_every_operator() -> None:
    docs = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text("utf-8")
    assert [name for name in catalog.names() if f"`{name}`" not in docs] == []


def test_unknown_parameter_names_the_nearest() -> None:
    with pytest.raises(RecipeError, match="text_length_filter has no parameter 'min_length'; did you mean min_len"):
        catalog.find("text_length_filter").bind({"min_length": 3})
    with pytest.raises(RecipeError, match="it takes text_key"):
        catalog.find("whitespace_normalization_mapper").bind({"qqq": 3})


@pytest.mark.parametrize(
    ("name", "params", "words"),
    [
        ("text_length_filter", {"min_len": "ten"}, "min_len must be a whole number, not 'ten'"),
        ("text_length_filter", {"min_len": True}, "min_len must be a whole number"),
        ("text_length_filter", {"min_len": 1.5}, "min_len must be a whole number"),
        ("text_length_filter", {"max_len": None}, None),
        ("alphanumeric_filter", {"min_ratio": float("nan")}, "min_ratio must be a number"),
        ("alphanumeric_filter", {"tokenization": True}, "tokenization by a model is not native"),
        ("alphanumeric_filter", {"reversed_range": 1}, "reversed_range must be true or false"),
        ("character_repetition_filter", {"rep_len": 0}, "rep_len must be at least 1"),
        ("clean_links_mapper", {"pattern": "("}, "not a regular expression"),
        ("clean_links_mapper", {"repl": r"\2"}, "not a replacement"),
        ("fix_unicode_mapper", {"normalization": "NFX"}, "NFC, NFKC, NFD, NFKD"),
        ("document_minhash_deduplicator", {"jaccard_threshold": 1.5}, "at most 1"),
        ("document_minhash_deduplicator", {"tokenization": "sentencepiece"}, "space, punctuation, character"),
        ("document_minhash_deduplicator", {"tokenizer_model": "x.model"}, "tokenization by a model is not native"),
        ("document_minhash_deduplicator", {"num_bands": 30, "num_rows_per_band": 10}, "more than num_permutations"),
        ("document_minhash_deduplicator", {"ignore_pattern": "["}, "ignore_pattern is not a regular expression"),
        ("topk_specified_field_selector", {"top_ratio": -1}, "at least 0"),
        ("specified_field_filter", {"target_value": {"a": 1}}, "target_value must be a list of values"),
        ("random_selector", {"index_key": "i"}, "no parameter 'index_key'"),
    ],
)
def test_wrong_parameters_are_refused(name: str, params: dict[str, object], words: str | None) -> None:
    if words is None:
        with pytest.raises(RecipeError, match="must be a whole number, not None"):
            catalog.find(name).bind(params)
        return
    with pytest.raises(RecipeError) as refused:
        catalog.find(name).bind(params)
    assert words in str(refused.value)
    assert name in str(refused.value)
    assert "\n" not in str(refused.value)


def _key(name: str, **params: object) -> str:
    return catalog.find(name).bind(params).key.digest


def test_execution_parameters_are_taken_and_leave_the_key_alone() -> None:
    plain = _key("text_length_filter", min_len=5)
    assert plain == _key("text_length_filter", min_len=5, num_proc=4, batch_size=10, mem_required="1GB")
    assert plain == _key("text_length_filter", min_len=5, work_dir="/somewhere", skip_op_error=True, turbo=True)
    assert plain == _key("text_length_filter", min_len=5.0)
    assert _key("alphanumeric_filter", min_ratio=1) == _key("alphanumeric_filter", min_ratio=1.0)
    assert _key("words_num_filter", lang="zh") == _key("words_num_filter")


def test_whatever_changes_the_result_changes_the_key() -> None:
    keys = [
        _key("text_length_filter"),
        _key("text_length_filter", min_len=5),
        _key("text_length_filter", text_key="body"),
        _key("text_length_filter", reversed_range=True),
        _key("text_length_filter", min_closed_interval=False),
        _key("maximum_line_length_filter"),
        _key("fix_unicode_mapper"),
        _key("fix_unicode_mapper", normalization="NFKC"),
        _key("clean_links_mapper", pattern="x"),
        _key("clean_email_mapper", pattern="x"),
    ]
    assert len(set(keys)) == len(keys)


def test_same_meaning_is_the_same_key() -> None:
    assert _key("fix_unicode_mapper", normalization="nfc") == _key("fix_unicode_mapper")
    assert _key("clean_links_mapper", pattern="r'ab'") == _key("clean_links_mapper", pattern="ab")
    assert _key("suffix_filter", suffixes=".md") == _key("suffix_filter", suffixes=[".md"])
    assert _key("document_minhash_deduplicator", ignore_pattern="") == _key("document_minhash_deduplicator")


def test_versions_of_what_an_operator_computes_with_are_in_its_key() -> None:
    def labels(name: str, **params: object) -> set[str]:
        return {part.label for part in catalog.find(name).bind(params).key.children}

    assert "ftfy" in labels("fix_unicode_mapper")
    assert "regex" in labels("clean_links_mapper", pattern="x")
    assert "regex" not in labels("clean_links_mapper")
    assert "unicode" in labels("alphanumeric_filter")
    assert "version" in labels("text_length_filter")


def test_a_missing_distribution_is_told_when_planning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if "site-packages" not in entry])
    message = r"fix_unicode_mapper needs ftfy, which is not installed; pip install 'forebay\[text\]'"
    with pytest.raises(RecipeError, match=message):
        catalog.find("fix_unicode_mapper").bind()
    with pytest.raises(RecipeError, match="parameter pattern of clean_links_mapper needs regex"):
        catalog.find("clean_links_mapper").bind({"pattern": "x"})
    catalog.find("clean_links_mapper").bind()


def test_columns_read_and_written() -> None:
    def columns(name: str, **params: object) -> tuple[object, object]:
        use = catalog.find(name).bind(params)
        return use.reads, use.writes

    assert columns("clean_links_mapper", text_key="body") == (("body",), ("body",))
    assert columns("text_length_filter", text_key="a.b") == (("a.b",), ())
    assert columns("specified_field_filter", field_key="meta.lang") == (("meta",), ())
    assert columns("specified_field_filter") == ((), ())
    assert columns("suffix_filter") == (("__dj__suffix__",), ())
    assert columns("random_selector") == ((), ())
    assert columns("document_deduplicator") == (("text",), ())
