"""`forebay fetch --lm-eval` and `forebay check`, against a hub that has most of what the made harness wants."""

from __future__ import annotations

import io
import json
import sys
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner
from made_hub import Call

from forebay.cli.app import forebay
from forebay.testing import FakeHub, Repository


def fetched(hub: FakeHub) -> set[str]:
    return {each.path.partition("/resolve/")[2].partition("/")[2] for each in hub.log if "/resolve/" in each.path}


def test_fetch_takes_what_the_tasks_load_and_no_more(hub: FakeHub, call: Call) -> None:
    done = call("fetch", "--lm-eval", "plain_task,family_one")
    assert fetched(hub) == {
        "README.md", "default/train.parquet", "default/validation.parquet", "one/test.parquet", "one/dev.parquet",
    }  # fmt: skip
    assert "complete" in done.stdout
    before = len(hub.log)
    call("fetch", "--lm-eval", "plain_task,family_one")
    assert len(hub.log) == before
    hub.die()
    call("fetch", "--offline", "--lm-eval", "plain_task,family_one")


def test_fetch_tells_what_will_be_missing(hub: FakeHub, call: Call) -> None:
    done = call("fetch", "--lm-eval", "family,bare_name,scored,shots", code=1)
    for part in (
        "family_two: hf://datasets/org/family@v2",
        "made_here: hf://datasets/org/inline",
        "xnli: no namespace",
        "org/scored",
        "rouge",
        "punkt_tab",
        "has no split dev",
    ):
        assert part in done.stderr, part
    assert "gaps" in done.stdout
    assert "one/test.parquet" in fetched(hub)  # the rest is fetched all the same


def test_fetch_as_json(hub: FakeHub, call: Call) -> None:
    done = call("fetch", "--json", "--lm-eval", "far_files,metrics", code=1)
    (told,) = json.loads(done.stdout)["harnesses"]
    rows = {row["task"]: row for row in told["tasks"]}
    assert told["complete"] is False
    assert rows["far_files"]["repositories"][0]["files"] == 2
    assert {each["what"] for each in rows["far_files"]["missing"]} == {"https://host.example/train.jsonl"}
    assert rows["metrics"]["metrics"] == ["rouge", "exact_match", "chrf"]
    assert hub.count("*/revision/v0.4.6") >= 1  # what `evaluate` will ask for first is known to be absent


def test_fetch_without_anything_and_unknown_names(call: Call) -> None:
    call("fetch", "--lm-eval", " , ", code=2)
    assert "did you mean plain_task" in call("fetch", "--lm-eval", "plain_tsk", code=2).stderr


