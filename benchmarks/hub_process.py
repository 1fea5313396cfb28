"""A `FakeHub` in a process of its own, so that it shares no interpreter with who is measured.

The process is driven by lines of JSON on its standard input and answers in kind; it ends with its input.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).parents[1]


class Hub:
    """The other end: addresses, counts, faults."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        told = self._answer()
        self.hf_endpoint: str = told["hf"]
        self.ms_endpoint: str = told["ms"]
        self.files: Mapping[str, int] = told["files"]
        """Repository -> how many files it has."""

    def count(self) -> dict[str, int]:
        """Return the requests since `forget`, by host: hf, ms, cdn; and all."""
        return self._ask({"do": "count"})

    def forget(self) -> None:
        """Count from nought."""
        self._ask({"do": "forget"})

    def slow(self, latency_seconds: float = 0.0, bytes_per_second: float = 0.0) -> None:
        """From now on each answer takes so much longer; 0: as fast as it can."""
        self._ask({"do": "slow", "latency": latency_seconds, "rate": bytes_per_second})

    def _ask(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the hub's process has ended")
        return json.loads(line)


@contextmanager
def hub(repositories: Sequence[Sequence[Any]]) -> Iterator[Hub]:
    """Start a hub with some repositories.

    Args:
        repositories: each is the name of a maker of `forebay.testing.tinydata` and its keyword arguments, or
            "folder", the repository's id and the folder's path.
    """
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(SOURCE / "src"), str(SOURCE)])}
    command = [sys.executable, "-m", "benchmarks.hub_process", json.dumps(repositories)]
    process = subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield Hub(process)
    finally:
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            stream.close()
        process.wait()


def _made(what: Sequence[Any]) -> Any:
    from forebay.testing import Repository, tinydata

    if what[0] == "folder":
        folder = Path(what[2])
        return Repository(what[1], files={path.name: path for path in sorted(folder.iterdir())})
    return getattr(tinydata, what[0])(**(what[1] if len(what) > 1 else {}))


def _serve() -> None:
    from forebay.testing import FakeHub, HubFault

    repositories = [_made(each) for each in json.loads(sys.argv[1])]
    with FakeHub(repositories) as fake:
        files = {each.id: len(each.at().files) for each in repositories}
        _tell({"hf": fake.hf_endpoint, "ms": fake.ms_endpoint, "files": files})
        for line in sys.stdin:
            asked = json.loads(line)
            if asked["do"] == "count":
                hosts = [each.host for each in fake.log]
                _tell({"all": len(hosts), **{host: hosts.count(host) for host in ("hf", "ms", "cdn")}})
                continue
            if asked["do"] == "forget":
                fake.forget()
            else:
                fake.faults.clear()
                if asked["latency"]:
                    fake.faults.add(HubFault(latency_seconds=asked["latency"]))
                if asked["rate"]:
                    fake.faults.add(HubFault(bytes_per_second=asked["rate"]))
            _tell({})


def _tell(told: Mapping[str, Any]) -> None:
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    _serve()
