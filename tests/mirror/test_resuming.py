"""Clients that go on where they were cut: never from wrong bytes to right ones."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from forebay.testing import FakeHub, HubFault, Repository

BIG = bytes(range(256)) * 20_000
PATH = "/datasets/a/b/resolve/main/big.bin"
DOWNLOAD = """
from huggingface_hub import hf_hub_download
import hashlib
for attempt in range(4):
    try:
        path = hf_hub_download("a/b", "big.bin", repo_type="dataset")
        break
    except Exception as error:
        print(type(error).__name__)
print(hashlib.sha256(open(path, "rb").read()).hexdigest())
"""


@pytest.fixture
def fake() -> Iterator[FakeHub]:
    with FakeHub([Repository("a/b", files={"big.bin": BIG})]) as hub:
        yield hub


def begin(endpoint: str, path: str = PATH) -> bytes:
    """Take as much of an answer as comes."""
    connection = http.client.HTTPConnection(urlsplit(endpoint).netloc, timeout=60)
    connection.request("GET", path)
    try:
        return connection.getresponse().read()
    except http.client.IncompleteRead as error:
        return error.partial
    except ConnectionError:
        return b""
    finally:
        connection.close()


@pytest.mark.parametrize("path", [PATH, "/-/ms/datasets/a/b/resolve/master/big.bin"])
def test_after_wrong_bytes_all_of_the_file_is_given(path, fake: FakeHub, start_mirror, upstream) -> None:
    fake.faults.add(HubFault(flip_byte=5, bytes_per_second=1e7), times=1)
    mirror = start_mirror(*upstream(fake))
    came = begin(mirror.endpoint, path)
    assert len(came) < len(BIG)
    answer = mirror.ask(path, Range=f"bytes={len(came) or 1}-")
    assert (answer.status, answer.body) == (200, BIG)  # it need not grant a range, and clients begin anew then
    part = mirror.ask(path, Range="bytes=1000-1999")
    assert (part.status, part.body) == (206, BIG[1000:2000])


def test_a_client_that_is_gone_before_it_is_known(fake: FakeHub, start_mirror, upstream) -> None:
    """It left with wrong bytes in its hands; that they were wrong is found when it has come back."""
    fake.faults.add(HubFault(flip_byte=5, bytes_per_second=4e6), times=1)
    mirror = start_mirror(*upstream(fake))
    connection = http.client.HTTPConnection(urlsplit(mirror.endpoint).netloc, timeout=60)
    connection.request("GET", PATH)
    came = connection.getresponse().read(1_000_000)
    connection.close()
    assert came != BIG[: len(came)]
    try:
        answer = mirror.ask(PATH, Range=f"bytes={len(came)}-")
    except (http.client.IncompleteRead, ConnectionError):
        answer = mirror.ask(PATH, Range=f"bytes={len(came)}-")
    assert (answer.status, answer.body) == (200, BIG)


def test_right_bytes_are_gone_on_from(fake: FakeHub, start_mirror, upstream) -> None:
    mirror = start_mirror(*upstream(fake))
    answer = mirror.ask(PATH, Range="bytes=1000000-")
    assert (answer.status, answer.body) == (206, BIG[1_000_000:])


def test_an_unmodified_client_ends_with_the_right_file(fake: FakeHub, start_mirror, upstream, run_client) -> None:
    import hashlib

    fake.faults.add(HubFault(flip_byte=5, bytes_per_second=2e7), times=1)
    mirror = start_mirror(*upstream(fake))
    assert run_client(DOWNLOAD, mirror.endpoint).split()[-1] == hashlib.sha256(BIG).hexdigest()
