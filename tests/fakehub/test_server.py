"""The server itself: connections, the log, beginning and end."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from forebay.errors import InputError
from forebay.testing import FakeHub, HubFault, Repository

Ask = Callable[..., Any]
FILE = "/datasets/org/data/resolve/main"


def test_one_connection_serves_many_requests(hub: FakeHub, repository: Repository) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", int(hub.hf_endpoint.rsplit(":", 1)[1]), timeout=60)
    sockets = set()
    for method, path, status in (
        ("GET", f"{FILE}/README.md", 200),
        ("HEAD", f"{FILE}/README.md", 200),
        ("HEAD", f"{FILE}/none", 404),
        ("POST", "/api/datasets/org/data/paths-info/main", 200),
        ("GET", f"{FILE}/weights.bin", 302),
        ("GET", f"{FILE}/README.md", 200),
    ):
        connection.request(method, path, body=b"paths=README.md" if method == "POST" else None)
        answer = connection.getresponse()
        body = answer.read()
        assert (answer.status, method == "HEAD") == (status, body == b"")
        sockets.add(connection.sock.getsockname())
    connection.close()
    assert len(sockets) == 1
    assert len(hub.log) == 6


def test_the_log_knows_what_was_answered(hf: Ask, hub: FakeHub) -> None:
    for _ in range(20):  # an answer that the client has is in the log already, always
        hub.forget()
        answer = hf(f"{FILE}/data%2Fmore/part.csv?download=true", user_agent="me/1", authorization="Bearer hf_ann")
        (seen,) = hub.log
        assert (seen.host, seen.method, seen.path, seen.query) == (
            "hf",
            "GET",
            f"{FILE}/data/more/part.csv",
            "download=true",
        )
        assert (seen.status, seen.sent_bytes) == (200, len(answer.body))
        assert seen.headers["user-agent"] == "me/1"
        assert seen.headers["authorization"] == "Bearer hf_ann"


def test_counting(hf: Ask, ms: Ask, hub: FakeHub) -> None:
    hf(f"{FILE}/README.md")
    hf(f"{FILE}/README.md", "HEAD")
    hf(f"{FILE}/none")
    ms("/api/v1/datasets/org/data/repo?FilePath=data%2Fmore%2Fpart.csv")
    assert hub.count() == 4
    assert hub.count("*/README.md") == 2
    assert hub.count("*/README.md", method="GET") == 1
    assert hub.count(status=404) == 1
    assert hub.count(host="ms") == hub.count("*FilePath=data/more/part.csv") == 1


def test_many_clients_at_once(fetch: Ask, tmp_path: Path) -> None:
    path = tmp_path / "large.bin"
    path.write_bytes(b"0123456789abcdef" * (1 << 17))
    with FakeHub([Repository("org/big", files={"large.bin": path})], cdn=False) as hub:
        sizes: list[int] = []
        where = f"{hub.hf_endpoint}/datasets/org/big/resolve/main/large.bin"
        threads = [threading.Thread(target=lambda: sizes.append(len(fetch(where).body))) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sizes == [1 << 21] * 16
        assert sum(each.sent_bytes for each in hub.log) == 16 << 21


def test_a_part_of_a_file_on_disk(fetch: Ask, tmp_path: Path) -> None:
    path = tmp_path / "large.bin"
    path.write_bytes(bytes(1 << 20) + b"end" + bytes(1 << 20))
    with FakeHub([Repository("org/big", files={"large.bin": path})], cdn=False) as hub:
        where = f"{hub.hf_endpoint}/datasets/org/big/resolve/main/large.bin"
        assert fetch(where, range=f"bytes={1 << 20}-{(1 << 20) + 2}").body == b"end"
        hub.faults.add(HubFault(flip_byte=1 << 20))
        assert fetch(where, range=f"bytes={1 << 20}-{(1 << 20) + 2}").body == b"dnd"


def test_repositories_come_and_change_while_it_serves(hf: Ask, hub: FakeHub, repository: Repository) -> None:
    hub.shelf.add(Repository("org/late", files={"a.txt": "late"}))
    assert hf("/datasets/org/late/resolve/main/a.txt").body == b"late"
    sha = repository.commit({"README.md": "newer"})
    answer = hf(f"{FILE}/README.md")
    assert (answer.body, answer.headers["x-repo-commit"]) == (b"newer", sha)


def test_two_of_one_name() -> None:
    with pytest.raises(InputError, match="two dataset repositories are called org/a"):
        FakeHub([Repository("org/a"), Repository("org/a", hubs=["hf"])]).stop()
    FakeHub([Repository("org/a"), Repository("org/a", type="model")]).stop()


def test_a_client_that_goes_away(hub: FakeHub, hf: Ask) -> None:
    for _ in range(3):
        connection = http.client.HTTPConnection("127.0.0.1", int(hub.hf_endpoint.rsplit(":", 1)[1]), timeout=60)
        connection.request("GET", f"{FILE}/README.md")
        connection.close()
    assert hf(f"{FILE}/README.md").status == 200


def test_a_hub_that_was_never_started_ends_too() -> None:
    FakeHub().stop()
