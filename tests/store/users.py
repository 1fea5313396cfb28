"""Code that runs as another user of the machine."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NOBODY = 65534
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")

# The interpreter's own files need not be readable to others, so all is imported before we become one of them.
IMPORTS = """
import concurrent.futures.thread, ctypes, importlib.metadata, os, random, sqlite3, sys, threading
from pathlib import Path
from forebay.config import Settings
from forebay.errors import StoreReadOnlyError
from forebay.io import ProcessName, mapping
from forebay.store import Store
from forebay.store.index import Index
from forebay.store.entry import versions
from forebay.types import Entry, Key
mapping._mapper()
ProcessName.mine()
versions()
os.setgroups([]); os.setgid({gid}); os.setuid({uid})
"""


def run_as(code: str, *arguments: object, uid: int = NOBODY, gid: int = NOBODY) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", IMPORTS.format(uid=uid, gid=gid) + code, *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


@contextmanager
def folder_for_all() -> Iterator[Path]:
    """Make a folder that other users can reach; pytest's own are closed to them."""
    with tempfile.TemporaryDirectory(prefix="forebay-test-") as name:
        Path(name).chmod(0o755)
        yield Path(name)
