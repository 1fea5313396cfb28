"""A made harness in an environment of its own, and the real ones where they are built."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from made_harness import make
from made_hub import Call, repositories, typed

from forebay.integrations import lm_eval
from forebay.integrations.harness import Harness
from forebay.testing import FakeHub


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an environment that has the made harness, and beside it all that this Python has."""
    folder = tmp_path_factory.mktemp("environment")
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = folder / "lib" / version / "site-packages"
    make(packages)
    (packages / "others.pth").write_text(sysconfig.get_path("purelib") + "\n", "utf-8")
    base = Path(sys.executable).resolve().parent
    (folder / "pyvenv.cfg").write_text(f"home = {base}\ninclude-system-site-packages = false\n", "utf-8")
    (folder / "bin").mkdir()
    (folder / "bin" / "python").symlink_to(Path(sys.executable).resolve())
    return folder


@pytest.fixture(scope="session")
def harness(environment: Path) -> Harness:
    return lm_eval.find(environment)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with FakeHub(repositories()) as started:
        monkeypatch.setenv("HF_ENDPOINT", started.hf_endpoint)
        monkeypatch.setenv("FOREBAY_NLTK_SOURCE", started.hf_endpoint)
        yield started


@pytest.fixture
def call(environment: Path) -> Call:
    """Give a command about tasks of the made harness."""

    return lambda *arguments, code=0: typed(*arguments, "--python", str(environment), code=code)
