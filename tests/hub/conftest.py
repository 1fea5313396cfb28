"""A hub on loopback, a store, and Forebay between them with little patience."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from forebay import config
from forebay.events import Event, What
from forebay.hub import Hub, HubSettings
from forebay.hub.http import Waits
from forebay.store import Store
from forebay.testing import FakeHub, Repository

LARGE = b"".join((n * 2654435761 % 2**32).to_bytes(4, "little") for n in range(800_000))
"""3.2 MB in which every MB is another."""

FILES: dict[str, bytes] = {
    "README.md": b"# small\n",
    "data/train.csv": b"a,b\n1,2\n" * 2000,
    "data/empty.txt": b"",
    "data/train.parquet": LARGE,
}


@dataclass
class World:
    """Events heard, and the doors to open stores and hubs by."""

    fake: FakeHub
    home: Path
    stack: ExitStack
    events: list[Event] = field(default_factory=list[Event], repr=False)

    def settings(self, **more: Any) -> HubSettings:
        given = {"hf_endpoints": (self.fake.hf_endpoint,), "ms_endpoints": (self.fake.ms_endpoint,), "attempts": 3}
        return HubSettings(**{"timeout_seconds": 10.0, **given, **more})

    def store(self, **more: Any) -> Store:
        return self.stack.enter_context(Store.open(config.resolve({}, **{"home": self.home, **more})))

    def hub(self, store: Store | None = None, origins: Any = None, **more: Any) -> Hub:
        settings, waits = self.settings(**more), Waits(0.001, 0.01)
        hub = Hub(store or self.store(), settings, self.events.append, origins=origins, waits=waits)
        return self.stack.enter_context(hub)

    def fetched_bytes(self) -> int:
        return sum(event.bytes for event in self.events if event.what is What.FETCH)

    def warnings(self) -> list[str]:
        return [event.message for event in self.events if event.what is What.WARNING]

    def sent_bytes(self, pattern: str = "train.parquet") -> int:
        """Bytes of a file that left the hub."""
        return sum(
            one.sent_bytes
            for one in self.fake.log
            if pattern.rpartition("/")[2] in one.path and one.status in (200, 206)
        )


@pytest.fixture
def repository() -> Repository:
    return Repository("team/small", files=FILES)


@pytest.fixture
def fake(repository: Repository) -> Iterator[FakeHub]:
    with FakeHub([repository]) as hub:
        yield hub


@pytest.fixture
def world(fake: FakeHub, tmp_path: Path) -> Iterator[World]:
    with ExitStack() as stack:
        yield World(fake, tmp_path / "store", stack)


@pytest.fixture
def second_hub() -> Iterator[Callable[..., FakeHub]]:
    """Start further hubs."""
    with ExitStack() as stack:
        yield lambda *repositories, **more: stack.enter_context(FakeHub(repositories, **more))
