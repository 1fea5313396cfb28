"""`forebay run` and `forebay explain`, from the outside."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

Call = Callable[..., Result]
CallJson = Callable[..., Any]

FOREBAY = [sys.executable, "-m", "forebay.cli"]
RECIPE = """
project_name: demo
dataset_path: corpus.jsonl
export_path: out/clean.jsonl
np: 1
shard_bytes: 2000
process:
  - whitespace_normalization_mapper:
  - text_length_filter:
      min_len: 20
  - document_deduplicator:
  - words_num_filter:
      min_num: 2
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a corpus of 300 documents, 30 of them twice, and a recipe; it is the working folder."""
    rows = [
        {"text": f"document number {n % 270}  with\u3000some words of its own: {n % 270 * 7919}"} for n in range(300)
    ]
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FOREBAY_HOME", str(tmp_path / "store"))
    return tmp_path


def said(stderr: str) -> list[str]:
    """Lines of standard error, without progress: a slow machine has time for some."""
    return [line for line in stderr.splitlines() if not re.match(r"forebay: (\d\S* of \S+ results|.* so far$)", line)]


def counts(report: Any) -> dict[str, tuple[int, int]]:
    """(computed, reused) of each operator."""
    return {one["name"]: (one["shards_computed"], one["shards_reused"]) for one in report["operators"]}


def test_cold_then_again(project: Path, call: Call, call_json: CallJson) -> None:
    cold = call_json("run", "recipe.yaml")
    shards = cold["shards"]
    assert shards > 3
    assert set(counts(cold).values()) == {(shards, 0)}
    assert (cold["rows_in"], cold["rows_out"]) == (300, 270)
    assert cold["export"]["written"]
    assert len((project / "out/clean.jsonl").read_text().splitlines()) == 270
    again = call_json("run", "recipe.yaml")
    assert again["no_op"]
    assert set(counts(again).values()) == {(0, shards)}
    assert not again["export"]["written"]


def test_the_report_as_json_has_every_field(project: Path, call_json: CallJson) -> None:
    report = call_json("run", "recipe.yaml")
    assert {
        "project", "operators", "read", "computed", "reused", "shards", "rows_in", "rows_out", "bad_rows", "seconds",
        "export", "store_bytes", "run_key", "table_key", "no_op", "dry", "warnings",
    } <= set(report)  # fmt: skip
    for operator in report["operators"]:
        assert {"name", "kind", "shards_computed", "shards_reused", "rows_in", "rows_out", "seconds"} <= set(operator)


def test_the_report_as_text(project: Path, call: Call) -> None:
    lines = call("run", "recipe.yaml").stdout.splitlines()
    assert lines[0].split() == ["operator", "computed", "reused", "rows", "in", "→", "out", "seconds"]
    assert [line.split()[0] for line in lines[1:6]] == [
        "read", "whitespace_normalization_mapper", "text_length_filter", "document_deduplicator", "words_num_filter",
    ]  # fmt: skip
    assert lines[6].startswith("300 rows in, 270 out, ")
    assert lines[7].startswith("wrote out/clean.jsonl (")
    assert lines[8].startswith(f"the store in {project / 'store'} holds ")
    assert max(map(len, lines[:8])) <= 80
    again = call("run", "recipe.yaml").stdout
    assert "nothing to do: this very run is in the store" in again
    assert "up to date: out/clean.jsonl" in again


def test_set_changes_the_recipe(project: Path, call_json: CallJson) -> None:
    shards = call_json("run", "recipe.yaml")["shards"]
    changed = call_json("run", "recipe.yaml", "--set", "process.3.words_num_filter.min_num=3")
    assert counts(changed) == {
        "whitespace_normalization_mapper": (0, shards),
        "text_length_filter": (0, shards),
        "document_deduplicator": (0, shards),
        "words_num_filter": (shards, 0),
    }


def test_one_edit_touches_little(project: Path, call_json: CallJson) -> None:
    shards = call_json("run", "recipe.yaml")["shards"]
    corpus = project / "corpus.jsonl"
    lines = corpus.read_text().splitlines(keepends=True)
    lines[150] = json.dumps({"text": "an edited document of more than twenty letters"}) + "\n"
    corpus.write_text("".join(lines))
    for name, (computed, reused) in counts(call_json("run", "recipe.yaml")).items():
        assert computed <= 2, name
        assert reused >= shards - 2, name


def test_no_cache_leaves_no_store(project: Path, call: Call, call_json: CallJson) -> None:
    report = call_json("run", "recipe.yaml", "--no-cache")
    assert (report["rows_out"], report["store_bytes"]) == (270, None)
    assert not (project / "store").exists()
    assert "the store" not in call("run", "recipe.yaml", "--no-cache").stdout


def test_refresh_computes_all_again(project: Path, call_json: CallJson) -> None:
    shards = call_json("run", "recipe.yaml")["shards"]
    assert set(counts(call_json("run", "recipe.yaml", "--refresh")).values()) == {(shards, 0)}


def test_a_dry_run_says_what_and_why(project: Path, call: Call, call_json: CallJson) -> None:
    plan = call_json("run", "recipe.yaml", "--dry-run")
    assert plan["dry"]
    assert not (project / "out").exists()
    shards = call_json("run", "recipe.yaml")["shards"]
    change = ["--set", "process.3.words_num_filter.min_num=3"]
    plan = call_json("run", "recipe.yaml", "--dry-run", *change)
    assert counts(plan)["words_num_filter"] == (shards, 0)
    assert counts(plan)["document_deduplicator"] == (0, shards)
    text = call("run", "recipe.yaml", "--dry-run", *change).stdout
    assert "min_num: 2 -> 3" in text
    assert f"{shards} results to compute, {3 * shards} to reuse, over {shards} shards\n" in text
    assert "nothing to do: this very run is in the store\n" in call("run", "recipe.yaml", "--dry-run").stdout


def test_quiet_says_nothing(project: Path, call: Call) -> None:
    result = call("run", "recipe.yaml", "--quiet")
    assert (result.stdout, result.stderr) == ("", "")
    assert (project / "out/clean.jsonl").exists()


def test_require_cache(project: Path, call: Call) -> None:
    result = call("run", "recipe.yaml", "--require-cache", code=1)
    assert len(said(result.stderr)) == 1
    call("run", "recipe.yaml")
    call("run", "recipe.yaml", "--require-cache")


def test_require_cache_by_the_environment(project: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOREBAY_REQUIRE_CACHE", "1")
    assert "not in the store" in call("run", "recipe.yaml", code=1).stderr
    assert "no cache and require_cache contradict" in call("run", "recipe.yaml", "--no-cache", code=2).stderr
    assert not (project / "out").exists()


@pytest.mark.parametrize("other", ["--refresh", "--no-cache"])
def test_options_that_contradict_each_other_are_told_before_any_work(project: Path, call: Call, other: str) -> None:
    found = call("run", "recipe.yaml", "--require-cache", other, code=2).stderr
    assert "require_cache contradict each other" in found
    assert len(said(found)) == 1
    assert not (project / "store").exists()
    assert not (project / "out").exists()


def test_a_recipe_that_wants_no_cache_has_none(project: Path, call: Call, call_json: CallJson) -> None:
    report = call_json("run", "recipe.yaml", "--set", "use_cache=false")
    assert report["export"]["written"]
    assert not (project / "store").exists()
    assert "the store" not in call("run", "recipe.yaml", "--set", "use_cache=false").stdout


@pytest.mark.parametrize("retain", ["all", "last:1", "final"])
def test_retain(project: Path, call_json: CallJson, retain: str) -> None:
    report = call_json("run", "recipe.yaml", "--retain", retain)
    kept = len(call_json("ls", "--kind", "delta"))
    assert (kept == 0) == (retain == "final")
    assert (kept >= 3 * report["shards"]) == (retain == "all")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["nosuch.yaml"], "no such recipe: nosuch.yaml"),
        (["."], "cannot read .: Is a directory; name a file that you may read"),
        (["recipe.yaml", "--retain", "some"], "'some'"),
        (["recipe.yaml", "--set", "export_path"], "'export_path'"),
        (["recipe.yaml", "--set", "process.1.text_length_filter.min_length=3"], "min_length"),
        (["recipe.yaml", "--set", "dataset_path=gone.jsonl"], "gone.jsonl"),
        (["recipe.yaml", "--np", "0"], "--np"),
    ],
)
def test_bad_input_is_one_line_and_2(project: Path, call: Call, arguments: list[str], word: str) -> None:
    result = call("run", *arguments, code=2)
    assert word in result.stderr
    assert len(said(result.stderr)) == 1
    assert result.stdout == ""


def test_a_malformed_line_is_named(project: Path, call: Call, call_json: CallJson) -> None:
    with (project / "corpus.jsonl").open("a") as corpus:
        corpus.write('{"text": \n')
    result = call("run", "recipe.yaml", code=2)
    assert "corpus.jsonl" in result.stderr
    assert "301" in result.stderr
    assert len(said(result.stderr)) == 1
    assert call_json("run", "recipe.yaml", "--set", "on_bad_rows=skip")["bad_rows"] == 1


def test_an_operator_that_raises_is_one_line_and_1(project: Path, call: Call) -> None:
    (project / "ops.py").write_text("def burst(row):\n    raise ValueError('too\\nmuch')\n")
    (project / "recipe.yaml").write_text(RECIPE + "  - mapper: {function: 'ops.py:burst', input: row}\n")
    result = call("run", "recipe.yaml", code=1)
    assert "ValueError" in result.stderr
    assert "too much" in result.stderr
    assert len(said(result.stderr)) == 1


def test_a_run_is_pinned_with_its_table(project: Path, call: Call, call_json: CallJson) -> None:
    report = call_json("run", "recipe.yaml")
    pinned = call_json("pin", "runs/demo")["pinned"]
    assert [(one["kind"], one["key"]) for one in pinned] == [("run", report["run_key"]), ("table", report["table_key"])]
    call("gc", "--max-bytes", "1")
    assert {row["kind"] for row in call_json("ls")} == {"run", "table"}
    assert call_json("run", "recipe.yaml", "--require-cache")["no_op"]
    call("unpin", "runs/demo")
    assert not any(row["pinned"] for row in call_json("ls"))


def test_the_last_run_of_a_project_with_blanks_in_its_name(project: Path, call: Call, call_json: CallJson) -> None:
    report = call_json("run", "recipe.yaml", "--set", "project_name=my näme #1")
    assert call_json("show", "runs/my näme #1")["key"] == report["run_key"]


class TestExplain:
    def test_a_recipe(self, project: Path, call: Call, call_json: CallJson) -> None:
        shards = call_json("run", "recipe.yaml")["shards"]
        assert call("explain", "recipe.yaml").stdout == "nothing to do: this very run is in the store\n"
        changed = call("explain", "recipe.yaml", "--set", "process.3.words_num_filter.min_num=3").stdout
        assert "words_num_filter" in changed
        assert "min_num: 2 -> 3" in changed
        assert changed.endswith(f"{shards} results to compute, {3 * shards} to reuse, over {shards} shards\n")
        assert call_json("explain", "recipe.yaml")["no_op"]

    def test_a_run(self, project: Path, call: Call, call_json: CallJson) -> None:
        call("run", "recipe.yaml")
        call("run", "recipe.yaml", "--set", "process.3.words_num_filter.min_num=3")
        lines = call("explain", "runs/demo").stdout.splitlines()
        assert len(lines) == 2
        assert lines[0].startswith("operator 4 words_num_filter: ")
        assert "min_num: 2 -> 3" in lines[0]
        assert " computed, " in lines[1]
        explained = call_json("explain", "runs/demo")
        assert [one["name"] for one in explained["operators"]][3] == "words_num_filter"
        assert "min_num" in explained["operators"][3]["reason"]

    def test_two_runs(self, project: Path, call: Call, call_json: CallJson) -> None:
        first = call_json("run", "recipe.yaml")["run_key"]
        second = call_json("run", "recipe.yaml", "--set", "process.1.text_length_filter.min_len=30")["run_key"]
        with (project / "corpus.jsonl").open("a") as corpus:
            corpus.write('{"text": "one more document, of more than twenty letters"}\n')
        third = call_json("run", "recipe.yaml")["run_key"]
        assert call("explain", first, first).stdout == "nothing: it is the same entry\n"
        (line,) = call("explain", first, second).stdout.splitlines()
        assert line.startswith("operator 2 text_length_filter: ")
        assert "20 -> 30" in line
        (line, *_) = call("explain", first, third).stdout.splitlines()
        assert line.startswith("the source: 1 of ")
        explained = call_json("explain", first, second)
        assert [explained[side]["key"] for side in ("before", "after")] == [first, second]
        assert len(explained["differences"]) == 1

    def test_two_results(self, project: Path, call: Call, call_json: CallJson) -> None:
        call("run", "recipe.yaml")
        before = {row["key"] for row in call_json("ls", "--kind", "delta")}
        call("run", "recipe.yaml", "--set", "process.3.words_num_filter.min_num=3")
        after = {row["key"] for row in call_json("ls", "--kind", "delta")} - before
        new = call_json("show", sorted(after)[0])["parts"]
        old = next(key for key in before if call_json("show", key)["parts"]["name"] == new["name"])
        text = call("explain", old, sorted(after)[0]).stdout
        assert "operator: " in text
        assert "min_num: 2 -> 3" in text

    @pytest.mark.parametrize(
        "arguments", [[], ["nosuch.yaml"], ["runs/nosuch"], ["a", "b", "c"], ["runs/demo", "--set", "np=1"]]
    )
    def test_bad_input(self, project: Path, call: Call, arguments: list[str]) -> None:
        call("run", "recipe.yaml")
        assert len(said(call("explain", *arguments, code=2).stderr)) == 1


SLOW = """
import time
from pathlib import Path

