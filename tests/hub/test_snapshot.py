"""Snapshots: manifests, choosing files, and what a hub may not list."""

import pytest

from forebay.errors import InputError, NotFoundError, ObjectDamagedError
from forebay.hub import Snapshot, SnapshotFile
from forebay.hub.snapshot import file_key, listed

FILES = tuple(
    SnapshotFile(path, size, f"git:{size:040x}")
    for path, size in (("README.md", 3), ("data/a.csv", 5), ("data/b.csv", 7), ("data/deep/c.csv", 9))
)
SNAPSHOT = Snapshot("hf", "dataset", "team/small", "0" * 40, FILES)


def test_a_manifest_says_all_and_is_canonical() -> None:
    again = Snapshot.from_manifest(SNAPSHOT.manifest(), restricted=True)
    assert (again.files, again.commit, again.restricted) == (FILES, SNAPSHOT.commit, True)
    assert again.manifest() == SNAPSHOT.manifest()
    assert again.key == SNAPSHOT.key


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"files":[{"path":"x"}]}', b"\xff"])
def test_what_is_no_manifest_is_damaged(data: bytes) -> None:
    with pytest.raises(ObjectDamagedError):
        Snapshot.from_manifest(data)


@pytest.mark.parametrize(
    ("include", "exclude", "within", "chosen"),
    [
        ((), (), "", ["README.md", "data/a.csv", "data/b.csv", "data/deep/c.csv"]),
        (("data",), (), "", ["data/a.csv", "data/b.csv", "data/deep/c.csv"]),
        (("*.csv",), ("*/deep/*",), "", ["data/a.csv", "data/b.csv"]),
        ((), (), "data/a.csv", ["data/a.csv"]),
        ((), ("*a*",), "data/deep/", []),
    ],
)
def test_patterns_choose(include: tuple[str, ...], exclude: tuple[str, ...], within: str, chosen: list[str]) -> None:
    assert [file.path for file in SNAPSHOT.chosen(include, exclude, within)] == chosen


def test_a_text_is_no_list_of_patterns() -> None:
    for patterns in ({"include": "*.csv"}, {"exclude": "*.csv"}):
        with pytest.raises(InputError, match=r"not a list of patterns: '\*\.csv'; write \['\*\.csv'\]"):
            SNAPSHOT.chosen(**patterns)


def test_choosing_what_is_not_there_is_an_error() -> None:
    with pytest.raises(NotFoundError, match=r"nothing in hf://datasets/team/small .* is \*.json"):
        SNAPSHOT.chosen(["*.json"])
    with pytest.raises(NotFoundError, match=r"did you mean data/a\.csv"):
        SNAPSHOT.file("data/a.cvs")


@pytest.mark.parametrize(
    "path", ["../x", "a/../../x", "/etc/passwd", "a//b", "a/.", "", "a\0b", "README.md", "caf\udce9"]
)
def test_a_path_that_leads_elsewhere_is_refused(path: str) -> None:
    with pytest.raises(InputError, match="lists the path"):
        listed([SnapshotFile("README.md", 1, "git:" + "0" * 40), SnapshotFile(path, 1, "git:" + "0" * 40)], "a hub")


def test_a_file_is_keyed_by_identity_and_size_alone() -> None:
    one = SnapshotFile("a", 3, "sha256:x", git_oid="y")
    assert one.key == SnapshotFile("b", 3, "sha256:x").key == file_key("sha256:x", 3)
    assert one.key != file_key("sha256:x", 4)
