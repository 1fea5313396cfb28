"""lm-eval's tasks, read without running them: against the harness's own recorded answers, and shape by shape."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from made_harness import ASKED, make

from forebay.config import resolve as settings
from forebay.errors import NotFoundError
from forebay.integrations import lm_eval, task_names
from forebay.integrations.harness import Harness
from forebay.integrations.lm_tasks import Tasks
from forebay.integrations.tasks import Closure, Load, Metric, TaskNeeds
from forebay.store import Store

RECORDED = json.loads((Path(__file__).parent / "recorded.json").read_text("utf-8"))
KINDS = {"task": "TASK", "class": "PY_TASK", "group": "GROUP", "tag": "TAG"}


def needs(harness: Harness, name: str) -> TaskNeeds:
    (found,) = lm_eval.resolve([name], harness).tasks
    return found


def texts(closure: Closure) -> list[str]:
    return [f"{want.reference} {' '.join(want.patterns)}".strip() for want in closure.wants]


def test_names_are_those_that_the_harness_finds(harness: Harness) -> None:
    folder = harness.folder / "tasks"
    found = {
        name: [KINDS[named.kind], named.file.relative_to(folder).as_posix() if named.file else None]
        for name, named in Tasks(harness).names.items()
    }
    # the harness parses every file, and so leaves this one out; here it is met when it is asked for
    assert found.pop("broken_task") == ["TASK", "plain/broken.yaml"]
    assert "cannot read it" in str(needs(harness, "broken_task").gaps[0])
    assert found == {name: row[:2] for name, row in RECORDED["names"].items()}
    tags = {name: sorted(each.members) for name, each in Tasks(harness).names.items() if each.kind == "tag"}
    assert tags == {name: row[2] for name, row in RECORDED["names"].items() if row[0] == "TAG"}


@pytest.mark.parametrize("asked", ASKED)
def test_tasks_load_what_the_harness_would(harness: Harness, asked: str) -> None:
    compare(Tasks(harness), asked, RECORDED["asked"][asked])


def compare(tasks: Tasks, asked: str, theirs: dict[str, Any]) -> None:
    """Hold what a name stands for against what the harness noted for it."""
    ours = dict(tasks.expand(asked))
    assert ours.keys() == theirs.keys()
    for name, told in theirs.items():
        found = tasks.needs(name, ours[name])
        if told["code"]:
            continue
        metrics = {metric.name for metric in found.metrics}
        assert metrics >= set(told["hf_metrics"]) or ours[name].get("process_results"), name  # pyright: ignore
        if not found.loads:
            assert any((told["path"] or "") in gap.what for gap in found.gaps), name
            continue
        plain = [(load.path, load.name, dict(load.options), sorted(load.splits)) for load in found.loads]
        row = (
            told["path"],
            told["name"] if told["name"] is None else str(told["name"]),
            told["options"],
            told["splits"],
        )
        assert row in plain, name


def test_functions_are_read_as_far_as_they_reach(harness: Harness) -> None:
    found = needs(harness, "scored")
    assert found.metrics == (Metric("rouge"),)  # not bleu, for the function computes; not bleurt, for nobody calls it
    assert found.nltk == ("punkt_tab",)  # not words, which only a script would want
    assert [load.path for load in found.loads] == ["org/scored"]
    assert not found.gaps


def test_metrics_are_those_that_the_harness_has_not(harness: Harness) -> None:
    assert needs(harness, "metrics").metrics == (Metric("rouge"), Metric("exact_match"), Metric("chrf"))


@pytest.mark.parametrize(
    ("task", "loads", "gaps"),
    [
        ("makes", [], ["custom_dataset code/utils.make", "code/utils.py", "code/utils.py"]),
        ("plainly", [Load("org/told", "sub", splits=("train",))], []),
        ("of_class", [Load("org/class", "cls")], []),
        ("of_own_class", [], ["class code/utils.Own"]),
        ("near_files", [], ["dataset csv"]),
        ("local_path", [], ["dataset /data/mine"]),
        ("bare_name", [], ["dataset xnli"]),
    ],
)
def test_what_cannot_be_known_is_told(harness: Harness, task: str, loads: list[Load], gaps: list[str]) -> None:
    found = needs(harness, task)
    assert list(found.loads) == loads
    assert [gap.what for gap in found.gaps] == gaps
    assert all(gap.why for gap in found.gaps)


@pytest.mark.parametrize(
    ("told", "gap"),
    [
        ("task: odd\ndataset_path: a/b\ndataset_kwargs: {revision: 2024-01-01}\n", "revision holds more than text"),
        ("task: odd\ndataset_path: a/b\ndataset_kwargs: {data_files: !function u.f}\n", "data_files holds more"),
        ("task: odd\ndataset_path: a/b\ndataset_kwargs: {data_files: {1: a, b: c}}\n", "data_files holds more"),
        ("task: odd\ndataset_path: a/b\ndataset_kwargs: {1: a}\n", "1 is not the name of an argument"),
        ("task: odd\ndataset_path: a/b\ndataset_kwargs: 'split: x'\n", "is no mapping"),
        ("group: odd\ntask: [odd]\n", "is a member of itself"),
        ("group: odd\ntask: [{group: odd, num_fewshot: 1}]\n", "is a member of itself"),
        ("group: odd\ntask: [plain_tsk]\n", "'plain_tsk' that is no task, group or tag; did you mean plain_task"),
    ],
)
def test_what_is_wrong_in_a_file_is_a_gap_of_its_tasks_alone(
    harness: Harness, tmp_path: Path, told: str, gap: str
) -> None:
    (tmp_path / "odd.yaml").write_text(told)
    closure = lm_eval.resolve(["odd", "plain_task"], harness, include=[tmp_path])
    assert [load.path for load in closure.loads] == ["org/plain"]
    assert [gap in str(each) for each, _ in closure.gaps] == [True]


def test_a_group_may_be_met_twice_and_a_function_may_take_anything(harness: Harness, tmp_path: Path) -> None:
    (tmp_path / "twice.yaml").write_text("group: twice\ntask: [inner, inner]\n")
    (tmp_path / "inner.yaml").write_text("group: inner\ntask: [plain_task]\n")
    assert not lm_eval.resolve(["twice", "inner"], harness, include=[tmp_path]).gaps
    (tmp_path / "made.yaml").write_text(
        "task: made\ncustom_dataset: !function u.f\ndataset_kwargs: {day: 2024-01-01}\n"
    )
    (tmp_path / "u.py").write_text("import datasets\ndef f(**k): return datasets.load_dataset('org/told')\n")
    assert [load.path for load in lm_eval.resolve(["made"], harness, include=[tmp_path]).loads] == ["org/told"]


def test_a_gap_names_what_the_code_names(harness: Harness) -> None:
    made = needs(harness, "makes").gaps[0]
    assert "org/chosen" in str(made)


def test_wants_are_each_thing_once(harness: Harness) -> None:
    closure = lm_eval.resolve(["far_files", "files_within", "scored", "family"], harness)
    assert texts(closure) == [
        "hf://datasets/org/family#one",
        "hf://datasets/org/family@v2#overridden",
        "hf://datasets/org/files data/part-*.jsonl",
        "hf://datasets/org/inline",
        "hf://datasets/org/plain",
        "hf://datasets/org/scored",
        "hf://datasets/org/within README.md dataset_infos.json .huggingface.yaml a/x.json",
        "hf://spaces/evaluate-metric/rouge",
        "https://host.example/train.jsonl",
        "https://raw.githubusercontent.com/nltk/nltk_data/gh-pages/packages/tokenizers/punkt_tab.zip",
    ]
    assert closure.wants[4].tasks == ("plain_task",)


def test_patterns_files_and_own_folders(harness: Harness, tmp_path: Path) -> None:
    assert {task.name for task in lm_eval.resolve(["family_*"], harness).tasks} >= {"family_one", "family_two"}
    own = tmp_path / "own.yaml"
    own.write_text("task: my_own\ndataset_path: org/own\ntest_split: test\n")
    assert [load.path for load in lm_eval.resolve([str(own)], harness).loads] == ["org/own"]
    (tmp_path / "plain.yaml").write_text("task: plain_task\ndataset_path: org/mine\n")
    closure = lm_eval.resolve(["plain_task", "my_own"], harness, include=[tmp_path])
    assert [load.path for load in closure.loads] == ["org/mine", "org/own"] or [
        load.path for load in closure.loads
    ] == ["org/own", "org/mine"]


@pytest.mark.parametrize(("name", "hint"), [("plain_tsk", "plain_task"), ("x" * 40, "knows"), ("zzz*", "knows")])
def test_unknown_names_say_what_was_meant(harness: Harness, name: str, hint: str) -> None:
    with pytest.raises(NotFoundError, match=hint):
        lm_eval.resolve(["plain_task", name], harness)


def test_a_folder_of_tasks_that_is_not_there(harness: Harness, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no folder .*absent; --include-path"):
        lm_eval.resolve(["plain_task"], harness, include=[tmp_path / "absent"])
    (tmp_path / "own.yaml").write_text("task: own\n")
    with pytest.raises(NotFoundError, match=r"own\.yaml is no folder"):
        lm_eval.resolve(["own"], harness, include=[tmp_path / "own.yaml"])


def answered(harness: Harness, store: Store, asked: Sequence[str]) -> Closure:
    return lm_eval.resolve(asked, harness, store)


OWN = {
    "kwargs": ("task: kwargs\ndataset_path: json\ndataset_kwargs: text\n", "dataset_kwargs 'text': is no mapping"),
    "circle": ("group: circle\ntask: [around]\n", "group circle: is a member of itself"),
    "around": ("group: around\ntask:\n- group: circle\n", "group around: is a member of itself"),
    "one": ("group: one\ntask: plain_task\n", "group one: names no list of tasks"),
}
UNREAD = {
    "lost": ("include: nowhere\ntask: lost\n", "lost.yaml is there, but cannot be used: .*nowhere"),
    "round": ("include: round.yaml\ntask: round\n", "round.yaml is there, but cannot be used: include cycle"),
}


def test_what_is_wrong_with_tasks_of_ones_own_is_told(harness: Harness, tmp_path: Path) -> None:
    for name, (text, _) in {**OWN, **UNREAD}.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    for name, (_, told) in OWN.items():
        (found,) = lm_eval.resolve([name], harness, None, [tmp_path]).tasks
        assert str(found.gaps[0]).startswith(told)
    for name, (_, told) in UNREAD.items():
        with pytest.raises(NotFoundError, match=told):
            lm_eval.resolve([name], harness, None, [tmp_path])


def test_answers_are_remembered_until_a_file_changes(tmp_path: Path) -> None:
    harness = lm_eval.find(make(tmp_path / "site"))
    with Store.open(settings(home=tmp_path / "store")) as store:
        first = answered(harness, store, ["family", "scored"])
        kept = {entry.key for entry in store.entries(kind="tasks")}
        assert len(kept) == 2  # the names, and the answer
        assert answered(harness, store, ["family", "scored"]) == first
        assert {entry.key for entry in store.entries(kind="tasks")} == kept
        assert answered(harness, store, ["plain_task"]).tasks[0].loads[0].path == "org/plain"
        path = harness.folder / "tasks" / "plain" / "plain.yaml"
        before = path.stat()
        path.write_text(path.read_text("utf-8").replace("org/plain", "org/other"), "utf-8")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
        assert answered(harness, store, ["plain_task"]).tasks[0].loads[0].path == "org/other"


BESIDE = {
    "base": "tag: mine\ndataset_path: org/old\nprocess_docs: !function code.f\n",
    "code.py": "from .more.deep import load\nf = load\n",
    "more/deep.py": "import datasets\ndef load(docs): return datasets.load_dataset('org/old2')\n",
}


@pytest.mark.parametrize(("name", "old"), [("base", "org/old"), ("more/deep.py", "org/old2"), ("base", "tag: mine")])
def test_files_outside_of_the_folders_of_tasks_count_too(tmp_path: Path, name: str, old: str) -> None:
    harness = lm_eval.find(make(tmp_path / "site"))
    for each, text in BESIDE.items():
        (tmp_path / "shared" / each).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "shared" / each).write_text(text)
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "own.yaml").write_text("include: ../shared/base\ntask: own\n")
    (tmp_path / "tasks" / "two.yaml").write_text("tag: mine\ntask: two\ndataset_path: org/two\n")

    def told() -> str:
        with Store.open(settings(home=tmp_path / "store")) as store:
            return str(lm_eval.resolve(["own", "mine"], harness, store, [tmp_path / "tasks"]))

    first = told()
    assert told() == first
    with Store.open(settings(home=tmp_path / "store")) as store:
        assert len(list(store.entries(kind="tasks"))) == 2
    path = tmp_path / "shared" / name
    path.write_text(path.read_text().replace(old, f"{old}-new"))
    assert told() != first
    (tmp_path / "shared" / "base").unlink()
    with pytest.raises(NotFoundError):
        told()


def test_a_damaged_answer_is_made_anew(tmp_path: Path) -> None:
    harness = lm_eval.find(make(tmp_path / "site"))
    with Store.open(settings(home=tmp_path / "store")) as store:
        first = answered(harness, store, ["family"])
    for path in (tmp_path / "store").rglob("*"):
        if path.is_file() and b"org/family" in path.read_bytes():
            path.chmod(0o600)
            path.write_bytes(path.read_bytes().replace(b"org/family", b"org/famiLy"))
    with Store.open(settings(home=tmp_path / "store")) as store:
        assert answered(harness, store, ["family"]) == first


def test_a_closure_survives_json(harness: Harness) -> None:
    closure = lm_eval.resolve(["family", "scored", "makes"], harness)
    assert Closure.from_json(json.loads(json.dumps(closure.to_json()))) == closure


@pytest.mark.parametrize("value", ["yes", "12", "a: b", "[a]", "*ref", "!!str x", "'it''s'", '"tab\\t"', ""])
def test_odd_names_are_left_to_the_parser(tmp_path: Path, value: str) -> None:
    """Whatever the text, the answer is the one that parsing the whole file gives."""
    import yaml

    (tmp_path / "odd.yaml").write_text(f"anchor: &ref named\ntask: {value}\n")
    try:
        told = yaml.safe_load((tmp_path / "odd.yaml").read_text())["task"]
    except yaml.YAMLError:
        told = None
    assert set(task_names.build([tmp_path])) == ({told} if isinstance(told, str) else set())
