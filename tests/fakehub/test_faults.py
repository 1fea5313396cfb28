"""Each fault does what it says, to whom it says, as often as it says."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable
from typing import Any

import pytest

from forebay.testing import FakeHub, HubFault, Repository

Ask = Callable[..., Any]
FILE = "/datasets/org/data/resolve/main"


def test_a_rule_counts_down(hf: Ask, hub: FakeHub) -> None:
    rule = hub.faults.add(HubFault(status=503), "/api/*", times=2)
    assert hf(f"{FILE}/README.md").status == 200
    assert [hf("/api/datasets/org/data").status for _ in range(3)] == [503, 503, 200]
    assert rule.met == 2


def test_rules_by_method_query_and_until_removed(hf: Ask, ms: Ask, hub: FakeHub) -> None:
    heads = hub.faults.add(HubFault(status=500), methods=["HEAD"])
    assert (hf(f"{FILE}/README.md").status, hf(f"{FILE}/README.md", "HEAD").status) == (200, 500)
    hub.faults.remove(heads)
    assert hf(f"{FILE}/README.md", "HEAD").status == 200
    hub.faults.add(HubFault(status=502), "*FilePath=data/more*")
    asked = "/api/v1/datasets/org/data/repo?FilePath="
    assert [ms(asked + path).status for path in ("README.md", "data%2Fmore%2Fpart.csv")] == [200, 502]
    hub.faults.clear()
    assert ms(f"{asked}data%2Fmore%2Fpart.csv").status == 200


def test_rules_add_up_and_the_later_has_its_way(hf: Ask, hub: FakeHub) -> None:
    hub.faults.add(HubFault(etag="other", drop_headers=("Accept-Ranges",)))
    hub.faults.add(HubFault(etag="another"))
    answer = hf(f"{FILE}/README.md")
    assert answer.headers["etag"] == '"another"'
    assert "accept-ranges" not in answer.headers


def test_a_fault_in_bytes_waits_until_some_are_sent(hf: Ask, hub: FakeHub) -> None:
    flip = hub.faults.add(HubFault(flip_byte=0), times=1)
    hub.faults.add(HubFault(status=503), times=1)
    assert (hf(f"{FILE}/README.md").status, flip.met) == (503, 0)
    assert (hf(f"{FILE}/README.md", "HEAD").status, hf("/api/datasets/org/data").status, flip.met) == (200, 200, 0)
    assert (hf(f"{FILE}/README.md").body[:1], flip.met) == (b",", 1)


def test_a_rate_limit(hf: Ask, hub: FakeHub) -> None:
    hub.faults.add(HubFault(status=429, retry_after="7"), times=1)
    answer = hf(f"{FILE}/README.md")
    assert (answer.status, answer.headers["retry-after"]) == (429, "7")


def test_a_reset(hf: Ask, hub: FakeHub) -> None:
    hub.faults.add(HubFault(reset=True), times=1)
    with pytest.raises(ConnectionError):
        hf(f"{FILE}/README.md")
    assert [each.status for each in hub.log] == [0]
    assert hf(f"{FILE}/README.md").status == 200


def test_a_cut_after_bytes(hf: Ask, fetch: Ask, hub: FakeHub, repository: Repository) -> None:
    file = repository.file("weights.bin")
    rule = hub.faults.add(HubFault(cut_after_bytes=1000), "*/weights.bin", times=1)
    where = hf(f"{FILE}/weights.bin").headers["location"]  # the redirect has no bytes to cut
    assert hf(f"{FILE}/weights.bin", "HEAD").status == 302
    with pytest.raises(http.client.IncompleteRead) as caught:
        fetch(where)
    assert caught.value.partial == file.read(0, 1000)
    assert caught.value.expected == file.size - 1000
    assert hub.log[-1].sent_bytes == 1000
    assert fetch(where, range="bytes=1000-").body == file.read(1000)
    assert rule.met == 1


def test_a_cut_at_the_last_byte_and_behind_it(fetch: Ask, repository: Repository) -> None:
    file = repository.file("weights.bin")
    with FakeHub([repository], cdn=False) as hub:
        hub.faults.add(HubFault(cut_after_bytes=file.size - 1), times=1)
        with pytest.raises(http.client.IncompleteRead):
            fetch(f"{hub.hf_endpoint}{FILE}/weights.bin")
        hub.faults.add(HubFault(cut_after_bytes=file.size + 1), times=1)
        assert fetch(f"{hub.hf_endpoint}{FILE}/weights.bin").body == file.read()
        hub.faults.add(HubFault(cut_after_bytes=0), times=1)
        with pytest.raises(http.client.IncompleteRead) as caught:
            fetch(f"{hub.hf_endpoint}{FILE}/weights.bin")
        assert caught.value.partial == b""


@pytest.mark.parametrize(("flip", "at"), [(0, 0), (5000, 5000), (-1, 16383)])
def test_a_wrong_byte(fetch: Ask, repository: Repository, flip: int, at: int) -> None:
    file = repository.file("weights.bin")
    with FakeHub([repository], cdn=False) as hub:
        hub.faults.add(HubFault(flip_byte=flip))
        answer = fetch(f"{hub.hf_endpoint}{FILE}/weights.bin")
        part = fetch(f"{hub.hf_endpoint}{FILE}/weights.bin", range="bytes=5000-5001")
    right = file.read()
    assert [n for n in range(file.size) if answer.body[n] != right[n]] == [at]
    assert answer.headers["etag"] == f'"{file.sha256}"'
    assert (part.body == right[5000:5002]) == (at != 5000)


def test_other_bytes_under_the_old_name(hf: Ask, hub: FakeHub, repository: Repository) -> None:
    hub.faults.add(HubFault(replace_with=b"<html>log in</html>"))
    answer = hf(f"{FILE}/README.md")
    assert (answer.status, answer.body) == (200, b"<html>log in</html>")
    assert answer.headers["etag"] == f'"{repository.file("README.md").oid}"'
    assert answer.headers["content-length"] == "19"


def test_a_file_that_ends_too_early(hf: Ask, hub: FakeHub, repository: Repository) -> None:
    hub.faults.add(HubFault(short_by_bytes=3))
    whole = repository.file("README.md").read()
    assert hf(f"{FILE}/README.md").body == whole[:-3]
    assert (
        hf(f"{FILE}/README.md", range="bytes=1-").headers["content-range"]
        == f"bytes 1-{len(whole) - 4}/{len(whole) - 3}"
    )


def test_ignored_range_and_conditions(hf: Ask, hub: FakeHub, repository: Repository) -> None:
    etag = f'"{repository.file("README.md").oid}"'
    hub.faults.add(HubFault(ignore_range=True), times=1)
    answer = hf(f"{FILE}/README.md", range="bytes=1-2")
    assert (answer.status, answer.body) == (200, repository.file("README.md").read())
    hub.faults.add(HubFault(ignore_conditions=True), times=2)
    assert hf(f"{FILE}/README.md", if_none_match=etag).status == 200
    assert hf(f"{FILE}/README.md", range="bytes=1-2", if_range='"other"').status == 206


def test_a_redirect_elsewhere(hf: Ask, hub: FakeHub) -> None:
    hub.faults.add(HubFault(redirect_to="http://127.0.0.1:1"))
    answer = hf(f"{FILE}/README.md?download=true")
    assert (answer.status, answer.headers["location"]) == (302, f"http://127.0.0.1:1{FILE}/README.md?download=true")


def test_a_trickle_is_whole_in_the_end(hf: Ask, hub: FakeHub, repository: Repository) -> None:
    hub.faults.add(HubFault(bytes_per_second=1000))
    assert hf(f"{FILE}/README.md").body == repository.file("README.md").read()


@pytest.mark.parametrize("fault", [HubFault(bytes_per_second=0.5), HubFault(latency_seconds=1000)])
def test_the_end_of_the_hub_wakes_the_slow(hf: Ask, hub: FakeHub, fault: HubFault) -> None:
    rule = hub.faults.add(fault)
    seen: list[BaseException] = []

    def ask() -> None:
        try:
            hf(f"{FILE}/README.md")
        except (ConnectionError, http.client.HTTPException) as error:
            seen.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    while not rule.met:
        pass
    hub.die()
    asking.join()
    assert len(seen) == 1


def test_a_dead_hub_refuses_and_comes_back_at_the_same_address(hf: Ask, ms: Ask, hub: FakeHub) -> None:
    endpoint = hub.hf_endpoint
    for _ in range(2):
        hub.die()
        for ask in (hf, ms):
            with pytest.raises(ConnectionRefusedError):
                ask("/")
        hub.revive()
        assert hf(f"{FILE}/README.md").status == 200
        assert hub.hf_endpoint == endpoint


def test_the_open_connections_of_a_dead_hub_are_reset(hub: FakeHub) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", int(hub.hf_endpoint.rsplit(":", 1)[1]), timeout=60)
    connection.request("GET", f"{FILE}/README.md")
    assert connection.getresponse().read()
    kept = connection.sock
    hub.die()
    with pytest.raises(ConnectionResetError):
        kept.recv(1)
    connection.close()
