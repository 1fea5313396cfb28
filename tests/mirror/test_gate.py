"""Who may ask a mirror that others can reach."""

from __future__ import annotations

import pytest

from forebay.errors import ConfigError
from forebay.mirror.exchange import Request
from forebay.mirror.gate import Gate


def request(**headers: str) -> Request:
    return Request("GET", "/", "", {name.replace("_", "-"): value for name, value in headers.items()})


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"authorization": "Bearer mine"}, None),
        ({"authorization": "bearer mine:hf_abc"}, None),
        ({"cookie": "m_session_id=mine"}, None),
        ({}, 401),
        ({"authorization": "Bearer other"}, 401),
        ({"authorization": "Bearer mine2:x"}, 401),
        ({"authorization": "Basic bWluZQ=="}, 401),
        ({"authorization": "Bearer :mine"}, 401),
        ({"cookie": "m_session_id=ü"}, 401),
    ],
)
def test_a_token_is_asked_for(headers, status) -> None:
    answer = Gate("mine").refusal(request(**headers), "10.0.0.1")
    assert (answer.status if answer else None) == status


def test_the_hub_gets_its_own_part_only() -> None:
    gate = Gate("mine")
    assert gate.for_hub(request(authorization="Bearer mine")).token is None
    assert gate.for_hub(request(authorization="Bearer mine:hf_abc")).token == "hf_abc"
    assert gate.for_hub(request(cookie="m_session_id=mine:ms-1; other=2")).token == "ms-1"
    assert Gate().for_hub(request(authorization="Bearer hf_abc")).token == "hf_abc"


@pytest.mark.parametrize(
    ("client", "served"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("192.168.7.7", True),
        ("192.168.7.8", False),
        ("fd00::1", True),
        ("2001:db8::1", False),
        ("", False),
        ("unix", False),
    ],
)
def test_networks_are_let_in(client, served) -> None:
    gate = Gate(allow=("10.0.0.0/8", "192.168.7.7", "fd00::/8"))
    assert (gate.refusal(request(), client) is None) is served


@pytest.mark.parametrize(
    ("gate", "host", "encrypted", "says"),
    [
        (Gate(), "0.0.0.0", False, "anybody"),
        (Gate(), "hub.example", True, "anybody"),
        (Gate("secret"), "0.0.0.0", False, "in the clear"),
        (Gate(allow=("10.0.0.0/99",)), "127.0.0.1", False, "--allow"),
        (Gate("a:b"), "127.0.0.1", False, "colon"),
        (Gate("a b"), "127.0.0.1", False, "space"),
        (Gate("grün"), "127.0.0.1", False, "ASCII"),
    ],
)
def test_an_open_door_is_refused(gate, host, encrypted, says) -> None:
    with pytest.raises(ConfigError, match=says):
        gate.check(host, encrypted=encrypted)


@pytest.mark.parametrize(
    ("gate", "host", "encrypted"),
    [
        (Gate(), "127.0.0.1", False),
        (Gate(), "::1", False),
        (Gate(), "localhost", False),
        (Gate("secret"), "127.0.0.1", False),
        (Gate("secret"), "0.0.0.0", True),
        (Gate(allow=("10.0.0.0/8",)), "0.0.0.0", False),
    ],
)
def test_a_door_with_a_lock(gate, host, encrypted) -> None:
    gate.check(host, encrypted=encrypted)
