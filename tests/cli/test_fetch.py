"""`forebay fetch` from the outside, against a hub on loopback."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from forebay.cli.fetching import FetchProgress, closing, line, picture, watching
from forebay.events import Event, What
from forebay.hub import lock as locks
from forebay.testing import FakeHub, HubFault, Repository, tinydata

FILES = {"README.md": "hello", "data/a.csv": "1,2\n" * 100, "data/b.csv": "3,4\n" * 100}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    monkeypatch.setenv("FOREBAY_HOME", str(tmp_path / "store"))
    with FakeHub([Repository("team/small", files=FILES)]) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.hf_endpoint)
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", hub.ms_endpoint)
        yield hub


def test_fetch_says_what_came_of_it(hub: FakeHub, call: Callable[..., Result]) -> None:
    first = call("fetch", "hf://datasets/team/small").output
    assert "hf://datasets/team/small at " in first
    assert "3 files, 805 B: 3 fetched, 0 reused" in first
    assert "805 B from 127.0.0.1:" in first
    asked = len(hub.log)
    again = call("fetch", "hf://datasets/team/small").output
    assert "3 files, 805 B: 0 fetched, 3 reused" in again
    assert "nothing came over the network" in again
    assert len(hub.log) == asked


def test_fetch_says_how_many_of_a_repository(hub: FakeHub, call: Callable[..., Result]) -> None:
    for _ in range(2):  # fetched, then reused
        told = call("fetch", "hf://datasets/team/small", "--include", "data/a.csv").output
        assert ": 1 of 3 files, 400 B\n" in told


@pytest.mark.parametrize("option", [(), ("--include", "*.txt")])
def test_files_of_the_same_content_count_one_by_one(
    hub: FakeHub, call: Callable[..., Result], option: tuple[str, ...]
) -> None:
    hub.shelf.add(Repository("team/twins", files={"a.txt": "", "b.txt": "", "c.txt": "x"}))
    told = call("fetch", "hf://datasets/team/twins", *option).output
    assert ": 3 files, 1 B\n" in told
    assert "3 files, 1 B: 2 fetched, 1 reused" in told
    assert "3 files, 1 B: 0 fetched, 3 reused" in call("fetch", "hf://datasets/team/twins", *option).output


def test_what_is_not_known_yet_is_not_counted_as_none() -> None:
    progress = FetchProgress()
    facts = {"phase": "file", "path": "README.md", "state": "present", "done": 5, "total": 5, "dataset": "team/small"}
    progress.note(Event(What.PROGRESS, facts={**facts}))
    assert line(progress) == "1 file, 5 B"
    progress.note(Event(What.PROGRESS, facts={"phase": "snapshot", "dataset": "team/other", "files": 2, "bytes": 40}))
    assert line(progress) == "1 of 3 files, 5 B of 45 B"  # that file's repository comes later
    progress.note(Event(What.PROGRESS, facts={"phase": "snapshot", "dataset": "team/small", "files": 3, "bytes": 805}))
    assert line(progress) == "1 of 5 files, 5 B of 845 B"


def test_fetch_as_json(hub: FakeHub, call_json: Callable[..., Any]) -> None:
    told = call_json("fetch", "hf://datasets/team/small", "ms://datasets/team/small", "--include", "data/*")
    assert (told["files"], told["fetched"], told["reused"], told["network_bytes"]) == (4, 2, 2, 800)
    assert [one["hub"] for one in told["snapshots"]] == ["hf", "ms"]


def test_fetch_from_a_list(hub: FakeHub, call: Callable[..., Result], tmp_path: Path) -> None:
    listing = tmp_path / "list.txt"
    listing.write_text(
        "\ufeff# what we need\nhf://datasets/team/small/README.md\n\n  ms://datasets/team/small  # all of it\n"
    )
    assert "2 reused" not in call("fetch", "--from", str(listing), "--exclude", "data/b.csv").output
    assert "0 fetched, 3 reused" in call("fetch", "--from", str(listing), "--exclude", "data/b.csv").output


def test_a_list_that_may_not_be_read_is_told_as_that(hub: FakeHub, call: Callable[..., Result], tmp_path: Path) -> None:
    told = call("fetch", "--from", str(tmp_path), code=2).output
    assert told == f"forebay: cannot read {tmp_path}: Is a directory; let --from name a file that you may read\n"
    (tmp_path / "latin.txt").write_bytes(b"\xff")
    assert "it must be a text file" in call("fetch", "--from", str(tmp_path / "latin.txt"), code=2).output


CARD = """---
configs:
- config_name: one
  data_files: one/*.csv
- config_name: two
  data_files: two/*.csv
---
"""


def test_update_locks_what_it_was_asked_for(
    hub: FakeHub, call: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what was locked of it before, for one table has one commit; whatever else the store holds is left out."""
    monkeypatch.chdir(tmp_path)
    files = {"README.md": CARD, "one/a.csv": "1\n", "one/b.csv": "2\n", "two/c.csv": "3\n", "more.txt": "4\n"}
    repository = Repository("team/parts", files=files)
    hub.shelf.add(repository)

    def paths() -> set[str]:
        [row] = locks.read(Path("forebay.lock")).repositories
        assert row.commit == repository.at().sha
        assert row.partial == (len(row.files) < len(files))
        return {file.path for file in row.files}

    name = "hf://datasets/team/parts"
    call("fetch", name)
    one, two = {"README.md", "one/a.csv", "one/b.csv"}, {"README.md", "two/c.csv"}
    for reference, options, wanted in (
        (f"{name}#one", (), one),
        (f"{name}/one", (), one - {"README.md"}),
        (name, ("--include", "one/*", "--exclude", "*/a.csv"), {"one/b.csv"}),
        (name, (), set(files)),
    ):
        call("fetch", "--update", reference, *options)
        assert paths() == wanted
        Path("forebay.lock").unlink()
    call("fetch", "--update", f"{name}#one", f"{name}#two")
    assert paths() == one | two
    Path("forebay.lock").unlink()
    call("fetch", "--update", f"{name}#one")
    repository.commit({"one/a.csv": "5\n"}, delete=["one/b.csv"])
    call("fetch", "--update", f"{name}#two")
    assert paths() == {"README.md", "one/a.csv", "two/c.csv"}
    call("fetch", "--locked", "--offline")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), 2, "nothing to fetch"),
        (("hf://datasets/team/none",), 2, "no dataset team/none on"),
        (("xy://a",), 2, "unknown scheme"),
        (("hf://datasets/team/small", "--include", "*.json"), 2, "nothing in hf://datasets/team/small"),
        (("hf://datasets/team/small", "--offline"), 1, "the network may not be asked"),
        (("--from", "/none"), 2, "no such file"),
    ],
)
def test_errors_in_one_line(
    hub: FakeHub, call: Callable[..., Result], arguments: tuple[str, ...], code: int, words: str
) -> None:
    output = call("fetch", *arguments, code=code).output
    assert words in output
    assert len(output.splitlines()) == 1


