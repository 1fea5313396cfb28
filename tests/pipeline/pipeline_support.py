"""A small corpus that can be edited, and a run over it in few words."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from forebay.config import resolve
from forebay.events import Event, What
from forebay.pipeline import Recipe, RunOptions, RunReport, run
from forebay.store import Store

WORDS = [
    "alpha",
    "beta",
    "gamma",
    "delta",
    "river",
    "dam",
    "pool",
    "turbine",
    "water",
    "",
    "flow",
    "http://x.org/a",
    "me@x.org",
    "one",
    "two",
    "",
    "three",
]

STEPS: list[object] = [
    "whitespace_normalization_mapper",
    "clean_links_mapper",
    {"text_length_filter": {"min_len": 30}},
    "document_deduplicator",
    {"words_num_filter": {"min_num": 4}},
]


def document(number: int, seed: int = 0) -> dict[str, Any]:
    """A row; every seventh repeats the one three before it."""
    dice = random.Random((number - 3 if number % 7 == 6 else number) * 1000 + seed)
    return {"id": number, "text": " ".join(dice.choices(WORDS, k=dice.randint(1, 30))), "meta": {"n": number % 5}}


@dataclass
class Bench:
    """A folder with a corpus, a store and a recipe."""

    folder: Path
    rows: list[dict[str, Any]]
    steps: list[object] = field(default_factory=lambda: list(STEPS))
    recipe: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)

    @property
    def corpus(self) -> Path:
        return self.folder / "corpus.jsonl"

    @property
    def out(self) -> Path:
        return self.folder / "out.jsonl"

    def write(self) -> None:
        self.corpus.write_text("".join(json.dumps(row) + "\n" for row in self.rows))

    def open(self) -> Store:
        return Store.open(resolve(home=self.folder / "store", **self.settings))

    def make(self, **changes: Any) -> Recipe:
        values = {
            "project_name": "test", "dataset_path": str(self.corpus), "export_path": str(self.out),
            "process": self.steps,
            "shard_bytes": 4000, **self.recipe, **changes,
        }  # fmt: skip
        return Recipe.from_mapping(values, base=self.folder)

    def run(self, recipe: Recipe | None = None, **options: Any) -> RunReport:
        """Run with a store that is opened and closed around it; `store=None` for none."""
        chosen = RunOptions(**{"processes": 1, **options})
        self.events.clear()
        with self.open() as store:
            report = run(recipe or self.make(), store=store, options=chosen, hook=self.events.append)
        return replace(report, _open=None)  # its store is closed

    def told(self) -> list[str]:
        return [event.message for event in self.events if event.what is What.WARNING]

    def exported(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.read_text().splitlines()]

    def files(self) -> list[Path]:
        return [path for path in (self.folder / "store").rglob("*") if path.is_file()]


def counts(report: RunReport) -> dict[str, tuple[int, int]]:
    """Per operator: shards computed, shards reused."""
    return {one.name: (one.shards_computed, one.shards_reused) for one in (report.read, *report.operators)}
