"""Lets the tests of this folder import what they share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from table_support import Memory


@pytest.fixture
def objects() -> Memory:
    return Memory()
