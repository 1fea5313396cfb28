"""Operators from files: each finds the modules that lie beside it, whatever other folders have."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from pipeline_support import Bench

from forebay.errors import RecipeError
from forebay.pipeline.recipes import importing


def put(folder: Path, **files: str) -> None:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)


def mappers(*places: str) -> list[object]:
    return [{"mapper": {"function": f"{place}:f", "name": place}} for place in places]


def first(bench: Bench, *places: str, processes: int = 1) -> dict[str, object]:
    bench.rows = bench.rows[:5]
    bench.write()
    bench.steps = mappers(*places)
    bench.run(processes=processes)
    return bench.exported()[0]


@pytest.fixture
def two(bench: Bench) -> Bench:
    """Folders a and b, each with operators and a helper of the same name."""
    for name in "ab":
        text = f"import two_helper\ndef f(row):\n    row['{name}'] = two_helper.who()\n    return row\n"
        put(bench.folder / name, operators=text, two_helper=f"def who():\n    return '{name}'\n")
    return bench


@pytest.mark.parametrize("processes", [1, 2])
def test_modules_of_one_name_in_two_folders(two: Bench, processes: int) -> None:
    row = first(two, "a/operators.py", "b/operators.py", "a/operators.py", "b/operators.py", processes=processes)
    assert (row["a"], row["b"]) == ("a", "b")


def test_the_key_is_of_the_module_that_is_called(two: Bench) -> None:
    first(two, "a/operators.py", "b/operators.py")
    put(two.folder / "b", two_helper="def who():\n    return 'changed'\n")
    importing._FOLDERS.pop(str(two.folder / "b"))  # as a new process would find it
    assert first(two, "a/operators.py", "b/operators.py")["b"] == "changed"


def test_a_module_that_was_loaded_from_elsewhere(two: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = two.folder / "elsewhere"
    put(elsewhere, two_helper="def who():\n    return 'elsewhere'\n")
    monkeypatch.syspath_prepend(str(elsewhere))
    import two_helper  # pyright: ignore[reportMissingImports]

    assert first(two, "a/operators.py")["a"] == "a"
    assert sys.modules["two_helper"] is two_helper


def test_a_module_that_is_found_first_elsewhere(two: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    put(two.folder / "elsewhere", two_helper="def who():\n    return 'elsewhere'\n")
    monkeypatch.syspath_prepend(str(two.folder / "elsewhere"))
    before = list(sys.path)
    assert first(two, "b/operators.py")["b"] == "b"
    assert sys.path[: len(before)] == before


def test_what_is_installed_comes_first(bench: Bench) -> None:
    put(bench.folder / "a", json="raise RuntimeError\n", operators="import json\ndef f(row):\n    return row\n")
    assert first(bench, "a/operators.py") == bench.rows[0]


def test_an_import_that_comes_too_late_is_refused(two: Bench) -> None:
    late = "def f(row):\n    import two_helper\n    row['b'] = two_helper.who()\n    return row\n"
    put(two.folder / "b", operators=late)
    with pytest.raises(
        RecipeError, match=r"b/operators\.py:2: two_helper is imported when .*/a has another two_helper"
    ):
        first(two, "a/operators.py", "b/operators.py")


def test_an_import_within_a_function(two: Bench) -> None:
    late = "def f(row):\n    import two_helper\n    row['b'] = two_helper.who()\n    return row\n"
    put(two.folder / "b", operators=late)
    row = first(two, "b/operators.py", "a/operators.py")
    assert (row["a"], row["b"]) == ("a", "b")


def test_dotted_names_find_their_own_neighbours(two: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    put(two.folder, two_helper="def who():\n    return 'here'\n")
    text = "import two_helper\ndef f(row):\n    row['here'] = two_helper.who()\n    return row\n"
    put(two.folder, two_rules=text)
    row = first(two, "a/operators.py", "two_rules", "b/operators.py")
    assert (row["a"], row["here"], row["b"]) == ("a", "here", "b")


class TestRelativeImports:
    TEXT = "from .c import V\ndef f(row):\n    row['v'] = V\n    return row\n"

    def test_without_a_package_it_is_said_how(self, bench: Bench) -> None:
        put(bench.folder / "pk", o=self.TEXT, c="V = 7\n")
        with pytest.raises(RecipeError, match=r"no known parent package; .*write `import c`"):
            first(bench, "pk/o.py")

    def test_a_file_of_a_package_is_imported_as_that(self, bench: Bench) -> None:
        put(bench.folder / "outer", __init__="")
        put(bench.folder / "outer/pk", __init__="", o=self.TEXT, c="V = 7\n")
        assert first(bench, "outer/pk/o.py")["v"] == 7

    def test_packages_of_one_name_in_two_folders(self, bench: Bench) -> None:
        for name in "ab":
            put(bench.folder / name)
            text = self.TEXT.replace("'v'", f"'{name}'")
            put(bench.folder / name / "pk2", __init__="", o=text, c=f"V = '{name}'\n")
        row = first(bench, "a/pk2/o.py", "b/pk2/o.py")
        assert (row["a"], row["b"]) == ("a", "b")
