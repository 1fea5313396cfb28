"""Whether a dataset's pattern would find a file that is not there yet: as `glob` finds it once it is."""

from __future__ import annotations

import glob
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.table.resolving import would_read

NAMES = ["a.jsonl", "b.jsonl", ".a.jsonl", "deep", ".deep", "a[1].jsonl"]
PATTERNS = ["*", "**", "?.jsonl", "[ab].jsonl", ".*", "a.jsonl", "deep", "*.jsonl", "d*", "a[[]1].jsonl", "a**"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("patterns")


@given(
    st.lists(st.sampled_from(["deep", ".deep", "a"]), max_size=2),
    st.sampled_from(["a.jsonl", "b.jsonl", ".a.jsonl", "a[1].jsonl"]),
    st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=3),
)
def test_it_is_what_glob_finds(folder: Path, folders: list[str], name: str, pattern: list[str]) -> None:
    item = str(folder.joinpath(*pattern))
    if not glob.has_magic(item):
        return
    path = folder.joinpath(*folders, name)
    told = would_read(item, str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    try:
        assert told == (str(path) in glob.glob(item, recursive=True))
    finally:
        path.unlink()


def test_what_is_no_data_is_not_read(tmp_path: Path) -> None:
    assert not would_read(str(tmp_path / "*"), str(tmp_path / "out"))
    assert would_read(str(tmp_path / "*"), str(tmp_path / "out.jsonl.zst"))


def test_other_spellings_of_the_same_place(tmp_path: Path) -> None:
    out = str(tmp_path / "data" / "out.jsonl")
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "data")
    assert would_read(f"{tmp_path}/./data//*.jsonl", out)
    assert would_read(f"{tmp_path}/link/*.jsonl", out)
    assert would_read(f"{tmp_path}/link/../data/*.jsonl", out)
    assert would_read(f"{tmp_path}/data/*.jsonl", f"{tmp_path}/link/out.jsonl")
    assert not would_read(f"{tmp_path}/*/../data/out.jsonl", out)  # not seen, and no error