def test_a_file_that_is_listed_and_not_there_is_named(hub: FakeHub, call: Callable[..., Result]) -> None:
    hub.faults.add(HubFault(status=404), "*a.csv")  # as mirrors answer, without the hub's X-Error-Code
    output = call("fetch", "hf://datasets/team/small", code=2).output
    assert "no data/a.csv of hf://datasets/team/small on 127.0.0.1" in output
    assert len(output.splitlines()) == 1


def test_wrong_bytes_fail_the_command(hub: FakeHub, call: Callable[..., Result]) -> None:
    hub.faults.add(HubFault(flip_byte=0), "*a.csv")
    output = call("fetch", "hf://datasets/team/small", code=1).output
    assert "data/a.csv of hf://datasets/team/small should be git:" in output
    hub.faults.clear()
    call("fetch", "hf://datasets/team/small")


def test_a_stale_answer_is_a_warning(
    hub: FakeHub, call: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    call("fetch", "hf://datasets/team/small")
    monkeypatch.setenv("FOREBAY_FRESH_SECONDS", "0")
    hub.die()
    output = call("fetch", "hf://datasets/team/small").output
    assert "forebay: warning: cannot reach 127.0.0.1" in output
    assert "0 fetched, 3 reused" in output


def test_quiet_says_nothing(hub: FakeHub, call: Callable[..., Result]) -> None:
    assert call("fetch", "hf://datasets/team/small", "-q").output == ""


def told(path: str, state: str, done: int, total: int | None) -> Event:
    facts: dict[str, Any] = {"phase": "file", "dataset": "d", "path": path, "state": state, "done": done}
    return Event(What.PROGRESS, facts={**facts, "total": total, "host": ""})


def test_the_picture_fits_a_terminal() -> None:
    progress = FetchProgress()
    progress.note(Event(What.PROGRESS, facts={"phase": "snapshot", "dataset": "d", "files": 12, "bytes": 9 * 10**9}))
    for number in range(12):
        progress.note(told(f"data/a-very-long-folder/a-very-long-name-{number:05}.parquet", "running", 10**8, 10**9))
    progress.note(told("README.md", "fetched", 5, 5))
    progress.note(told("unknown.bin", "waiting", 7, None))
    lines = str(picture(progress, 80)).splitlines()
    assert len(lines) == 10
    assert all(len(each) <= 80 for each in lines)
    assert "100 MB of 1.00 GB" in lines[0]
    assert lines[-2] == "… 5 more"
    assert lines[-1].startswith("1 of 12 files, 1.20 GB of 9.00 GB")
    assert line(progress).startswith("1 of 12 files")


def test_what_came_over_the_network_is_told_by_host() -> None:
    progress = FetchProgress()
    for host, count in (("b", 5), ("a", 7), ("b", 5)):
        progress.note(Event(What.FETCH, bytes=count, facts={"host": host}))
    assert closing(progress)[1].startswith("7 B from a, 10 B from b in ")
    assert json.dumps(progress.summary())


def test_fetch_takes_the_files_of_a_configuration(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, call: Callable[..., Result], call_json: Callable[..., Any]
) -> None:
    monkeypatch.setenv("FOREBAY_HOME", str(tmp_path / "store"))
    script = Repository("org/script", files={"script.py": "", "a.csv": "a\n"})
    plain = Repository("org/plain", files={"a.csv": "a\n", "b.csv": "b\n"})
    model = Repository("org/model", type="model", files={"config.json": "{}"})
    repositories = [tinydata.mmlu(subjects=tinydata.MMLU_SUBJECTS[:4]), tinydata.gsm8k(), script, plain, model]
    with FakeHub(repositories) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.hf_endpoint)
        said = call("fetch", "hf://datasets/cais/mmlu#anatomy").output
        assert "4 files" in said
        assert "4 fetched, 0 reused" in said
        got = {one.path.partition("/main/")[2] or one.path for one in hub.log if "/resolve/" in one.path}
        assert {path.rpartition("/resolve/")[2].partition("/")[2] for path in got} == {
            "README.md", *(f"anatomy/{split}-00000-of-00001.parquet" for split in ("test", "validation", "dev"))
        }  # fmt: skip
        asked = len(hub.log)
        assert "0 fetched, 4 reused" in call("fetch", "hf://datasets/cais/mmlu#anatomy", "--offline").output
        assert len(hub.log) == asked
        assert "1 fetched" in call("fetch", "hf://datasets/cais/mmlu#astronomy", "--include", "*/dev-*").output
        refused = call("fetch", "hf://datasets/openai/gsm8k#nope", code=2).output
        assert "has no configuration 'nope'; there are: main, socratic" in refused
        assert refused.count("\n") == 1
        assert (
            "has no configuration 'x'; there are: default" in call("fetch", "hf://datasets/org/plain#x", code=2).output
        )
        assert call_json("fetch", "hf://datasets/org/plain#default")["files"] == 2
        assert call_json("fetch", "hf://datasets/org/script#any")["files"] == 2
        assert "is a model, and has no configurations" in call("fetch", "hf://org/model#x", code=2).output
    assert "#CONFIG" in call("fetch", "--help").output


