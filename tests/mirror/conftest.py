"""A hub that is there, mirrors in front of it (in this process, and as processes of their own), and clients."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from forebay.config import HubSettings, resolve
from forebay.hub import Hub
from forebay.mirror.huggingface import HuggingFace
from forebay.mirror.library import Library
from forebay.mirror.modelscope import ModelScope
from forebay.store import Store
from forebay.testing import FakeHub

SOURCE = Path(__file__).parents[2] / "src"
PATIENCE_SECONDS = 30.0


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def ask(url: str, method: str = "GET", body: bytes | None = None, **headers: str) -> Reply:
    """Send one request; raises what http.client does when the answer is cut off."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=PATIENCE_SECONDS)
    try:
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        connection.request(method, target, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return Reply(answer.status, {n.lower(): v for n, v in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def clean_environment(home: Path) -> dict[str, str]:
    """The environment of a user who has never heard of any of this."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "SSL_CERT_FILE") if name in os.environ}
    return {**kept, "HOME": str(home), "PYTHONPATH": str(SOURCE), "PYTHONWARNINGS": "ignore"}


@dataclass
class MirrorProcess:
    """`forebay mirror` as a user runs it."""

    process: subprocess.Popen[str]
    endpoint: str
    lines: list[str] = field(default_factory=list)

    def ask(self, path: str, method: str = "GET", **headers: str) -> Reply:
        return ask(self.endpoint + path, method, **headers)

    def counts(self) -> dict[str, Any]:
        return self.ask("/-/mirror").json()

    def rss_bytes(self) -> int:
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmRSS")

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(PATIENCE_SECONDS)


@pytest.fixture
def start_mirror(tmp_path: Path) -> Iterator[Callable[..., MirrorProcess]]:
    with ExitStack() as stack:
        yield lambda *arguments, **variables: stack.enter_context(_mirror(tmp_path, arguments, variables))


class _mirror:
    def __init__(self, tmp_path: Path, arguments: tuple[str, ...], variables: dict[str, str]) -> None:
        self.tmp_path, self.arguments, self.variables = tmp_path, arguments, variables

    def __enter__(self) -> MirrorProcess:
        ready = self.tmp_path / f"ready-{time.monotonic_ns()}"
        home = self.tmp_path / "store"
        environ = clean_environment(self.tmp_path) | {"FOREBAY_HOME": str(home)} | self.variables
        command = [sys.executable, "-m", "forebay.cli", "mirror", "--port", "0", "--ready-file", str(ready)]
        self.log = (self.tmp_path / f"{ready.name}.log").open("w")
        self.process = subprocess.Popen(
            [*command, *self.arguments], env=environ, stdout=self.log, stderr=subprocess.STDOUT, text=True
        )
        wait_until(lambda: ready.exists() or self.process.poll() is not None)
        assert ready.exists(), Path(self.log.name).read_text()
        return MirrorProcess(self.process, ready.read_text().strip())

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE_SECONDS)
            finally:
                self.process.kill()
                self.process.wait()
        self.log.close()


def wait_until(true: Callable[[], object], seconds: float = PATIENCE_SECONDS) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "it never came"
        time.sleep(0.01)


def upstream(hub: FakeHub) -> tuple[str, ...]:
    return ("--upstream", hub.hf_endpoint, "--ms-upstream", hub.ms_endpoint)


@dataclass
class Clock:
    """Seconds that pass when told to."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Bench:
    """Both protocols in this process, without sockets of our own."""

    hub: Hub
    library: Library
    clock: Clock
    told: list[str]

    @property
    def hf(self) -> HuggingFace:
        return HuggingFace(self.library)

    @property
    def ms(self) -> ModelScope:
        return ModelScope(self.library)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    with ExitStack() as stack:

        def make(fake: FakeHub, *, offline: bool = False, fresh: float = 60.0, **restricted: bool) -> Bench:
            settings = HubSettings(
                (fake.hf_endpoint,), (fake.ms_endpoint,), offline=offline, fresh_seconds=fresh, attempts=3
            )
            store = stack.enter_context(Store.open(resolve(home=tmp_path / "store")))
            hub = stack.enter_context(Hub(store, settings))
            clock, told = Clock(), list[str]()
            library = Library(hub, settings, clock=clock, hook=lambda event: told.append(event.message), **restricted)
            return Bench(hub, library, clock, told)

        yield make


@pytest.fixture
def run_client(tmp_path: Path) -> Callable[..., str]:
    """Run a script with an unmodified client in an environment of its own; return what it prints."""

    def run(code: str, endpoint: str, *, home: str = "client", python: str = sys.executable, **variables: str) -> str:
        place = tmp_path / home
        place.mkdir(exist_ok=True)
        environ = clean_environment(place) | {
            "HF_ENDPOINT": endpoint,
            "HF_HOME": str(place / "hf"),
            "MODELSCOPE_ENDPOINT": endpoint,
            "MODELSCOPE_CACHE": str(place / "ms"),
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        }
        environ.pop("PYTHONPATH")
        done = subprocess.run(
            [python, "-c", code], env=environ | variables, cwd=place, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    return run


@pytest.fixture(name="ask")
def ask_fixture() -> Callable[..., Reply]:
    return ask


@pytest.fixture(name="wait_until")
def wait_until_fixture() -> Callable[..., None]:
    return wait_until


@pytest.fixture(name="upstream")
def upstream_fixture() -> Callable[[FakeHub], tuple[str, ...]]:
    return upstream
