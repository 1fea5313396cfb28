"""What every section of the benchmark shares: folders, recipes, how Forebay is called, how samples are kept."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from benchmarks import folders, peers
from benchmarks.kept import Figures as Figures
from benchmarks.kept import Skipped as Skipped
from benchmarks.measure import Command, Cost, Spread

ROOT = Path(__file__).resolve().parent
REPOSITORY = ROOT.parent
RECIPE = ROOT / "recipe.yaml"
FUNCTIONS = ROOT / "recipe_functions.yaml"


@dataclass(frozen=True, slots=True)
class Options:
    """How much to measure."""

    documents: int = 60_000
    large: int = 10
    """The large corpus is this many times the documents."""
    repeats: int = 3
    pairs: int = 7
    """Rounds of what is compared by paired ratios: with and without the store, the mirror and the hub, …"""
    peer_repeats: int = 1
    entries: int = 100_000
    """Entries in the store of the `ls` and `open` figures."""
    megabytes: int = 500
    """Size of the mirror's large file and of the bundle's content."""
    clients: int = 64
    subjects: int = 57
    """Configurations of MMLU."""
    codecs: tuple[str, ...] = ("lz4", "zstd", "gzip")
    quick: bool = False
    """A smoke test: figures mean nothing, and nothing is installed for it."""


@dataclass(frozen=True, slots=True)
class Runs:
    """Samples of one command, in the order in which they were taken."""

    costs: list[Cost] = field(default_factory=list)

    def add(self, cost: Cost) -> Cost:
        self.costs.append(cost)
        return cost

    @property
    def wall(self) -> Spread:
        return Spread.of([cost.wall for cost in self.costs])

    def to_json(self) -> list[dict[str, float]]:
        return [cost.to_json() for cost in self.costs]


class Bench:
    """One benchmark over one work folder."""

    def __init__(self, work: Path, options: Options) -> None:
        self.work, self.options = work, options
        self._written: set[Path] = set()
        work.mkdir(parents=True, exist_ok=True)

    def scratch(self, name: str) -> Path:
        """Return an empty folder for a section."""
        return folders.fresh(self.work / "scratch" / name)

    def drop(self) -> None:
        """Delete what was put aside; to be called when nothing more is measured."""
        folders.drop(self.work)

    def say(self, text: str) -> None:
        """Tell how far we are."""
        print(f"bench: {text}", flush=True)

    def corpus(self, times: int = 1) -> Path:
        """Return the corpus, or one `times` as large; written once."""
        documents = self.options.documents * times
        path = self.work / f"corpus-{documents}.jsonl"
        if not path.exists():
            self.say(f"writing {documents} documents")
        if path not in self._written:  # in another process: numpy's memory would count towards what we start
            told = [sys.executable, "-m", "benchmarks.corpus", str(path), "--documents", str(documents)]
            subprocess.run(told, cwd=REPOSITORY, stdout=subprocess.DEVNULL, check=True)
            self._written.add(path)
        return path

    def forebay(self, name: str, source: Path | None = None, *, codec: str = "none") -> Forebay:
        """Return a store of its own with an export beside it."""
        return Forebay(self.work / "forebay" / name, source or self.corpus(), codec)

    def data_juicer(self, name: str) -> peers.DataJuicer | None:
        """Return Data-Juicer with a cache folder of its own, or None where it is not installed."""
        command = peers.data_juicer()
        return peers.DataJuicer(command, self.work / "dj" / name, self.corpus()) if command else None

    def datasets(self, name: str) -> peers.Datasets:
        """Return `datasets` with a cache folder of its own."""
        return peers.Datasets(self.work / "hf" / name, self.corpus())

    def recipe(self, operator: str, **params: Any) -> Path:
        """Return the recipe with other parameters for one operator."""
        recipe = yaml.safe_load(RECIPE.read_text())
        for step in recipe["process"]:
            if operator in step:
                step[operator] = {**(step[operator] or {}), **params}
        text = yaml.safe_dump(recipe, sort_keys=False)
        path = self.work / "recipes" / f"{operator}-{hashlib.sha256(text.encode()).hexdigest()[:8]}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path


@dataclass(frozen=True, slots=True)
class Forebay:
    """Runs of `forebay run` over one source with one store."""

    folder: Path
    source: Path
    codec: str = "none"

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def export(self) -> Path:
        return self.folder / "result.jsonl"

    def fresh(self) -> Forebay:
        """Forget everything."""
        folders.fresh(self.folder)
        return self

    def over(self, source: Path) -> Forebay:
        """Return the same store and export with another source."""
        return replace(self, source=source)

    def command(self, *arguments: str) -> Command:
        """Return any `forebay` command on this store."""
        argv = [sys.executable, "-m", "forebay.cli", *arguments]
        env = {
            "PYTHONPATH": str(REPOSITORY / "src"), "FOREBAY_HOME": str(self.home), "FOREBAY_CODEC": self.codec,
            "FOREBAY_CONFIG": "/dev/null", "NO_COLOR": "1",
        }  # fmt: skip
        return Command(argv, self.folder, peers.clean_environment(env), self.folder / "log.txt")

    def run(self, recipe: Path = RECIPE, *options: str, processes: int = 2) -> Command:
        """Return one whole run of a recipe; `--json`, so that `report` can say what it did."""
        return self.command(
            "run", str(recipe), "--set", f"dataset_path={self.source}", "--set", f"export_path={self.export}",
            "--set", f"np={processes}", "--json", *options,
        )  # fmt: skip

    def report(self) -> dict[str, Any]:
        """Return what the latest run said of itself."""
        text = (self.folder / "log.txt").read_text()
        return json.loads(text[text.index("{") :])

    def output(self) -> str:
        """Return the SHA-256 of the exported file."""
        with self.export.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    def object_count(self) -> int:
        """Return how many objects are in the store, as quickly as one can look."""
        count = 0
        with suppress(FileNotFoundError):
            for folder in os.scandir(self.home / "objects-v1"):
                count += len(os.listdir(folder.path))
        return count

    def objects(self) -> list[str]:
        """Return the names of all objects in the store, without what tells how they are encoded."""
        folder = self.home / "objects-v1"
        return sorted(f"{path.parent.name}{path.name.split('.')[0]}" for path in folder.rglob("*") if path.is_file())


def repeat(times: int, once: Callable[[int], Cost]) -> Runs:
    """Take several samples."""
    runs = Runs()
    for turn in range(times):
        runs.add(once(turn))
    return runs


def computed(report: Mapping[str, Any]) -> dict[str, int]:
    """Return how many shards each operator of a run computed."""
    return {f"{place} {each['name']}": each["shards_computed"] for place, each in enumerate(report["operators"], 1)}
