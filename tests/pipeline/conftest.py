"""The folder's own modules can be imported, and every test gets a corpus of its own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from pipeline_support import Bench, document


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """300 documents in about ten shards."""
    made = Bench(tmp_path, [document(number) for number in range(300)])
    made.write()
    return made