def test_fetch_says_that_a_hub_is_busy(hub: FakeHub, call: Callable[..., Result]) -> None:
    hub.faults.add(HubFault(status=429, retry_after="2"), "*/api/*", times=1)
    told = call("fetch", "hf://datasets/team/small").output
    assert "answers 429 (too many requests); waiting 2 s before attempt 2" in told


def test_a_dataset_is_pinned_and_shown_by_its_reference(hub: FakeHub, call: Callable[..., Result]) -> None:
    call("fetch", "hf://datasets/team/small")
    assert call("pin", "hf://datasets/team/small").output.startswith("pinned snapshot ")
    assert "hf://datasets/team/small" in call("show", "hf://datasets/team/small#any").output
    assert call("unpin", "hf://datasets/team/small@main").output.startswith("unpinned snapshot ")
    refused = call("show", "hf://datasets/team/other", code=2).output
    assert "hf://datasets/team/other is not in the store" in refused
    assert refused.count("\n") == 1


@pytest.mark.parametrize(
    "name", ["hub/hf/dataset/team/small", "hub/hf/dataset/team/small/", "hf://datasets/team/small"]
)
def test_commands_take_a_repository_as_bundles_do(
    hub: FakeHub, call: Callable[..., Result], call_json: Callable[..., Any], tmp_path: Path, name: str
) -> None:
    call("fetch", "hf://datasets/team/small")
    snapshot = call_json("show", "hf://datasets/team/small")["key"]
    assert call_json("bundle", "create", str(tmp_path / "b.tar"), name)["objects"]
    assert call_json("show", name)["key"] == snapshot
    assert call_json("pin", name)["pinned"] == [{"kind": "snapshot", "key": snapshot}]
    assert call_json("unpin", name)["unpinned"] == [{"kind": "snapshot", "key": snapshot}]
    assert len(call_json("rm", name)["removed"]) > 3  # with its files
    assert call_json("ls") == []
    assert "no entry 'hub/hf/dataset/team'" in call("show", "hub/hf/dataset/team", code=2).output


