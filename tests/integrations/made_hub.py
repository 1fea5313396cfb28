"""What hubs have of what the made harness wants: most of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from click.testing import CliRunner, Result

from forebay.cli.app import forebay
from forebay.testing import Repository, tinydata

Call = Callable[..., Any]
"""Gives a command; it must end with the code that is expected."""

FEATURES = {"question": "string"}


def typed(*arguments: str, code: int = 0) -> Result:
    """Give a command; it must end with the code that is expected."""
    done = CliRunner().invoke(forebay, list(arguments))
    assert done.exit_code == code, done.output
    return done


def dataset(name: str, configurations: dict[str, list[str]]) -> Repository:
    """Return a dataset of a few rows in each split of each configuration."""
    files: dict[str, bytes | str] = {}
    for configuration, splits in configurations.items():
        for split in splits:
            rows = [{"question": f"What is {n} in {configuration}, {split}?"} for n in range(3)]
            files[f"{configuration}/{split}.parquet"] = tinydata.parquet(rows, FEATURES)
    shown = {each: {split: f"{each}/{split}.parquet" for split in splits} for each, splits in configurations.items()}
    return Repository(name, files={"README.md": tinydata.card(shown), **files})


def repositories() -> list[Repository]:
    """Return all of them."""
    lines = {"data/part-0.jsonl": '{"a": 1}\n', "data/part-1.jsonl": '{"a": 2}\n', "other": "x"}
    return [
        dataset("org/plain", {"default": ["train", "validation"]}),
        dataset("org/family", {"one": ["test", "dev"], "two": ["test", "dev"], "unused": ["test"]}),
        dataset("org/metrics", {"default": ["test"]}),
        dataset("org/shots", {"default": ["test"]}),
        Repository("org/files", files=lines),
        tinydata.metric("exact_match"),
    ]
