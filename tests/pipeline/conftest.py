"""The folder's own modules can be imported, and every test gets a corpus of its own."""

from __future__ import annotations

import sys
from collections.abc import Generator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from pipeline_support import Bench, document

from forebay.pipeline.recipes import importing


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """300 documents in about ten shards."""
    made = Bench(tmp_path, [document(number) for number in range(300)])
    made.write()
    return made


@pytest.fixture(autouse=True)
def as_in_a_new_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """Forget the operators' files that a test imported: those of the next one have the same names."""
    monkeypatch.setattr(importing, "_FOLDERS", {})
    path = list(sys.path)
    yield
    sys.path[:] = path
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]