def slowly(row):
    while int(row["text"].split()[2]) >= 200 and Path("hold").exists():
        time.sleep(0.01)
    return {**row, "seen": True}
"""


@pytest.mark.parametrize("processes", ["1", "2"])
def test_ctrl_c_keeps_what_is_done_and_says_how_to_go_on(project: Path, processes: str) -> None:
    (project / "ops.py").write_text(SLOW)
    (project / "recipe.yaml").write_text(RECIPE + "  - mapper: {function: 'ops.py:slowly', input: row, version: '1'}\n")
    (project / "hold").touch()  # until then it cannot be done
    command = [*FOREBAY, "run", "recipe.yaml", "--np", processes]
    as_at_a_terminal = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # ignored in a shell's background
    running = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=as_at_a_terminal
    )
    wait_for(lambda: slow_results(project) >= 1, running)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 130, err
    (line,) = said(err)
    assert re.fullmatch(
        r"forebay: stopped; \d+ results done; what is done is kept: the same command goes on from there", line
    )
    assert out == ""
    (project / "hold").unlink()
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    report = json.loads(done.stdout)
    computed, reused = counts(report)["slowly"]
    assert reused >= 1
    assert computed < report["shards"]
    assert counts(report)["whitespace_normalization_mapper"] == (0, report["shards"])
    assert len((project / "out/clean.jsonl").read_text().splitlines()) == 270
    assert not list((project / "store/tmp").iterdir())


def slow_results(project: Path) -> int:
    """How many results of the slow operator are published."""
    files = (project / "store/entries-v1/delta").glob("*/*.json")
    return sum('"slowly"' in file.read_text() for file in files)


def wait_for(happened: Callable[[], bool], running: subprocess.Popen[str]) -> None:
    """Wait until something has happened while a process runs."""
    deadline = time.monotonic() + 60
    while not happened():
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_in_a_pipe_there_is_no_live_view(project: Path) -> None:
    done = subprocess.run([*FOREBAY, "run", "recipe.yaml"], capture_output=True, text=True, check=True)
    assert "\x1b" not in done.stdout + done.stderr
    assert said(done.stderr) == []


def test_json_imports_no_terminal_library(project: Path) -> None:
    code = (
        "import json, sys\nfrom forebay.cli.app import forebay\n"
        "code = forebay.main(['run', 'recipe.yaml', '--json'], standalone_mode=False)\n"
        "print(json.dumps([code, sorted(sys.modules)]), file=sys.stderr)"
    )
    run = lambda: subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: E731
    status, modules = json.loads(run().stderr.splitlines()[-1])
    assert status == 0
    assert "rich" not in modules
    status, modules = json.loads(run().stderr.splitlines()[-1])
    assert status == 0
    assert not set(modules) & {"rich", "numpy", "pyarrow"}, "a run with nothing to do needs no arrays"


def test_a_terminal_gets_a_live_view(project: Path) -> None:
    import pty

    (project / "ops.py").write_text(SLOW)
    (project / "recipe.yaml").write_text(RECIPE + "  - mapper: {function: 'ops.py:slowly', input: row}\n")

    def watched(**environment: str) -> str:
        primary, secondary = pty.openpty()
        env = {**os.environ, "COLUMNS": "80", "LINES": "24", **environment}
        command = [*FOREBAY, "run", "recipe.yaml", "--refresh"]
        running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=secondary, env=env)
        os.close(secondary)
        shown = b""
        while True:
            try:
                data = os.read(primary, 65536)
            except OSError:  # the other side has closed
                break
            shown += data
        os.close(primary)
        assert running.wait(timeout=60) == 0
        return shown.decode()

    live = watched(TERM="xterm-256color")
    assert "\x1b[" in live
    assert "whitespace_normalization_mapper" in live
    assert "\x1b" not in watched(TERM="dumb")
    colourless = watched(TERM="xterm-256color", NO_COLOR="1")
    assert "slowly" in colourless
    assert "\x1b[32m" not in colourless


class TestNoStore:
    """A home that can hold no store: the work is done, and one line says what is the matter."""

    @pytest.fixture(autouse=True)
    def _in_the_way(self, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (project / "file").write_text("not a folder")
        monkeypatch.setenv("FOREBAY_HOME", str(project / "file"))

    def test_the_job_goes_on(self, project: Path, call: Call) -> None:
        result = call("run", "recipe.yaml")
        assert (project / "out" / "clean.jsonl").exists()
        assert len(said(result.stderr)) == 1
        assert "a file is in the way" in result.stderr
        assert "set FOREBAY_HOME" in result.stderr
        assert (project / "file").read_text() == "not a folder"

    def test_unless_the_store_is_required(self, project: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
        assert "cannot make a store" in call("run", "recipe.yaml", "--require-cache", code=1).stderr
        monkeypatch.setenv("FOREBAY_REQUIRE_CACHE", "1")
        assert "cannot make a store" in call("run", "recipe.yaml", code=1).stderr
        assert not (project / "out").exists()


BLOCKED = """
import os, time

