"""One request to the mirror, and the answer to it: plain records, so that both protocols are functions between them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from http.cookies import CookieError, SimpleCookie
from types import MappingProxyType
from typing import Any, TypeAlias
from urllib.parse import parse_qs, unquote

from forebay.hub.http import USER_AGENT
from forebay.mirror.content import Content

Headers: TypeAlias = Mapping[str, str]

_MOST_DIGITS = 30
NO_HEADERS: Headers = MappingProxyType({})


def nobody() -> bool:
    """Say no to whoever asks."""
    return False


def decimal(text: str) -> int | None:
    """Return the number that decimal digits say, cut to what exceeds any number of ours; None: they are none.

    Python refuses to read some thousand digits.
    """
    if not text.isdecimal():
        return None
    return int(text) if len(text) <= _MOST_DIGITS else 10**_MOST_DIGITS


@dataclass(frozen=True)
class Request:
    """What a client sent.

    Attributes:
        method: in capitals.
        raw_path: as sent, percent signs and all, without the query.
        query: as sent, without the question mark.
        headers: names in lower case.
        origin: how the client calls us, `http://127.0.0.1:8970`: what links in answers begin with.
        owns: whether it was sent by the user that the mirror runs as; looked up when that matters.
    """

    method: str
    raw_path: str
    query: str = ""
    headers: Headers = field(default_factory=dict[str, str])
    body: bytes = b""
    origin: str = ""
    owns: Callable[[], bool] = nobody

    @cached_property
    def segments(self) -> tuple[str, ...]:
        """The parts of the path, each decoded by itself: `refs%2Fconvert%2Fparquet` is one."""
        return tuple(unquote(part) for part in self.raw_path.strip("/").split("/"))

    @cached_property
    def parameters(self) -> Mapping[str, list[str]]:
        """What the query says."""
        return parse_qs(self.query, keep_blank_values=True)

    def asked(self, name: str, default: str = "") -> str:
        """Return a parameter of the query; the last one where it is said twice."""
        return self.parameters.get(name, [default])[-1]

    def wants(self, name: str) -> bool:
        """Return whether a parameter of the query says yes."""
        return self.asked(name).lower() in ("true", "1", "yes")

    def number(self, name: str, default: int, most: int) -> int:
        """Return a parameter that is a number from 1 on; `default` where it is none, never more than `most`."""
        number = decimal(self.asked(name))
        return default if number is None else min(max(number, 1), most)

    @cached_property
    def token(self) -> str | None:
        """Whose request it is: what stands behind `Authorization: Bearer`, or in ModelScope's session cookie."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token.strip():
            return token.strip()
        try:
            cookie = SimpleCookie(self.headers.get("cookie", "")).get("m_session_id")
        except CookieError:
            return None
        return cookie.value if cookie is not None and cookie.value else None

    @property
    def is_forebay(self) -> bool:
        """Whether Forebay sent it, which keeps what it gets: maybe in our own store, where it is under its lease."""
        return self.headers.get("user-agent") == USER_AGENT

    def below(self, prefix: str) -> Request:
        """Return the same request with the first part of its path moved into `origin`."""
        return replace(self, raw_path=self.raw_path.removeprefix(prefix), origin=self.origin + prefix)


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back: `body`, or `content`.

    Attributes:
        headers: names as they should be seen; `Content-Length` is added by who sends.
        size: the `Content-Length` to tell; None: that of `body`.
    """

    status: int
    headers: Headers = field(default_factory=dict[str, str])
    body: bytes = b""
    content: Content | None = None
    size: int | None = None

    @property
    def length(self) -> int:
        """The `Content-Length` in bytes."""
        return len(self.body) if self.size is None else self.size


class Refused(Exception):
    """Ends the making of an answer with another one."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def as_json(data: Any, status: int = 200, headers: Headers = NO_HEADERS) -> Answer:
    """Answer with JSON."""
    body = json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()
    return Answer(status, {"Content-Type": "application/json; charset=utf-8", **headers}, body)
