"""Every test runs in an empty home of its own, and fails when it leaks a file descriptor or a thread."""

from __future__ import annotations

import gc
import os
import pwd
import threading
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import hypothesis
import pytest

_FDS = Path("/proc/self/fd")
_CLIENTS = Path(os.environ.get("FOREBAY_CLIENT_ENVS") or Path(__file__).parents[1] / ".venvs")

# No test asserts on time: an example that takes long says something of the machine.
hypothesis.settings.register_profile(
    "forebay",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
    parent=hypothesis.settings.get_profile("default"),
)
hypothesis.settings.load_profile("forebay")


@pytest.fixture(scope="session")
def client_environment() -> Callable[[str], Path]:
    """Give the folder of a client environment that `make test-clients` builds; without it, the test is skipped."""

    def find(name: str) -> Path:
        found = _CLIENTS / name
        if not (found / "bin" / "python").exists():
            pytest.skip(f"no environment {name}: make test-clients builds it")
        return found

    return find


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs programs of others."""
    for item in items:
        if "client_environment" in getattr(item, "fixturenames", ()):
            item.add_marker("clients")


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep tests away from the user's store, settings and terminal."""
    for name in [name for name in os.environ if name.startswith("FOREBAY_")]:
        monkeypatch.delenv(name)
    home = tmp_path_factory.mktemp("home", numbered=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    monkeypatch.setenv("FOREBAY_HOME", str(home / "forebay"))


@pytest.fixture
def no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be a user without a home folder, as in a container that was started under some number."""

    def unknown(number: int) -> pwd.struct_passwd:
        raise KeyError(f"getpwuid(): uid not found: {number}")

    for name in ("HOME", "XDG_CACHE_HOME", "FOREBAY_HOME"):
        monkeypatch.delenv(name)
    monkeypatch.setattr(pwd, "getpwuid", unknown)


@pytest.fixture(autouse=True)
def nothing_leaks() -> Iterator[None]:
    """Compare open files and threads before and after; what a collection frees is no leak."""
    fds, threads = _open_files(), set(threading.enumerate())
    yield
    left_fds = _settle(lambda: {n: what for n, what in _open_files().items() if fds.get(n) != what})
    left_threads = _settle(lambda: {t for t in threading.enumerate() if t not in threads and t.is_alive()})
    assert not left_fds, f"leaked file descriptors: {left_fds}"
    assert not left_threads, f"leaked threads: {left_threads}"


def _settle(look: Callable[[], Collection[object]]) -> Collection[object]:
    """Look again for a while: threads need a moment to end, cycles a collection."""
    left = look()
    for _ in range(20):
        if not left:
            break
        gc.collect()
        time.sleep(0.02)
        left = look()
    return left


def _open_files() -> dict[str, str]:
    if not _FDS.is_dir():  # only Linux can tell
        return {}
    found: dict[str, str] = {}
    for name in os.listdir(_FDS):
        try:
            what = os.readlink(_FDS / name)
        except OSError:  # the descriptor of this very listing
            continue
        if "/libffi" not in what:  # the library keeps its own file open once ctypes is loaded
            found[name] = what
    return found