def stay(row):
    open("begun", "w").close()
    while not os.path.exists("go"):
        time.sleep(0.01)
    return row
"""


def test_a_run_says_that_it_waits_for_another(project: Path) -> None:
    (project / "ops.py").write_text(BLOCKED)
    (project / "recipe.yaml").write_text(
        "dataset_path: corpus.jsonl\nnp: 1\nprocess:\n  - mapper: {function: 'ops.py:stay'}\n"
    )
    command = [*FOREBAY, "run", "recipe.yaml"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as first:
        while not (project / "begun").exists() and first.poll() is None:
            time.sleep(0.01)
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as second:
            assert second.stderr is not None
            waits = "forebay: note: another run does the same work; waiting for what it is at\n"
            assert waits in iter(second.stderr.readline, "")
            (project / "go").touch()
            out, rest = second.communicate()
            assert waits not in rest
            assert "stay             0       1" in out
        first.communicate()
    assert (first.returncode, second.returncode) == (0, 0)


def test_runs_that_begin_together_do_everything_once(project: Path) -> None:
    """Every rank of a job may say the same command: reading, operators and the export are done by one of them each."""
    lines = [json.dumps({"text": f"{n} {n * 7919} words of their own " * 90}) + "\n" for n in range(900)]
    (project / "corpus.jsonl").write_text("".join(lines))
    (project / "other.tsv").write_text(
        "text\n" + "".join(f"a line of the other file: {n} {'x' * 400}\n" for n in range(900))
    )
    recipe = RECIPE.replace("corpus.jsonl", "[corpus.jsonl, other.tsv]").replace("2000", "500000")
    (project / "recipe.yaml").write_text(recipe)
    command = [*FOREBAY, "run", "recipe.yaml", "--json"]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    reports = [json.loads(run.communicate()[0]) for run in runs]
    assert [run.returncode for run in runs] == [0] * 4
    shards = reports[0]["shards"]
    assert shards > 4  # each of more bytes than it takes to lease their reading
    for at, operator in enumerate(reports[0]["operators"]):
        assert sum(report["operators"][at]["shards_computed"] for report in reports) == shards, operator["name"]
    assert sum(report["read"]["shards_computed"] for report in reports) == shards
    assert sum(report["export"]["written"] for report in reports) == 1


def test_what_is_printed_where_nobody_listens_does_not_end_in_the_store(project: Path) -> None:
    """A descriptor that is closed at the start is given to the next file that is opened."""
    (project / "loud.py").write_text(
        "import os\ndef loud(row):\n    for n in (1, 2):\n        os.write(n, b'printed')\n    return row\n"
    )
    add = "process=[{mapper: {function: 'loud.py:loud'}}, {text_length_filter: {min_len: 2}}]"
    command = [*FOREBAY, "run", "recipe.yaml", "--set", add]
    for closed in ("", "<&-", ">&-", "2>&-", "<&- >&- 2>&-"):
        shell = ["sh", "-c", f'exec "$@" --refresh {closed}', "sh", *command]
        done = subprocess.run(shell, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        assert (project / "out" / "clean.jsonl").read_text().count("\n") == 300
        assert subprocess.run([*FOREBAY, "verify"], capture_output=True, check=False).returncode == 0
        assert not [
            path for path in (project / "store").rglob("*") if path.is_file() and b"printed" in path.read_bytes()
        ]
