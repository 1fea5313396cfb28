"""A hub with a little of everything, a plain HTTP client, and real clients in processes of their own."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from forebay.testing import FakeHub, Repository

README = "---\nlicense: mit\ntags:\n- small\n---\n# Hello\n"
WEIGHTS = bytes(range(256)) * 64


@dataclass(frozen=True)
class Response:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


type_of_ask = Callable[..., Response]


def fetch(url: str, method: str = "GET", body: bytes | None = None, **headers: str) -> Response:
    """Send one request without following redirects; header names with underscores."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 0, timeout=60)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, f"{parts.path}?{parts.query}".rstrip("?"), body=body, headers=named)
        answer = connection.getresponse()
        return Response(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    finally:
        connection.close()


@pytest.fixture(name="fetch")
def fetch_fixture() -> type_of_ask:
    return fetch


@pytest.fixture
def repository() -> Repository:
    """Two commits, a branch and a tag; README by git, weights and parquet by LFS."""
    files = {
        "README.md": "old",
        "data/train.parquet": b"PAR1" * 50,
        "data/more/part.csv": "a,b\n1,2\n",
        "weights.bin": WEIGHTS,
    }
    made = Repository("org/data", files=files)
    made.tag("v1")
    made.commit({"README.md": README})
    made.branch("refs/convert/parquet", "v1")
    return made


@pytest.fixture
def hub(repository: Repository) -> Iterator[FakeHub]:
    with FakeHub([repository], users={"hf_ann": "ann", "hf_bob": "bob"}) as started:
        yield started


@pytest.fixture
def hf(hub: FakeHub) -> type_of_ask:
    """Ask the Hugging Face address for a path."""
    return lambda path, *args, **headers: fetch(hub.hf_endpoint + path, *args, **headers)


@pytest.fixture
def ms(hub: FakeHub) -> type_of_ask:
    """Ask the ModelScope address for a path."""
    return lambda path, *args, **headers: fetch(hub.ms_endpoint + path, *args, **headers)


@pytest.fixture
def client(tmp_path: Path) -> Callable[..., Any]:
    """Run code in a fresh Python with its own Hugging Face home; what it gives to `tell` comes back."""

    def run(hub: FakeHub, code: str, **environment: str) -> Any:
        told = tmp_path / "told.json"
        start = f"import json\ntell = lambda what: open({str(told)!r}, 'w').write(json.dumps(what))\n"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
        home = {"HF_HOME": str(tmp_path / "hf"), "HF_ENDPOINT": hub.hf_endpoint, "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
        command = [sys.executable, "-c", start + code]
        done = subprocess.run(command, env=kept | home | environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(told.read_text())

    return run
