"""Models of pydantic: keyed by what they are made of, in every process alike."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pydantic")

SOURCE = Path(__file__).parents[2] / "src"
MODEL = """
import pydantic
from typing import Annotated, Optional
class Base(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(str_strip_whitespace=True)
    name: str = pydantic.Field("a", min_length=1)
    @pydantic.field_validator("name")
    @classmethod
    def clean(cls, value):
        return value.lower()
class Row(Base):
    n: int = 3
    inner: Optional["Row"] = None
    limit: Annotated[float, pydantic.Field(gt=3)] = 4
    @pydantic.computed_field
    @property
    def twice(self) -> int:
        return self.n * 2
    @pydantic.model_validator(mode="after")
    def check(self):
        return self
ADAPTER = pydantic.TypeAdapter(list[Row])
EXAMPLE = Row(n=4)
@pydantic.dataclasses.dataclass
class Point:
    x: int = 1
def fn(x):
    return Row(n=x).n, EXAMPLE.n, ADAPTER.validate_python([]), Point(x)
"""
PRINT = "\nfrom forebay.fingerprint import tree\nprint(tree(fn).digest)\n"


def key(folder, source, seed):
    folder.mkdir()
    (folder / "ops.py").write_text(source + PRINT, "utf-8")
    environ = {**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONHASHSEED": str(seed)}
    done = subprocess.run(
        [sys.executable, "ops.py"], cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_model_has_one_key_in_every_process(tmp_path):
    used = "\nfn(3)\nRow(inner=Row(n=3)).n = 5\nEXAMPLE.model_dump()\nrow = Row(); row.n = 7\n"
    programs = [MODEL, MODEL, MODEL.replace("n: int = 3", "n: int = 3  # rows\n"), MODEL + used]
    keys = {key(tmp_path / str(number), program, number) for number, program in enumerate(programs)}
    assert len(keys) == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("n: int = 3", "n: float = 3"),
        ("n: int = 3", "n: int = 5"),
        ("gt=3", "gt=2"),
        ("value.lower()", "value.upper()"),
        ("self.n * 2", "self.n * 3"),
        ("return self\n", "self.n = 1\n        return self\n"),
        ("str_strip_whitespace=True", "str_strip_whitespace=False"),
        ("min_length=1", "min_length=2"),
        ("Row(n=4)", "Row(n=5)"),
        ("list[Row]", "set[Row]"),
        ("x: int = 1", "x: float = 1"),
    ],
)
def test_what_a_model_is_made_of_is_in_its_key(load, old, new):
    from forebay.fingerprint import tree

    assert old in MODEL
    assert tree(load(MODEL).fn).digest != tree(load(MODEL.replace(old, new)).fn).digest
    assert tree(load(MODEL).fn).digest == tree(load(MODEL).fn).digest