def test_a_bundle_is_made_of_a_reference_with_a_revision(
    hub: FakeHub, call_json: Callable[..., Any], call: Callable[..., Result], tmp_path: Path
) -> None:
    repository = Repository("team/moves", files={"a.csv": "1\n"})
    hub.shelf.add(repository)
    old = repository.at().sha
    call("fetch", f"hf://datasets/team/moves@{old}")
    repository.commit({"a.csv": "2\n"})
    call("fetch", "hf://datasets/team/moves")
    for name, commit in (
        (f"hf://datasets/team/moves@{old}", old),
        ("hf://datasets/team/moves@main", repository.at().sha),
    ):
        out = str(tmp_path / f"{commit}.tar")
        call("bundle", "create", out, name)
        call("bundle", "install", out, "--home", str(tmp_path / commit))
        assert [row["kind"] for row in call_json("ls", "--home", str(tmp_path / commit))].count("snapshot") == 1
        assert call("fetch", "--offline", f"hf://datasets/team/moves@{commit}", "--home", str(tmp_path / commit))
    refused = call("bundle", "create", str(tmp_path / "no.tar"), "hf://datasets/team/moves/a.csv", code=2).output
    assert "bundled as a whole; give hf://datasets/team/moves\n" in refused


def test_a_part_of_a_repository_does_not_take_the_rest_along(
    hub: FakeHub, call: Callable[..., Result], call_json: Callable[..., Any]
) -> None:
    call("fetch", "hf://datasets/team/small")
    before = call_json("ls")
    for part in ("hf://datasets/team/small#any", "hf://datasets/team/small/data"):
        told = call("rm", part, code=2).output
        assert f"{part} is a part of a repository" in told
        assert "`forebay rm hf://datasets/team/small` removes all of it" in told
    assert [row["key"] for row in call_json("ls")] == [row["key"] for row in before]


@pytest.mark.parametrize("command", ["lock", "bundle"])
def test_a_group_without_a_command_is_one_line(command: str, call: Callable[..., Result]) -> None:
    assert call(command, code=2).output == f"forebay {command}: missing command; see forebay {command} --help\n"


def test_a_view_on_a_full_disk_says_where(
    hub: FakeHub, call: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call("fetch", "hf://datasets/team/small")
    (tmp_path / "file").write_text("no folder")
    refused = call("view", "hf", str(tmp_path / "file" / "v"), code=1).output
    assert f"cannot lay out {tmp_path / 'file' / 'v'}: Not a directory: {tmp_path / 'file'}; move it away" in refused
    from forebay.hub.placing import Placer

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Placer, "place", full)
    refused = call("view", "hf", str(tmp_path / "v"), code=1).output
    assert f"cannot lay out {tmp_path / 'v'}: No space left on device; make room, or choose a folder" in refused
    assert refused.count("\n") == 1


def test_a_view_names_what_is_in_its_way(hub: FakeHub, call: Callable[..., Result], tmp_path: Path) -> None:
    call("fetch", "hf://datasets/team/small")
    place = tmp_path / "v" / "team" / "small" / "README.md"
    place.mkdir(parents=True)
    refused = call("view", "evalscope", str(tmp_path / "v"), code=1).output
    assert f"cannot lay out {tmp_path / 'v'}: Is a directory: {place}; move it away" in refused
    place.rmdir()
    (place.parent / "data").write_text("no folder")
    refused = call("view", "evalscope", str(tmp_path / "v"), code=1).output
    assert f"{place.parent / 'data'}; move it away" in refused
    assert refused.count("\n") == 1


def test_of_files_that_another_process_fetches_the_first_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with watching(FetchProgress(), quiet=False, plain=True) as hook:
        for name in ("a", "b"):
            hook(Event(What.WAIT, f"waiting for another to fetch {name}"))
    assert capsys.readouterr().err == "forebay: note: waiting for another to fetch a\n"
