"""Commands on a small real store."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from forebay import config
from forebay.store import Store

Call = Callable[..., Result]
CallJson = Callable[..., Any]

# What conftest.fill() puts into the store.
DELTA_A, DELTA_B, SHARD, RUN = (digits + "0" * 56 for digits in ("aaaaaa11", "aaaaaa22", "bbbbbb33", "cccccc44"))
BYTES = {DELTA_A: 20_000, DELTA_B: 30_000, SHARD: 100_000, RUN: 500}


def object_file(home: Path, key: str) -> Path:
    """The file of an entry's only object."""
    for kind in ("delta", "shard", "run"):
        found = home / "entries-v1" / kind / key[:2] / f"{key[2:]}.json"
        if found.exists():
            digest = json.loads(found.read_text())["objects"][0]["digest"]
            return next((home / "objects-v1" / digest[:2]).glob(f"{digest[2:]}*"))
    raise FileNotFoundError(key)


def damage(path: Path) -> None:
    """Flip a bit, as a disk would."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)


class TestLs:
    def test_lists_what_is_there(self, home: Path, call: Call) -> None:
        lines = call("ls", "--sort", "size").stdout.splitlines()
        assert lines[0].split() == ["kind", "key", "dataset", "size", "took", "age", "used", "pinned"]
        assert [line.split()[:3] for line in lines[1:]] == [
            ["shard", SHARD[:12], "demo"],
            ["delta", DELTA_B[:12], "other"],
            ["delta", DELTA_A[:12], "demo"],
            ["run", RUN[:12], "demo"],
        ]
        assert max(map(len, lines)) <= 80

    def test_json_has_every_field(self, home: Path, call_json: CallJson) -> None:
        rows = {row["key"]: row for row in call_json("ls")}
        assert set(rows) == set(BYTES)
        row = rows[DELTA_A]
        assert {name: type(value) for name, value in row.items()} == {
            "kind": str, "key": str, "dataset": str, "bytes": int, "cost_seconds": float, "created": float,
            "used": float, "pinned": bool,
        }  # fmt: skip
        assert row["bytes"] >= BYTES[DELTA_A]
        assert row["cost_seconds"] == 2.0
        assert abs(row["created"] - time.time()) < 100

    @pytest.mark.parametrize(
        ("options", "keys"),
        [
            (["--kind", "delta", "--sort", "key"], [DELTA_A, DELTA_B]),
            (["--dataset", "demo", "--sort", "key"], [DELTA_A, SHARD, RUN]),
            (["--kind", "delta", "--dataset", "demo"], [DELTA_A]),
            (["--sort", "cost", "--limit", "2"], [RUN, DELTA_A]),
            (["--sort", "size", "--limit", "0"], [SHARD, DELTA_B, DELTA_A, RUN]),
            (["--kind", "nosuch"], []),
        ],
    )
    def test_choosing_and_sorting(self, home: Path, call_json: CallJson, options: list[str], keys: list[str]) -> None:
        assert [row["key"] for row in call_json("ls", *options)] == keys

    def test_a_limit_says_what_it_leaves_out(self, home: Path, call: Call) -> None:
        lines = call("ls", "--limit", "1").stdout.splitlines()
        assert len(lines) == 3
        assert lines[-1] == "… and 3 more; --limit 0 lists all"

    def test_long_keys_are_whole(self, home: Path, call: Call) -> None:
        assert DELTA_A in call("ls", "--long").stdout

    def test_the_last_used_comes_first(self, home: Path, call_json: CallJson) -> None:
        with Store.open(config.resolve(home=home)) as store:
            assert store.get("shard", SHARD) is not None
        first = call_json("ls")[0]
        assert first["used"] == max(row["used"] for row in call_json("ls"))


class TestNothingYet:
    """No store where one looks: that is no error, and looking makes none."""

    @pytest.mark.parametrize("command", ["ls", "du", "verify", "gc"])
    def test_text(self, call: Call, command: str) -> None:
        assert call(command).stdout == f"nothing yet in {os.environ['FOREBAY_HOME']}\n"
        assert not Path(os.environ["FOREBAY_HOME"]).exists()

    @pytest.mark.parametrize("command", ["ls", "du", "verify", "gc", "reindex"])
    def test_json(self, call_json: CallJson, command: str) -> None:
        before = call_json(command)
        assert not Path(os.environ["FOREBAY_HOME"]).exists()
        Store.open(config.resolve()).close()
        after = call_json(command)
        assert (type(before), list(before)) == (type(after), list(after))

    @pytest.mark.parametrize("command", ["ls", "du", "verify", "gc", "reindex", "show aaaaaa", "env"])
    def test_a_folder_of_something_else_is_left_alone(self, tmp_path: Path, call: Call, command: str) -> None:
        (tmp_path / "notes.txt").write_text("mine")
        call("--home", str(tmp_path), *command.split(), code=2 if command.startswith("show") else 0)
        assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]

    @pytest.mark.parametrize("command", ["show", "pin", "unpin", "rm"])
    def test_what_is_named_is_not_found(self, call: Call, command: str) -> None:
        result = call(command, "aaaaaa", code=2)
        assert result.stderr.startswith("forebay: no entry 'aaaaaa' in ")
        assert not Path(os.environ["FOREBAY_HOME"]).exists()


class TestNaming:
    """Keys, their first digits, KIND:DIGITS and names."""

    @pytest.mark.parametrize("text", [RUN, RUN[:6], RUN[:8].upper(), f"run:{RUN[:6]}", "runs/demo"])
    def test_found(self, home: Path, call_json: CallJson, text: str) -> None:
        assert call_json("show", text)["key"] == RUN

    @pytest.mark.parametrize(
        ("text", "line"),
        [
            ("aaaaaa", f"'aaaaaa' begins several keys: delta:{DELTA_A[:16]}, delta:{DELTA_B[:16]}; give more digits"),
            ("ccccc", "'ccccc' is too short for a key; give 6 digits or more"),
            ("dddddd", "no entry 'dddddd' in "),
            ("shard:cccccc", "no entry 'shard:cccccc' in "),
            ("runs/nosuch", "no entry 'runs/nosuch' in "),
            ("../../etc", "not a name: '../../etc'; "),
        ],
    )
    def test_not_found(self, home: Path, call: Call, text: str, line: str) -> None:
        result = call("show", text, code=2)
        assert result.stderr.startswith(f"forebay: {line}")
        assert len(result.stderr.splitlines()) == 1


class TestShow:
    def test_text(self, home: Path, call: Call) -> None:
        shown = call("show", DELTA_A[:8]).stdout
        assert shown.splitlines()[0] == f"delta {DELTA_A}"
        assert "dataset  demo\n" in shown
        assert "took     2.00 s, gave 20.0 kB\n" in shown
        assert f"inputs   {SHARD}\n" in shown
        assert "├─ rows_in  1200\n└─ rows_out  1100\n" in shown
        assert f"├─ input  {SHARD[:12]}\n" in shown
        assert "└─ operator\n   ├─ min_len  10\n   └─ name  text_length_filter\n" in shown

    def test_json(self, home: Path, call_json: CallJson) -> None:
        shown = call_json("show", DELTA_A)
        assert set(shown) == {
            "kind", "key", "dataset", "created", "cost", "recoverable", "pinned", "objects", "inputs", "meta",
            "versions", "parts",
        }  # fmt: skip
        assert shown["cost"] == {"seconds": 2.0, "bytes": 20_000}
        assert shown["inputs"] == [SHARD]
        (one,) = shown["objects"]
        assert (one["role"], one["size"], one["present"]) == ("data", 20_000, True)


class TestPins:
    def test_pin_and_unpin(self, home: Path, call: Call, call_json: CallJson) -> None:
        assert call("pin", SHARD[:6], "runs/demo", "--note", "for the paper").stdout == (
            f"pinned shard {SHARD[:12]}\npinned run {RUN[:12]}\n"
        )
        assert {row["key"] for row in call_json("ls") if row["pinned"]} == {SHARD, RUN}
        assert call_json("show", SHARD)["pinned"]
        assert "pinned   yes" in call("show", SHARD).stdout
        assert call_json("unpin", SHARD) == {"unpinned": [{"kind": "shard", "key": SHARD}]}
        assert {row["key"] for row in call_json("ls") if row["pinned"]} == {RUN}

    def test_one_wrong_key_pins_nothing(self, home: Path, call: Call, call_json: CallJson) -> None:
        call("pin", SHARD, "dddddd", code=2)
        assert not any(row["pinned"] for row in call_json("ls"))

    def test_what_was_not_pinned_is_not_told_as_unpinned(self, home: Path, call: Call, call_json: CallJson) -> None:
        assert call("unpin", SHARD).stdout == f"was not pinned: shard {SHARD[:12]}\n"
        assert call_json("unpin", SHARD) == {"unpinned": []}


class TestRm:
    @pytest.mark.parametrize("command", ["rm", "show", "explain"])
    def test_a_name_whose_entry_has_gone_is_told(self, home: Path, call: Call, command: str) -> None:
        call("rm", "runs/demo")
        told = call(command, "runs/demo", code=2).stderr
        assert told.startswith(f"forebay: run {RUN[:12]} is no longer in {home}; it was removed, evicted, or ")
        assert told.count("\n") == 1

    def test_removes_what_is_named(self, home: Path, call: Call, call_json: CallJson) -> None:
        files = [object_file(home, key) for key in (DELTA_A, SHARD)]
        assert (
            call("rm", DELTA_A[:8], SHARD[:6]).stdout == f"removed delta {DELTA_A[:12]}\nremoved shard {SHARD[:12]}\n"
        )
        assert {row["key"] for row in call_json("ls")} == {DELTA_B, RUN}
        assert not any(file.exists() for file in files)

    def test_one_wrong_key_removes_nothing(self, home: Path, call: Call, call_json: CallJson) -> None:
        call("rm", DELTA_A, "dddddd", code=2)
        assert len(call_json("ls")) == 4


class TestDu:
    def test_json(self, home: Path, call_json: CallJson) -> None:
        used = call_json("du")
        assert used["entries"] == 4
        assert used["bytes"] >= sum(BYTES.values())
        assert set(used["kinds"]) == {"delta", "shard", "run"}
        assert set(used["datasets"]) == {"demo", "other"}
        assert used["kinds"]["delta"]["entries"] == 2
        assert used["datasets"]["other"]["bytes"] >= BYTES[DELTA_B]

    def test_text(self, home: Path, call: Call) -> None:
        shown = call("du").stdout
        assert shown.splitlines()[0].split() == ["kind", "entries", "objects", "size"]
        assert "\ndataset  entries  objects     size\ndemo           3        3   122 kB\n" in shown
        assert "\n4 entries, 4 objects, 153 kB; " in shown
        assert shown.endswith(f"\n{home}\n")


class TestGc:
    def test_down_to_a_size(self, home: Path, call: Call, call_json: CallJson) -> None:
        call("pin", DELTA_B)
        report = call_json("gc", "--max-bytes", "60kB", "--dry-run")
        assert report["dry_run"]
        assert len(call_json("ls")) == 4
        call("gc", "--max-bytes", "60kB")
        kept = {row["key"] for row in call_json("ls")}
        assert DELTA_B in kept
        assert SHARD not in kept
        assert call_json("du")["bytes"] <= 60_000

    def test_by_age(self, home: Path, call: Call, call_json: CallJson) -> None:
        call("gc", "--older-than", "1h")
        assert len(call_json("ls")) == 4
        time.sleep(0.05)
        call("gc", "--older-than", "0.01s")
        assert call_json("ls") == []

    def test_says_what_was_spared(self, home: Path, call: Call) -> None:
        call("pin", SHARD)
        assert call("gc", "--max-bytes", "60kB", "--dry-run").stdout.splitlines() == [
            "would free 52.1 kB: 3 entries, 3 objects",
            "100 kB would be left; spared 1 entry: 1 pinned",
            "that is more than 60.0 kB: the rest may not be evicted",
        ]
        lines = call("gc", "--max-bytes", "60kB").stdout.splitlines()
        assert lines[0] == "freed 52.1 kB: 3 entries, 3 objects"
        assert call("gc").stdout.startswith("nothing to free\n")

    def test_json_says_why(self, home: Path, call: Call, call_json: CallJson) -> None:
        call("pin", SHARD)
        assert call_json("gc")["spared_because"] == {"pinned": 1}

    @pytest.mark.parametrize(("option", "value"), [("--max-bytes", "lots"), ("--older-than", "a while")])
    def test_wrong_quantities(self, home: Path, call: Call, option: str, value: str) -> None:
        result = call("gc", option, value, code=2)
        assert value in result.stderr
        assert len(result.stderr.splitlines()) == 1


class TestVerify:
    def test_sound(self, home: Path, call: Call, call_json: CallJson) -> None:
        assert "4 objects" in call("verify").stdout
        assert call_json("verify")["damaged"] == []

    def test_damaged(self, home: Path, call: Call, call_json: CallJson) -> None:
        damage(object_file(home, SHARD))
        report = call_json("verify", code=1)
        assert len(report["damaged"]) == 1
        assert list((home / "quarantine").iterdir())
        told = call("verify", code=1).stdout
        assert "damaged" not in told
        assert ": 1 missing\n" in told
        call("gc")
        assert call_json("verify")["ok"]

    def test_missing(self, home: Path, call: Call, call_json: CallJson) -> None:
        object_file(home, SHARD).unlink()
        told = call("verify", code=1).stdout
        assert "all sound" not in told
        report = call_json("verify", code=1)
        assert (report["ok"], report["damaged"], len(report["missing"])) == (False, [], 1)

    def test_a_sample(self, home: Path, call_json: CallJson) -> None:
        assert call_json("verify", "--sample", "50%", "--seed", "7")["objects"] <= 4

    @pytest.mark.parametrize("sample", ["0", "-1", "101%", "2", "some"])
    def test_wrong_samples(self, home: Path, call: Call, sample: str) -> None:
        assert "--sample" in call("verify", "--sample", sample, code=2).stderr


class TestReindex:
    def test_finds_everything_again(self, home: Path, call: Call, call_json: CallJson) -> None:
        (home / "index.sqlite").unlink()
        call("reindex")
        assert {row["key"] for row in call_json("ls")} == set(BYTES)

    def test_json(self, home: Path, call_json: CallJson) -> None:
        assert call_json("reindex")["entries"] == 4


def test_looking_at_a_store_that_may_not_be_written(
    home: Path, call: Call, call_json: CallJson, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOREBAY_READ_ONLY", "1")
    assert len(call_json("ls")) == 4
    assert call_json("du")["entries"] == 4
    assert call_json("show", RUN)["key"] == RUN
    assert call_json("verify")["damaged"] == []
    for command in (["rm", RUN], ["pin", RUN], ["gc", "--max-bytes", "1kB"], ["reindex"]):
        result = call(*command, code=1)
        assert len(result.stderr.splitlines()) == 1
        assert "read" in result.stderr
    assert len(call_json("ls")) == 4


@pytest.mark.parametrize(
    "arguments", [["ls"], ["du", "--json"], ["show", "runs/demo"], ["gc", "--dry-run"], ["verify"], ["reindex"]]
)
def test_store_commands_import_nothing_heavy(home: Path, arguments: list[str]) -> None:
    code = (
        "import json, sys\nfrom forebay.cli.app import forebay\n"
        f"code = forebay.main({arguments!r}, standalone_mode=False)\n"
        "print(json.dumps([code, sorted(sys.modules)]), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    status, modules = json.loads(done.stderr.splitlines()[-1])
    assert status == 0
    assert not set(modules) & {"numpy", "pyarrow", "rich", "yaml", "orjson", "asyncio", "multiprocessing"}
