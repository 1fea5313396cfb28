"""A small real store to give commands on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from forebay import config
from forebay.cli.app import forebay
from forebay.store import Store
from forebay.types import Cost, Entry, Key

DELTA_A = Key("aaaaaa11" + "0" * 56)
DELTA_B = Key("aaaaaa22" + "0" * 56)
SHARD = Key("bbbbbb33" + "0" * 56)
RUN = Key("cccccc44" + "0" * 56)

BYTES = {DELTA_A: 20_000, DELTA_B: 30_000, SHARD: 100_000, RUN: 500}


def entry(kind: str, key: Key, dataset: str, seconds: float, **more: Any) -> Entry:
    """One entry, still without objects."""
    return Entry(kind, key, dataset=dataset, cost=Cost(seconds, BYTES[key]), **more)


def fill(home: Path) -> None:
    """Four entries of three kinds and two datasets, in a store that may be new."""
    parts: dict[str, Any] = {"operator": {"name": "text_length_filter", "min_len": 10}, "input": SHARD}
    entries = [
        entry("shard", SHARD, "demo", 0.5, meta={"rows": 1200}),
        entry("delta", DELTA_A, "demo", 2.0, parts=parts, inputs=(SHARD,), meta={"rows_in": 1200, "rows_out": 1100}),
        entry("delta", DELTA_B, "other", 0.01),
        entry("run", RUN, "demo", 12.0, recoverable=True),
    ]
    with Store.open(config.resolve(home=home)) as store:
        for one in entries:
            # Bytes that no codec makes smaller, different for each entry.
            content = b"".join(bytes([n % 251, n % 241, ord(one.key[0])]) for n in range(BYTES[one.key]))
            store.commit(one, {"data": content[: BYTES[one.key]]})
        store.names.set("runs/demo", "run", RUN)


@pytest.fixture(autouse=True)
def found_from_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let processes that tests start import the forebay under test, wherever they run."""
    monkeypatch.setenv("PYTHONPATH", str(Path(config.__file__).resolve().parents[1]))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Root of a store with a few entries; commands find it by themselves."""
    root = tmp_path / "store"
    monkeypatch.setenv("FOREBAY_HOME", str(root))
    fill(root)
    return root


@pytest.fixture
def call() -> Callable[..., Result]:
    """Give a command in this process; it must end with the code that is expected."""

    def give(*arguments: str, code: int = 0) -> Result:
        result = CliRunner().invoke(forebay, list(arguments))
        assert result.exit_code == code, result.output
        return result

    return give


@pytest.fixture
def call_json(call: Callable[..., Result]) -> Callable[..., Any]:
    """Give a command with ``--json``; returns what it wrote, and nothing else may have been written."""

    def give(*arguments: str, code: int = 0) -> Any:
        result = call(*arguments, "--json", code=code)
        return json.loads(result.stdout)

    return give
