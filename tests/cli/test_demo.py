"""The demo, as `make demo` runs it: the numbers on its screen are the promise."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).resolve().parents[2] / "demo"


@pytest.mark.slow
def test_the_screen_keeps_its_promise(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    for name in ("run_demo.py", "recipe.yaml"):
        shutil.copy(DEMO / name, tmp_path / "demo" / name)
    done = subprocess.run(
        [sys.executable, "demo/run_demo.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    script = str(Path(sys.executable).with_name("forebay"))  # where a copy of the demo stands, it is spelled out
    lines = done.stdout.replace(script, "forebay").replace(sys.executable, "python").splitlines()
    assert max(len(line) for line in lines) <= 80
    runs = [list(map(_number, re.findall(r"\d[\d,.]*", line)))[1:] for line in lines if re.match(r"\d [a-z]", line)]
    assert len(runs) == 4
    (cold, cold_reused, rows, kept, *_), (again, again_reused, *_), (edit, *_), (late, _, _, late_kept, *_) = runs
    shards = cold // 12
    assert (cold, cold_reused) == (12 * shards, 0)
    assert (again, again_reused) == (0, cold)
    assert 0 < edit <= 2 * 12 + 2 * 2
    assert late == shards
    assert rows > kept > late_kept > 0
    assert not list(tmp_path.glob(".cache")), "only its own folder is touched"


def _number(text: str) -> float:
    return float(text.replace(",", ""))
