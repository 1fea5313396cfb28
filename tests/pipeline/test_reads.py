"""Files that a user's function reads, named in the recipe: their content is part of the key."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import Any

import pytest
from pipeline_support import Bench

from forebay.errors import RecipeError, SourceError
from forebay.fingerprint import digests
from forebay.pipeline import Recipe, explain
from forebay.pipeline.recipes.chain import bind
from forebay.pipeline.recipes.named_files import NamedFiles

STOP = """
from pathlib import Path

class Stop:
    def __init__(self, path):
        self.words = Path(path).read_text().split()

    def __call__(self, row):
        return {"n": sum(word in row["text"] for word in self.words)}
"""


@pytest.fixture
def reading(bench: Bench) -> Bench:
    (bench.folder / "ops.py").write_text(STOP)
    (bench.folder / "words.txt").write_text("river")
    return bench


def run_one(bench: Bench, step: object) -> list[dict[str, Any]]:
    bench.steps = [step]
    bench.run()
    return bench.exported()


def use(bench: Bench, **options: Any) -> dict[str, Any]:
    return {"mapper": {"function": "ops.py:Stop", "init": {"path": str(bench.folder / "words.txt")}, **options}}


def test_their_content_is_part_of_the_key(reading: Bench) -> None:
    step = use(reading, files=["words.txt"])
    first = run_one(reading, step)
    assert reading.told() == []
    assert reading.run().no_op
    (reading.folder / "words.txt").write_text("dam")
    second = run_one(reading, step)
    assert [row["n"] for row in second] == [int("dam" in row["text"]) for row in reading.rows]
    assert first != second
    with reading.open() as store:
        assert explain(store, "test") == ["operator 1 Stop: files: words.txt changed"]


CHANGING = """
import os, pathlib, time

class Words:
    def __init__(self, path):
        self.path = pathlib.Path(path)

    def __call__(self, row):
        content = self.path.read_text() if self.path.is_file() else "gone"
        if os.environ.get("SPOIL") == str(row["id"]) and content == "river":
            self.spoil()
        return {"n": content in row["text"]}

    def spoil(self):
        %s
"""


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize(
    "spoil",
    [
        'self.path.write_text("dam")',
        'self.path.write_text("other")',  # of the same size
        "self.path.unlink()",
        'new = self.path.with_name("new"); new.write_text("other"); os.utime(new, (1, 1)); new.rename(self.path)',
    ],
)
def test_one_that_changes_while_the_run_goes_on(
    reading: Bench, spoil: str, processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows which content a result has seen by then: nothing of it may be found under the key of the old one."""
    (reading.folder / "ops.py").write_text(CHANGING % spoil)
    path = reading.folder / "words.txt"
    options = {"function": "ops.py:Words", "init": {"path": str(path)}, "files": ["words.txt"]}
    reading.steps = [{"mapper": options}]
    monkeypatch.setenv("SPOIL", str(reading.rows[len(reading.rows) // 2]["id"]))
    with pytest.raises(SourceError, match=r"words\.txt changed while functions that read it were running; run again"):
        reading.run(processes=processes)
    monkeypatch.delenv("SPOIL")
    path.write_text("river")
    reading.run(processes=processes)
    assert [row["n"] for row in reading.exported()] == ["river" in row["text"] for row in reading.rows]


@pytest.mark.parametrize("old", [True, False])
def test_one_that_is_only_touched_is_the_same(reading: Bench, old: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether its state when it was keyed proved something or was too young to."""
    (reading.folder / "ops.py").write_text(CHANGING % "os.utime(self.path)")
    if old:
        os.utime(reading.folder / "words.txt", (1e9, 1e9))
        time.sleep(0.1)
    monkeypatch.setenv("SPOIL", str(reading.rows[len(reading.rows) // 2]["id"]))
    options = {"function": "ops.py:Words", "init": {"path": str(reading.folder / "words.txt")}, "files": ["words.txt"]}
    assert len(run_one(reading, {"mapper": options})) == len(reading.rows)


def test_one_is_read_once_for_its_key_and_not_again(reading: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    path = reading.folder / "words.txt"
    time.sleep(0.1)  # else its state proves nothing, and each look hashes it
    files = NamedFiles([("words.txt", path)], None)
    monkeypatch.setattr(digests, "_read_digest", lambda *_: pytest.fail("read again"))
    for _ in range(3):
        files.check()


def test_a_folder_stands_for_its_files(reading: Bench) -> None:
    (reading.folder / "more/sub").mkdir(parents=True)
    (reading.folder / "more/sub/x.txt").write_text("1")
    step = use(reading, files="more")
    run_one(reading, step)
    (reading.folder / "more/sub/x.txt").write_text("2")
    report = reading.run(dry_run=True)
    assert report.operators[0].shards_computed == report.shards
    assert "more/sub/x.txt" in report.operators[0].reason


def test_relative_to_the_recipe(reading: Bench) -> None:
    (reading.folder / "sub").mkdir()
    (reading.folder / "words.txt").rename(reading.folder / "sub/words.txt")
    recipe = reading.folder / "sub/r.yaml"
    recipe.write_text(
        f"dataset_path: {reading.corpus}\nprocess:\n"
        f"  - mapper: {{function: '{reading.folder}/ops.py:Stop', init: {{path: x}}, files: words.txt}}\n"
    )
    chain = bind(replace(Recipe.load(recipe), base=reading.folder))
    assert "files" in [part.label for part in chain.links[0].use.key.children]


def test_a_file_that_is_not_there(reading: Bench) -> None:
    with pytest.raises(RecipeError, match=r"no such file: gone\.txt; it is relative to the working folder"):
        run_one(reading, use(reading, files=["words.txt", "gone.txt"]))
    with pytest.raises(RecipeError, match="files must be a list of files"):
        run_one(reading, use(reading, files=[3]))


def test_without_it_the_warning_says_how(reading: Bench) -> None:
    run_one(reading, use(reading))
    (told,) = reading.told()
    assert told.endswith("or name it in the recipe: files: [PATH]")
