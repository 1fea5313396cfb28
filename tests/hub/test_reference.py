"""What people type."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.errors import InputError
from forebay.hub import Reference, parse


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("hf://datasets/Rowan/hellaswag", Reference("hf", "dataset", "Rowan/hellaswag")),
        ("hf://datasets/squad", Reference("hf", "dataset", "squad")),
        ("hf://Qwen/Qwen3-0.6B@v1.0", Reference("hf", "model", "Qwen/Qwen3-0.6B", "v1.0")),
        ("hf://spaces/evaluate-metric/bleu", Reference("hf", "space", "evaluate-metric/bleu")),
        ("hf://datasets/a/b@main#cfg", Reference("hf", "dataset", "a/b", "main", "cfg")),
        ("hf://datasets/a/b#cfg", Reference("hf", "dataset", "a/b", None, "cfg")),
        ("hf://datasets/a/b@refs/convert/parquet", Reference("hf", "dataset", "a/b", "refs/convert/parquet")),
        ("hf://datasets/a/b@refs/pr/1/data/x.csv", Reference("hf", "dataset", "a/b", "refs/pr/1", path="data/x.csv")),
        ("hf://datasets/a/b@x%2Fy/data", Reference("hf", "dataset", "a/b", "x/y", path="data")),
        ("hf://datasets/a/b/data/train.csv", Reference("hf", "dataset", "a/b", path="data/train.csv")),
        ("ms://datasets/modelscope/ceval", Reference("ms", "dataset", "modelscope/ceval")),
        ("ms://Qwen/Qwen3", Reference("ms", "model", "Qwen/Qwen3")),
        ("https://host/a%20b.gz?x=1", Reference("url", "file", "https://host/a%20b.gz?x=1")),
        ("https://host/a#sha256=" + "A" * 64, Reference("url", "file", "https://host/a", sha256="a" * 64)),
        ("s3://bucket/some/prefix/", Reference("store", "folder", "s3://bucket/some/prefix")),
        ("file:///data/a%20b", Reference("local", "folder", "/data/a b")),
        ("data/x", Reference("local", "folder", "/base/data/x")),
        ("/data/x", Reference("local", "folder", "/data/x")),
    ],
)
def test_a_reference_says_what_is_meant(text: str, meant: Reference) -> None:
    found = parse(text, base=Path("/base"))
    assert found == meant
    assert parse(str(found)) == found


@pytest.mark.parametrize(
    "text",
    ["", "hf://", "hf://datasets", "hf://datasets/a/b@", "hf://a/../b", "hf://a/b/../c", "hf://datasets/a/.b", "xy://z",
     "https://user:secret@host/x", "https://host/x#md5=1", "https://host/x#sha256=12", "s3:///", "hf://a b/c", "http://",
     "caf\udce9.txt", "http://[::1", "http://host:port/x", "http://host:99999/x"],
)  # fmt: skip
def test_what_is_none_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(text)
    assert "\n" not in str(caught.value)
    assert "secret@" not in str(caught.value)


def test_a_path_is_a_file_or_folder(tmp_path: Path) -> None:
    assert parse(tmp_path) == parse(str(tmp_path))
    nothing: Any = None
    with pytest.raises(InputError, match="not a reference: None; write a path"):
        parse(nothing)


def test_a_full_commit_is_known_as_such() -> None:
    assert parse("hf://a/b@" + "0" * 40).commit == "0" * 40
    assert parse("hf://a/b@" + "0" * 39).commit is None
    assert parse("ms://a/b").asked_revision == "master"
    assert parse("hf://a/b").asked_revision == "main"


_WORD = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,8}", fullmatch=True)
_REVISION = st.text(st.characters(categories=("L", "N", "P", "S"), exclude_characters="\x7f"), min_size=1, max_size=12)


@given(st.sampled_from(["dataset", "model", "space"]), _WORD, _WORD, st.none() | _REVISION, st.none() | _WORD)
def test_any_repository_survives_being_written_and_read(
    kind: str, namespace: str, name: str, revision: str | None, path: str | None
) -> None:
    if (revision and ".." in revision) or namespace in ("datasets", "models", "spaces", "dataset", "model"):
        return
    if revision and revision.startswith("refs/"):
        return
    reference = Reference("hf", kind, f"{namespace}/{name}", revision, "", path or "")  # pyright: ignore[reportArgumentType]
    assert parse(str(reference)) == reference
