"""Forebay in one screen: a recipe over real documents, cold, again, after one edit, and after one change.

The documents are the sources of Python's own standard library, one per file: there on every machine, and the same
bytes for the same Python. All that is made lies in ``demo/work``; the store is there too, not your own.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "demo" / "work"
CORPUS = WORK / "corpus.jsonl"
STORE = WORK / "store"
RECIPE = "demo/recipe.yaml"
LATE_CHANGE = "process.maximum_line_length_filter.max_len=120"
EDITED = "json/decoder.py"


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of the recipe did."""

    computed: int
    reused: int
    rows_in: int
    rows_out: int
    seconds: float
    store_bytes: int


def main() -> int:
    """Build the corpus, run the recipe four times, print one table."""
    for left in (STORE, CORPUS, WORK / "clean.jsonl"):
        shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
    WORK.mkdir(parents=True, exist_ok=True)
    count = build_corpus()
    megabytes = CORPUS.stat().st_size / 1e6
    say(f"{count:,} documents, the sources of Python's standard library ({megabytes:.1f} MB), cleaned by")
    say(f"12 operators ({RECIPE}). A result: the work of one of them on one shard.")
    say()
    say("                             results                              bytes in")
    say("run                       computed  reused  rows in → out  seconds   the store")
    show("1 cold: nothing is known")
    show("2 again, nothing changed")
    edit_one_document()
    show("3 one document edited")
    show("4 last operator changed", "--set", LATE_CHANGE)
    say()
    say(f"Why?    {COMMAND} explain runs/forebay-demo")
    say(f"Space?  {COMMAND} du")
    return 0


def build_corpus() -> int:
    """Write one line per source file, in the order of their paths; return how many."""
    count = 0
    with CORPUS.open("w", encoding="utf-8", newline="\n") as corpus:
        for document in documents():
            corpus.write(json.dumps(document, ensure_ascii=False) + "\n")
            count += 1
    return count


def documents() -> Iterator[dict[str, Any]]:
    """Yield the standard library's source files."""
    library = Path(sysconfig.get_paths()["stdlib"])
    outside = {"site-packages", "dist-packages", "__pycache__"}
    paths = sorted(path.relative_to(library).as_posix() for path in library.rglob("*.py"))
    for path in paths:
        if not outside.intersection(path.split("/")):
            text = (library / path).read_text("utf-8", errors="replace")
            yield {"text": text, "path": path, "lines": text.count("\n")}


def edit_one_document() -> None:
    """Change one line of one document, as someone mending their data would."""
    with CORPUS.open(encoding="utf-8", newline="\n") as corpus:
        lines = list(corpus)
    with CORPUS.open("w", encoding="utf-8", newline="\n") as corpus:
        for line in lines:
            document = json.loads(line)
            if document["path"] == EDITED:
                document["text"] = "# Mended by hand.\n" + document["text"]
                line = json.dumps(document, ensure_ascii=False) + "\n"
            corpus.write(line)


def show(name: str, *options: str) -> None:
    """Run the recipe and print one line of the table; its name comes first, so that one sees what goes on."""
    say(f"{name:<26}", end="")
    run = run_recipe(*options)
    rows = f"{run.rows_in:,} → {run.rows_out:,}"
    say(f"{run.computed:>8,}{run.reused:>8,}{rows:>15}{run.seconds:>9.2f}{run.store_bytes / 1e6:>9.1f} MB")


def run_recipe(*options: str) -> Run:
    """Give `forebay run` as a user would, and read what it tells; the seconds are those of the whole command."""
    command = [sys.executable, "-m", "forebay.cli", "--home", str(STORE), "run", RECIPE, "--json", "--quiet", *options]
    begun = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    seconds = time.perf_counter() - begun
    if done.returncode:
        sys.exit(done.returncode)
    report = json.loads(done.stdout)
    return Run(
        computed=report["computed"],
        reused=report["reused"],
        rows_in=report["rows_in"],
        rows_out=report["rows_out"],
        seconds=seconds,
        store_bytes=report["store_bytes"],
    )


def say(text: str = "", end: str = "\n") -> None:
    """Print now, so that the table grows as the runs go."""
    print(text, end=end, flush=True)  # noqa: T201


def command() -> str:
    """Return how `forebay` is called here, from the repository's root, on the demo's store."""
    script = Path(sys.executable).with_name("forebay")
    called = str(script) if script.exists() else f"{sys.executable} -m forebay.cli"
    return f"{called.removeprefix(f'{ROOT}/')} --home {STORE.relative_to(ROOT)}"


COMMAND = command()

if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        say()
        sys.exit(130)
