"""One hub, one store into which all was fetched, and unmodified clients in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from forebay import config
from forebay.hub import Hub, HubSettings
from forebay.store import Store
from forebay.testing import FakeHub, Repository, tinydata

SUBJECTS = tinydata.MMLU_SUBJECTS[:3]
QUIET = "import logging; logging.disable(logging.CRITICAL)\n"


@dataclass(frozen=True)
class World:
    """A hub, and a store that holds all of it."""

    fake: FakeHub
    home: Path
    repositories: Mapping[str, Repository]

    def commit(self, name: str) -> str:
        return self.repositories[name].at().sha

    def hub_settings(self, **more: Any) -> HubSettings:
        given: dict[str, Any] = {"hf_endpoints": (self.fake.hf_endpoint,), "ms_endpoints": (self.fake.ms_endpoint,)}
        return HubSettings(**{**given, **more})

    def store(self, home: Path | None = None, **more: Any) -> Store:
        return Store.open(config.resolve({}, home=home or self.home, **more))

    def object(self, store: Store, reference: str, path: str) -> Path:
        """Return where a file's object lies."""
        with Hub(store, self.hub_settings()) as hub:
            snapshot = hub.known(reference)
            assert snapshot is not None
            entry = hub.file(snapshot, path)
            assert entry is not None
            digest = entry.objects[0].digest
        return store.home / "objects-v1" / digest[:2] / digest[2:]


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    home = tmp_path_factory.mktemp("world") / ".cache" / "store"
    model = Repository(
        "org/model", type="model", files={"config.json": '{"a": 1}', "deep/er/w.safetensors": bytes(1 << 20)}
    )
    ceval = Repository("evalscope/ceval.v1", files={"README.md": "# ceval\n", "data/test.csv": "a,b\n1,2\n"})
    repositories = [tinydata.hellaswag(), tinydata.gsm8k(), tinydata.mmlu(subjects=SUBJECTS), model, ceval]
    with FakeHub(repositories) as fake:
        made = World(fake, home, {each.id: each for each in repositories})
        with made.store() as store, Hub(store, made.hub_settings()) as hub:
            for name in ("datasets/Rowan/hellaswag", "datasets/openai/gsm8k", "datasets/cais/mmlu", "org/model"):
                hub.fetch(f"hf://{name}")
            hub.fetch("hf://datasets/gsm8k")
            hub.fetch("ms://datasets/evalscope/ceval.v1")
        yield made


@pytest.fixture
def store(world: World) -> Iterator[Store]:
    with world.store() as opened:
        yield opened


Client = Callable[..., Any]


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user reaches: pytest's own are closed to others."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def client(open_folder: Path, world: World) -> Client:
    """Run code offline in a fresh Python; what it gives to `tell` comes back, and the hub must not have been asked."""

    def run(code: str, *, python: str = sys.executable, cwd: Path | None = None, **variables: str) -> Any:
        told = open_folder / "told"
        told.mkdir(exist_ok=True)
        told.chmod(0o777)
        start = f"import json\ntell = lambda what: open({str(told / 'told.json')!r}, 'w').write(json.dumps(what))\n"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING", "PYTHON"))}
        home = open_folder / "client-home"
        home.mkdir(exist_ok=True)
        home.chmod(0o777)
        given = {
            "HOME": str(home),
            "XDG_CACHE_HOME": str(home),
            "HF_ENDPOINT": world.fake.hf_endpoint,
            "HF_HUB_OFFLINE": "1",
            "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
        }
        before = world.fake.count()
        done = subprocess.run(
            [python, "-c", start + QUIET + code],
            env=kept | given | variables,
            capture_output=True,
            text=True,
            timeout=120,
            cwd=cwd or home,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        assert world.fake.count() == before, "it asked the hub"
        found = json.loads((told / "told.json").read_text())
        (told / "told.json").unlink()
        return found

    return run
