"""evalscope's benchmarks, read from what the program says of itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from forebay.config import resolve as settings
from forebay.errors import NotFoundError
from forebay.integrations import evalscope
from forebay.integrations.harness import Harness
from forebay.integrations.tasks import Load, TaskNeeds
from forebay.store import Store

ADAPTER = """
raise SystemExit("benchmark code was run")
from nltk import download


@register_benchmark(
    BenchmarkMeta(
        name="shaped",
        dataset_id="org/shaped",
        hf_dataset_id="Org/Shaped",
        dataset_revision="v3",
        default_subset="all",
    )
)
class Shaped(Base):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.reformat_subset = True

    def score(self):
        download("punkt_tab")
"""


def described(id: str, subsets: list[str], **more: Any) -> str:  # noqa: A002
    meta = {"dataset_id": id, "subset_list": subsets, "eval_split": "test", "train_split": "dev", "few_shot_num": 0}
    return json.dumps({"meta": meta | more})


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    folder = tmp_path / "site" / "evalscope"
    described_by_name = {
        "plain": described("org/plain", ["default"]),
        "many": described("org/many", ["a", "b"], few_shot_num=5),
        "shaped": described("org/shaped", ["x", "y"]),
        "own": described("own", ["default"]),
        "far": described("https://github.com/org/far", ["default"]),
        "local": described("org/local", ["default"], requires_local_dataset=True),
        "torn": '{"meta": ',
    }
    files = {f"benchmarks/_meta/{name}.json": text for name, text in described_by_name.items()}
    files |= {"__init__.py": "raise SystemExit", "benchmarks/shaped/shaped_adapter.py": ADAPTER}
    files["benchmarks/_index.json"] = json.dumps({"shaped": "evalscope.benchmarks.shaped.shaped_adapter"})
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return evalscope.find(folder)


def needs(harness: Harness, name: str, **more: Any) -> TaskNeeds:
    (found,) = evalscope.resolve([name], harness, **more).tasks
    return found


def test_subsets_and_splits(harness: Harness) -> None:
    assert needs(harness, "plain").loads == (Load("org/plain", None, {}, ("test",), "ms"),)
    assert needs(harness, "many").loads == tuple(Load("org/many", name, {}, ("test", "dev"), "ms") for name in "ab")


def test_the_text_of_the_adapter_tells_the_rest(harness: Harness) -> None:
    found = needs(harness, "shaped")
    assert found.loads == (Load("org/shaped", "all", {"revision": "v3"}, ("test",), "ms"),)
    assert found.nltk == ("punkt_tab",)
    assert needs(harness, "shaped", hub="hf").loads[0].path == "Org/Shaped"


@pytest.mark.parametrize(
    ("name", "why"), [("own", "own"), ("far", "github"), ("local", "own"), ("torn", "cannot be read")]
)
def test_what_cannot_be_fetched_is_told(harness: Harness, name: str, why: str) -> None:
    found = needs(harness, name)
    assert not found.loads
    assert why in found.gaps[0].why


def test_references_are_modelscopes(harness: Harness) -> None:
    closure = evalscope.resolve(["many", "plain"], harness)
    assert [str(want.reference) for want in closure.wants] == [
        "ms://datasets/org/many#a",
        "ms://datasets/org/many#b",
        "ms://datasets/org/plain",
    ]


def test_patterns_and_unknown_names(harness: Harness) -> None:
    assert {task.name for task in evalscope.resolve(["*a*"], harness).tasks} == {
        "far",
        "local",
        "many",
        "plain",
        "shaped",
    }
    with pytest.raises(NotFoundError, match="did you mean plain"):
        evalscope.resolve(["plane"], harness)


def test_answers_are_remembered_by_hub(harness: Harness, tmp_path: Path) -> None:
    with Store.open(settings(home=tmp_path / "store")) as store:
        first = evalscope.resolve(["shaped"], harness, store)
        assert evalscope.resolve(["shaped"], harness, store) == first
        assert evalscope.resolve(["shaped"], harness, store, "hf") != first
        assert sum(1 for _ in store.entries(kind="tasks")) == 2


def test_the_real_one(client_environment: Callable[[str], Path]) -> None:
    found = evalscope.find(client_environment("evalscope"))
    closure = evalscope.resolve(["*"], found)
    tasks = {task.name: task for task in closure.tasks}
    assert len(tasks) == len(list((found.folder / "benchmarks" / "_meta").glob("*.json")))
    assert len(tasks["ceval"].loads) == 52
    assert tasks["gsm8k"].loads[0].name == "main"
    assert tasks["ifeval"].nltk
    assert all(task.loads or task.gaps for task in tasks.values())
