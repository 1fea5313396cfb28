"""Which files a configuration needs, and what a repository has not."""

from __future__ import annotations

import pytest

from forebay.hub import Snapshot, SnapshotFile
from forebay.hub.cards import configurations, matching
from forebay.integrations.selection import choose
from forebay.integrations.tasks import Load

README = """---
license: mit
configs:
- config_name: one
  data_files:
  - split: train
    path: one/train-*
  - split: test
    path:
    - one/test-0.parquet
- config_name: two
  data_dir: two
  data_files: "*.csv"
- config_name: three
  data_dir: three
- config_name: lost
  data_files: gone/*.json
---
# A dataset
"""
PATHS = (
    "README.md", "one/train-0.parquet", "one/train-1.parquet", "one/test-0.parquet", "one/deep/train-2.parquet",
    "two/a.csv", "two/deep/b.csv", "three/x.json", "three/deep/y.json", "images/1.png",
)  # fmt: skip


def snapshot(*paths: str) -> Snapshot:
    files = tuple(SnapshotFile(path, 1, f"git:{number:040x}") for number, path in enumerate(sorted(paths or PATHS)))
    return Snapshot("hf", "dataset", "org/data", "c" * 40, files)


@pytest.mark.parametrize(
    ("load", "files"),
    [
        (Load("org/data", "one"), {"one/train-0.parquet", "one/train-1.parquet", "one/test-0.parquet"}),
        (Load("org/data", "two"), {"two/a.csv"}),
        (Load("org/data", "three"), {"three/x.json", "three/deep/y.json"}),
        (Load("org/data", None, {"data_files": {"train": "two/**/*.csv"}}), {"two/a.csv", "two/deep/b.csv"}),
        (Load("org/data", None, {"data_files": "b.csv", "data_dir": "two/deep"}), {"two/deep/b.csv"}),
    ],
)
def test_files_of_a_configuration(load: Load, files: set[str]) -> None:
    chosen = choose(snapshot(), README, load)
    assert chosen.gap is None
    assert set(chosen.files) == files | {"README.md"}


@pytest.mark.parametrize(
    ("load", "why"),
    [
        (Load("org/data", "four"), "no configuration 'four'"),
        (Load("org/data"), "several configurations and no default"),
        (Load("org/data", "one", splits=("train", "dev")), "no split dev"),
        (Load("org/data", "lost"), "no file is gone"),
        (Load("org/data", None, {"data_files": "x/*.json"}), "no file is x"),
    ],
)
def test_what_is_not_there_is_told(load: Load, why: str) -> None:
    gap = choose(snapshot(), README, load).gap
    assert gap is not None
    assert why in str(gap)


def test_without_a_word_in_the_readme_all_is_taken() -> None:
    assert set(choose(snapshot(), "# No head\n", Load("org/data", "any")).files) == set(PATHS)


def test_the_default_is_the_one_marked_or_the_only_one() -> None:
    only = "---\nconfigs:\n- config_name: x\n  data_files: two/a.csv\n---\n"
    assert "two/a.csv" in choose(snapshot(), only, Load("org/data")).files
    other = "- config_name: y\n  data_files: z\n"
    marked = f"---\nconfigs:\n{other}- config_name: x\n  default: true\n  data_files: two/a.csv\n---\n"
    assert "two/a.csv" in choose(snapshot(), marked, Load("org/data")).files


def test_a_loading_script_is_told() -> None:
    gap = choose(snapshot("README.md", "data.py"), "", Load("org/data")).gap
    assert gap is not None
    assert "loading script" in gap.why


def test_subsets_of_modelscope_may_be_no_configurations() -> None:
    assert choose(snapshot(), README, Load("org/data", "level-5", hub="ms")).gap is None


@pytest.mark.parametrize(
    "readme", ["", "---\n: [\n---\n", "---\nconfigs: 3\n---\n", "---\n- a\n---\n", "---\nconfigs:\n- 3\n---\n"]
)
def test_nonsense_tells_nothing(readme: str) -> None:
    assert configurations(readme) == {}


@pytest.mark.parametrize(
    ("pattern", "met"),
    [
        ("one/*", {"one/train-0.parquet", "one/train-1.parquet", "one/test-0.parquet"}),
        ("**/*.csv", {"two/a.csv", "two/deep/b.csv"}),
        ("{two,three}/*", {"two/a.csv", "three/x.json"}),
        ("one/train-[0-9].parquet", {"one/train-0.parquet", "one/train-1.parquet"}),
        ("one/train-[!0].parquet", {"one/train-1.parquet"}),
        ("images/?.png", {"images/1.png"}),
        ("hf://datasets/org/data/two/a.csv", {"two/a.csv"}),
        ("hf://datasets/org/data@main/two/a.csv", {"two/a.csv"}),
        ("hf://datasets/org/other/two/a.csv", set()),
        ("two", set()),
    ],
)
def test_patterns(pattern: str, met: set[str]) -> None:
    assert set(matching(snapshot(), pattern)) == met
