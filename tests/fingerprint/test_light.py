"""What importing and using fingerprints brings into a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

HEAVY = (
    "numpy",
    "pyarrow",
    "torch",
    "polars",
    "pandas",
    "tokenizers",
    "asyncio",
    "multiprocessing",
    "sqlite3",
    "tomllib",
)
SOURCE = str(Path(__file__).parents[2] / "src")


def loaded(program):
    done = subprocess.run(
        [sys.executable, "-c", f"{program}\nimport json, sys; print(json.dumps(sorted(sys.modules)))"],
        env={**os.environ, "PYTHONPATH": SOURCE},
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return set(json.loads(done.stdout))


def test_importing_is_light():
    modules = loaded("import forebay.fingerprint")
    assert not modules.intersection(HEAVY)
    assert not modules.intersection({"importlib.metadata", "forebay.fingerprint.registry"})


def test_keys_import_no_framework():
    program = """
import forebay.fingerprint as fp
def fn(x):
    import numpy as np, torch
    return np.sum(x), torch.sum(x)
assert [c.label for c in fp.tree(fn).children if c.label != "python"] == ["numpy", "torch"]
fp.tree({"a": [1, 2.0, {"x"}]})
fp.file_digest("/bin/sh")
fp.combine("a", "b", []); fp.differences(fp.tree(1), fp.tree(2))
"""
    modules = loaded(program)
    assert not modules.intersection(HEAVY)
    assert "importlib.metadata" not in modules


def test_every_public_name_can_be_had():
    import forebay.fingerprint

    for name in forebay.fingerprint.__all__:
        assert getattr(forebay.fingerprint, name) is not None
    assert forebay.fingerprint.__all__ == sorted(forebay.fingerprint.__all__)
