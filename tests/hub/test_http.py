"""The transport: pages, waiting, proxies, redirects, and answers that are none."""

import threading
from pathlib import Path

import pytest

from forebay.errors import ConfigError, OriginError
from forebay.events import Event, What
from forebay.hub.http import Busy, Transport, Waits, next_page
from forebay.hub.patience import Patience
from forebay.testing import HubFault

from .conftest import World  # pyright: ignore


@pytest.fixture
def transport(world: World) -> Transport:
    transport = Transport(world.settings(), Waits(0.001, 0.01))
    world.stack.callback(transport.close)
    return transport


@pytest.mark.parametrize(
    ("link", "following"),
    [
        ('<https://h/x?cursor=1>; rel="next"', "https://h/x?cursor=1"),
        ('<https://h/a>; rel="prev", </b?c=d>; rel="next"', "https://h/b?c=d"),
        ("<https://h/x>; rel=next", "https://h/x"),
        ('<https://h/x>; rel="xet-auth"', None),
        ("", None),
        ("nonsense", None),
    ],
)
def test_where_a_list_goes_on(link: str, following: str | None) -> None:
    assert next_page({"link": link}, "https://h/") == following


def test_who_waits_for_a_hub_that_hangs_need_not_wait_to_the_end(world: World, transport: Transport) -> None:
    world.fake.faults.add(HubFault(latency_seconds=120), "/api/hang")
    url = f"{world.fake.hf_endpoint}/api/hang"
    errors: list[OriginError] = []

    def ask() -> None:
        with pytest.raises(OriginError) as caught:
            transport.get(url)
        errors.append(caught.value)

    waiting = threading.Thread(target=ask)
    waiting.start()
    while not world.fake.count("/api/hang"):
        pass
    transport.end()
    waiting.join()
    assert len(errors) == 1
    asked = world.fake.count()
    with pytest.raises(OriginError, match="not asked any more"):
        transport.get(url)
    assert world.fake.count() == asked


def test_connections_are_used_again(world: World, transport: Transport) -> None:
    for _ in range(5):
        transport.get(f"{world.fake.hf_endpoint}/api/whoami-v2")
    assert sum(pool.connections for pool in _pools(transport)) == 1


def _pools(transport: Transport):
    for manager in transport._pools.values():  # pyright: ignore[reportPrivateUsage]
        for key in manager.pools.keys():  # noqa: SIM118 (no mapping: it counts uses)
            yield Counting(manager.pools[key])


class Counting:
    def __init__(self, pool) -> None:
        self.connections = pool.num_connections


def test_patience_ends(world: World, transport: Transport) -> None:
    world.fake.faults.add(HubFault(status=503))
    with pytest.raises(Busy, match="answers 503"):
        transport.get(f"{world.fake.hf_endpoint}/api/whoami-v2")
    assert len(world.fake.log) == 3


def test_a_circle_of_redirects(world: World, transport: Transport) -> None:
    world.fake.faults.add(HubFault(redirect_to=world.fake.hf_endpoint))
    with pytest.raises(OriginError, match="redirects in a circle"):
        transport.get(f"{world.fake.hf_endpoint}/x")


@pytest.mark.parametrize("target", ["ftp://127.0.0.1", "file:///etc", "javascript:alert(1)//", "http://[bad"])
def test_a_redirect_out_of_http(world: World, transport: Transport, target: str) -> None:
    world.fake.faults.add(HubFault(redirect_to=target))
    with pytest.raises(OriginError, match="which is not HTTP"):
        transport.get(f"{world.fake.hf_endpoint}/x")


def test_a_name_that_nobody_knows(transport: Transport) -> None:
    with pytest.raises(Busy, match=r"cannot reach nowhere.invalid: its name is not known"):
        transport.get("http://nowhere.invalid/x", attempts=1)


def test_what_is_not_json(world: World, transport: Transport) -> None:
    answer = transport.get(f"{world.fake.hf_endpoint}/datasets/team/small/resolve/main/README.md")
    with pytest.raises(OriginError, match="something that is not JSON"):
        answer.json()


def test_silence_is_a_dead_connection(world: World) -> None:
    world.fake.faults.add(HubFault(latency_seconds=5))
    transport = Transport(world.settings(timeout_seconds=0.1), Waits(0.001, 0.01))
    world.stack.callback(transport.close)
    with pytest.raises(Busy, match="no answer in time"):
        transport.get(f"{world.fake.hf_endpoint}/x", attempts=1)


def test_who_waits_is_told_and_nobody_waits_for_an_hour(world: World) -> None:
    told: list[Event] = []
    slept: list[float] = []
    patience = Patience(Waits(), told.append, slept.append)
    assert not patience.wait(0, Busy("h answers 429 (too many requests)", retry_after=30.0))
    assert not patience.wait(0, Busy("h answers 429 (too many requests)", retry_after=30.0))  # another thread's
    assert not patience.wait(0, Busy("h answers 500"))
    assert [round(seconds) for seconds in slept[:2]] == [30, 30]
    message = "h answers 429 (too many requests); waiting 30 s before attempt 2"
    assert [(event.what, event.message) for event in told] == [(What.WARNING, message)]
    with pytest.raises(Busy, match="asks to be left alone for 3600 s"):
        patience.wait(0, Busy("h answers 429", retry_after=3600.0))
    stop = threading.Event()
    stop.set()
    assert patience.wait(0, Busy("h answers 429", retry_after=100.0), stop)


def test_a_hub_that_asks_for_an_hour_is_given_up(world: World) -> None:
    world.fake.faults.add(HubFault(status=429, retry_after="3600"), "*/resolve/*")
    hub = world.hub()
    with pytest.raises(OriginError, match=r"429 \(too many requests\) and asks to be left alone for 3600 s"):
        hub.fetch_file(hub.resolve("hf://datasets/team/small"), "README.md")
    assert len([one for one in world.fake.log if "/resolve/" in one.path]) == 1
    with pytest.raises(OriginError, match=r"429 \(too many requests\) and asks to be left alone for 3600 s"):
        hub.through(hub.resolve("hf://datasets/team/small"), "README.md")
    assert len([one for one in world.fake.log if "/resolve/" in one.path]) == 2


def test_who_passes_bytes_on_says_that_it_waits(world: World) -> None:
    world.fake.faults.add(HubFault(status=429, retry_after="2"), "*/resolve/*", times=1)
    hub = world.hub()
    content = b"".join(hub.through(hub.resolve("hf://datasets/team/small"), "README.md"))
    assert content == bytes(hub.read(hub.resolve("hf://datasets/team/small"), "README.md"))
    assert [text.partition("; ")[2] for text in world.warnings()] == ["waiting 2 s before attempt 2"]


def test_why_nobody_could_be_reached(world: World, tmp_path: Path) -> None:
    with pytest.raises(Busy, match=r"cannot reach 127\.0\.0\.1:1: Connection refused;"):
        Transport(world.settings(attempts=1)).get("http://127.0.0.1:1/x")
    lost = Transport(world.settings(ca_bundle=str(tmp_path / "ca.pem")))
    with pytest.raises(ConfigError, match=r"cannot read certificates from .*ca\.pem: No such file.*SSL_CERT_FILE"):
        lost.get(f"{world.fake.hf_endpoint}/x")
