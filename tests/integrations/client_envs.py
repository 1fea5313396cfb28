"""The environments of real harnesses, where somebody has built them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_CLIENTS = Path(os.environ.get("FOREBAY_CLIENT_ENVS", Path(__file__).parents[2] / ".venvs"))


def client_environment(name: str) -> Path:
    """Return a client's environment, or skip the test."""
    found = _CLIENTS / name
    if not (found / "bin" / "python").exists():
        pytest.skip(f"no environment {name}: make test-clients builds it")
    return found