def test_a_dead_hub_is_an_error(hub: FakeHub, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOREBAY_TIMEOUT_SECONDS", "1")
    hub.die()
    assert "cannot reach" in call("fetch", "--lm-eval", "plain_task", code=1).stderr


def test_check_loads_everything_offline(hub: FakeHub, call: Call) -> None:
    pytest.importorskip("datasets")
    call("fetch", "--quiet", "--lm-eval", "plain_task,family_one")
    hub.die()
    done = call("check", "--lm-eval", "plain_task,family_one")
    assert "2 of 2 load without network" in done.stdout
    assert "forebay fetch" not in done.stdout
    done = call("check", "--json", "--lm-eval", "plain_task,scored,bare_name", code=1)
    (told,) = json.loads(done.stdout)["harnesses"]
    tried = {row["what"]: row for row in told["tried"]}
    assert tried["org/plain [train, validation]"]["rows"] == 6
    assert tried["org/scored [test]"]["error"]
    assert tried["NLTK punkt_tab"]["tasks"] == ["scored"]
    assert [row["what"] for row in told["unknown"]] == ["dataset xnli"]
    assert "HfUriError" in told["unknown"][0]["why"]


def test_what_fails_alike_is_told_once(hub: FakeHub, call: Call) -> None:
    pytest.importorskip("datasets")
    call("fetch", "--quiet", "--lm-eval", "plain_task")
    lines = call("check", "--lm-eval", "plain_task,scored,outer", code=1).stdout.splitlines()
    assert any(line.startswith("missing  org/scored [test], for scored: ") for line in lines)
    alike = [line for line in lines if line.startswith("missing  org/family#")]
    assert len(alike) == 1  # they fail alike, for the store has nothing of that repository
    assert " more, for family_" in alike[0]
    assert "`forebay fetch` with the same options brings" in lines[-1]


def test_check_finds_nothing_in_what_another_task_has_left(hub: FakeHub, call: Call, tmp_path: Path) -> None:
    """The datasets library takes another revision's Arrow from its cache where it is refused one."""
    pytest.importorskip("datasets")
    told = "task: {0}\ndataset_path: org/plain\ntest_split: train\ndataset_kwargs: {{revision: {1}}}\n"
    for name, revision in (("early", "main"), ("gone", "v9")):
        (tmp_path / f"{name}.yaml").write_text(told.format(name, revision))
    of_mine = ("--lm-eval", "early,gone", "--include-path", str(tmp_path))
    assert "no revision 'v9'" in call("fetch", *of_mine, code=1).stderr
    done = call("check", "--workers", "1", *of_mine, code=1)
    assert "1 of 2 load without network" in done.stdout
    assert "for gone" in done.stdout


def test_check_loads_what_is_gated(hub: FakeHub, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has fetched it may have it, also where the hub cannot be asked whose token that is."""
    pytest.importorskip("datasets")
    hub.shelf.users = {"tok": "me"}
    plain = next(each for each in hub.shelf.repositories if each.id == "org/plain")
    plain.gated, plain.readers = "manual", {"me"}
    monkeypatch.setenv("HF_TOKEN", "tok")
    call("fetch", "--quiet", "--lm-eval", "plain_task")
    hub.die()
    assert "1 of 1 load without network" in call("check", "--lm-eval", "plain_task").stdout
    monkeypatch.delenv("HF_TOKEN")
    assert "1 of 1 load without network" in call("check", "--lm-eval", "plain_task").stdout


def test_check_needs_an_interpreter_and_tasks(environment: Path) -> None:
    folder = next(environment.glob("lib/python3*/site-packages/lm_eval"))
    done = CliRunner().invoke(forebay, ["check", "--lm-eval", "plain_task", "--python", str(folder)])
    assert (done.exit_code, "no interpreter" in done.stderr) == (2, True)
    assert CliRunner().invoke(forebay, ["check"]).exit_code == 2


def test_nltk_data_come_along(hub: FakeHub, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a place of one's own, through the store, to where a program in `forebay exec` looks."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("punkt_tab/english/abbrev_types.txt", "dr")
    hub.shelf.add(Repository("nltk/data", files={"tokenizers/punkt_tab.zip": target.getvalue()}))
    monkeypatch.setenv("FOREBAY_NLTK_SOURCE", f"{hub.hf_endpoint}/datasets/nltk/data/resolve/main")
    call("fetch", "--quiet", "--lm-eval", "scored", code=1)  # it wants more than that
    hub.die()
    seen = tmp_path / "seen"
    code = f"import os, shutil; shutil.copytree(os.environ['NLTK_DATA'].split(':')[0], {str(seen)!r})"
    done = CliRunner().invoke(forebay, ["exec", "--offline", "--quiet", "--", sys.executable, "-c", code])
    assert done.exit_code == 0, done.output
    assert (seen / "tokenizers" / "punkt_tab" / "english" / "abbrev_types.txt").read_text() == "dr"
    told = json.loads(CliRunner().invoke(forebay, ["env", "--json"]).stdout)
    folders = [Path(told["NLTK_DATA"].split(":")[0]), tmp_path / "mine"]
    assert f"NLTK_DATA={folders[1]}" in CliRunner().invoke(forebay, ["env", "--nltk-data", str(folders[1])]).stdout
    for folder in folders:  # it stays
        assert (folder / "tokenizers" / "punkt_tab" / "english" / "abbrev_types.txt").read_text() == "dr"
    unfit = CliRunner().invoke(forebay, ["env", "--nltk-data", "/dev/null/x"])
    assert (unfit.exit_code, len(unfit.stderr.splitlines())) == (2, 1)


def test_env_without_nltk_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NLTK_DATA", raising=False)
    monkeypatch.setenv("FOREBAY_HOME", str(tmp_path / "none"))
    assert "NLTK_DATA" not in CliRunner().invoke(forebay, ["env"]).stdout
    assert not (tmp_path / "none").exists()
