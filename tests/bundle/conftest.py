"""Stores to bundle, and where bundles go."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from forebay import config
from forebay.config import Settings
from forebay.store import Store

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def found_from_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let processes that tests start import the forebay under test, wherever they run."""
    monkeypatch.setenv("PYTHONPATH", str(Path(config.__file__).resolve().parents[1]))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store to bundle from."""
    with Store.open(Settings(home=tmp_path / "store")) as opened:
        yield opened


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Store]:
    """A store to install into."""
    with Store.open(Settings(home=tmp_path / "other")) as opened:
        yield opened
