"""What a key costs: functions seen for the first time and again, values, files. `python -m benchmarks.fingerprint`.

Every figure is CPU time of the process, all threads; medians with lowest and highest of the samples. "cold": the
function's file was never looked at; "neighbour": another function of a file that was; "again": the same one once more.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks.measure import Spread
from benchmarks.micro import TYPICAL

FILES = 100


def sampled(calls: Iterable[Callable[[], object]]) -> Spread:
    """Time each call once."""
    samples: list[float] = []
    for call in calls:
        began = time.process_time_ns()
        call()
        samples.append((time.process_time_ns() - began) / 1e9)
    return Spread.of(samples)


def modules(folder: Path) -> Iterable[ModuleType]:
    for number in range(FILES):
        path = folder / f"typical_{number}.py"
        path.write_text(TYPICAL.format(n=number), "utf-8")
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = module
        spec.loader.exec_module(module)
        yield module


class Cleaner:
    """A typical operator object."""

    def __init__(self, words: set[str]) -> None:
        self.words = words
        self.options = {"lower": True, "limits": [10, 2000]}

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "text": self.clean(row["text"])}

    def clean(self, text: str) -> str:
        return " ".join(word for word in text.split() if word not in self.words)


def measure(folder: Path) -> dict[str, Spread]:
    from forebay.fingerprint import differences, file_digest, tree

    began = time.process_time_ns()
    tree(len)
    figures = {"first use: what is imported then": Spread.of([(time.process_time_ns() - began) / 1e9])}
    made = list(modules(folder))
    cleaners = [getattr(module, f"clean_{number}") for number, module in enumerate(made)]
    others = [getattr(module, f"trim_{number}") for number, module in enumerate(made)]
    figures["function, cold"] = sampled([lambda f=f: tree(f) for f in cleaners])
    figures["function, neighbour"] = sampled([lambda f=f: tree(f) for f in others])
    figures["function, again"] = sampled([lambda f=f: tree(f) for f in cleaners])
    trees = [tree(f) for f in cleaners]
    figures["KeyTree.to_json"] = sampled([lambda t=t: json.dumps(t.to_json()) for t in trees])
    figures["differences"] = sampled([lambda a=a, b=b: differences(a, b) for a, b in pairwise(trees)])
    cleaner = Cleaner({"the", "of"})
    tree(cleaner)
    figures["object with methods, again"] = sampled([lambda: tree(cleaner)] * 200)
    options = {"min_len": 10, "max_len": 2000, "fields": ["text", "meta"], "ratio": 0.25, "lang": None}
    figures["options of an operator"] = sampled([lambda: tree(options)] * 200)
    numbers, names = list(range(100_000)), {f"word{n}": n for n in range(100_000)}
    figures["list of 100,000 integers"] = sampled([lambda: tree(numbers)] * 5)
    figures["dict of 100,000 words"] = sampled([lambda: tree(names)] * 5)
    small, large = folder / "small", folder / "large"
    small.write_bytes(b"x" * 4096)
    large.write_bytes(b"x" * (64 << 20))
    figures["file of 4 KB"] = sampled([lambda: file_digest(small)] * 200)
    figures["file of 64 MB"] = sampled([lambda: file_digest(large)] * 5)
    return figures | arrays()


def arrays() -> dict[str, Spread]:
    import numpy as np
    import pyarrow as pa

    from forebay.fingerprint import tree

    numbers = np.arange(8 << 20, dtype=np.int64)
    table = pa.table({"text": pa.array(["some words of text"] * 1_000_000), "n": pa.array(range(1_000_000))})
    tree(table)
    return {
        "numpy array of 64 MB": sampled([lambda: tree(numbers)] * 5),
        "Arrow table of 1,000,000 rows, 30 MB": sampled([lambda: tree(table)] * 5),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print seconds as JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder))
    if options.json:
        print(json.dumps({name: asdict(found) for name, found in figures.items()}))
        return
    print(f"{'CPU milliseconds':42}{'median':>10}{'lowest':>10}{'highest':>10}{'samples':>9}")
    for name, found in figures.items():
        print(f"{name:42}{found.median * 1e3:10.3f}{found.low * 1e3:10.3f}{found.high * 1e3:10.3f}{found.count:9}")


if __name__ == "__main__":
    main()
