"""A source that changes between its digest and its reading, or while it is read: nothing is kept under a wrong name."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pipeline_support import Bench

from forebay.errors import SourceError
from forebay.pipeline import Recipe
from forebay.table import proving, sources


def texts(tag: str) -> list[str]:
    return [f"{tag} document {number}" for number in range(50)]


def lines(tag: str) -> bytes:
    return b"".join(json.dumps({"text": text}).encode() + b"\n" for text in texts(tag))


def columns(tag: str) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"text": texts(tag)}), sink)
    return sink.getvalue().to_pybytes()


FORMATS: dict[str, Callable[[str], bytes]] = {
    "d.jsonl": lines,
    "d.jsonl.gz": lambda tag: gzip.compress(lines(tag), mtime=0),
    "d.csv": lambda tag: "\n".join(["text", *texts(tag)]).encode(),
    "d.json": lambda tag: json.dumps([{"text": text} for text in texts(tag)]).encode(),
    "d.parquet": columns,
    "d.txt": lambda tag: tag.encode(),
}


def put(path: Path, data: bytes, *, in_place: bool) -> None:
    """Replace a file, or write over it and leave its times as near to what they were as they can be."""
    if in_place:
        before = path.stat()
        with path.open("r+b") as file:
            file.write(data)
            file.truncate()
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        return
    new = path.with_suffix(".new")
    new.write_bytes(data)
    new.replace(path)


@pytest.fixture(params=FORMATS)
def source(request: Any, tmp_path: Path) -> tuple[Path, Callable[[str], bytes], Recipe]:
    path = tmp_path / request.param
    path.write_bytes(FORMATS[request.param]("old"))
    recipe = Recipe.from_mapping({
        "dataset_path": str(path), "export_path": str(tmp_path / "out.jsonl"),
        "process": ["whitespace_normalization_mapper"],
    })  # fmt: skip
    return path, FORMATS[request.param], recipe


@pytest.mark.parametrize("racy", [True, False])
@pytest.mark.parametrize("when", ["before", "within"])
@pytest.mark.parametrize("in_place", [True, False])
def test_a_source_that_changes_is_an_error_and_leaves_nothing(
    bench: Bench, source: Any, monkeypatch: pytest.MonkeyPatch, racy: bool, when: str, in_place: bool
) -> None:
    path, make, recipe = source
    monkeypatch.setattr(proving, "is_racy", lambda *_: racy)

    def change() -> None:
        if path.read_bytes() != make("new"):
            put(path, make("new"), in_place=in_place)

    def ingest(*given: Any) -> Iterator[Any]:
        if when == "before":
            change()
        for rows in given[0](*given[1:]):
            change()
            yield rows

    def scan(*given: Any) -> Any:
        change()
        return given[0](*given[1:])

    with monkeypatch.context() as patch:
        inner = sources._ingest
        patch.setattr(sources, "_ingest", lambda *given: ingest(inner, *given))
        cut = sources.scan
        patch.setattr(sources, "scan", lambda *given: scan(cut, *given))
        with pytest.raises(SourceError, match="changed while it was being read"):
            bench.run(recipe)
    bench.run(recipe)
    assert bench.exported()[0]["text"].startswith("new")
    put(path, make("old"), in_place=False)
    bench.run(recipe)
    assert bench.exported()[0]["text"].startswith("old")


def test_a_source_that_is_as_it_was_is_read_once(bench: Bench, source: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path, _, recipe = source
    monkeypatch.setattr(proving, "is_racy", lambda *_: False)
    digested: list[str] = []
    inner = proving.file_digest
    monkeypatch.setattr(proving, "file_digest", lambda name, memo: [digested.append(name), inner(name, memo)][1])
    bench.run(recipe)
    assert digested == [str(path)]
    assert bench.exported()[0]["text"].startswith("old")
