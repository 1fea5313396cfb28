"""The store's conformance suite, over every file system and codec, and with each way of keeping the index."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from forebay.config import Settings
from forebay.events import Hook, ignore
from forebay.store import Store, mounts
from forebay.testing import MemoryFilesystem
from forebay.testing.store_tests import StoreTests


class TestLocal(StoreTests):
    pass


class TestZstd(StoreTests):
    def open_store(self, home: Path, **settings: Any) -> Store:
        return super().open_store(home, codec="zstd", **settings)


class TestLz4Always(StoreTests):
    def open_store(self, home: Path, **settings: Any) -> Store:
        return super().open_store(home, codec="lz4", verify="always", **settings)


class TestGroupGzip(StoreTests):
    def open_store(self, home: Path, **settings: Any) -> Store:
        return super().open_store(home, group=True, codec="gzip", verify="size", **settings)


class TestWithoutLocks(StoreTests):
    """As on NFS: SQLite's dotfile locks and a rollback journal."""

    @pytest.fixture(autouse=True)
    def no_locks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(mounts, "locks_work", lambda folder: False)


class TestMemory(StoreTests):
    """No disk at all: files and index in memory."""

    @pytest.fixture(autouse=True)
    def disk(self) -> None:
        self.fs = MemoryFilesystem()

    def open_store(self, home: Path, *, hook: Hook = ignore, **settings: Any) -> Store:
        return Store.open(Settings(home=home, **{"min_free_bytes": 0, **settings}), fs=self.fs, hook=hook)
