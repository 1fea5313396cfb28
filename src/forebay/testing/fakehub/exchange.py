"""One request, the answer to it, and the shelf of repositories that answers are made from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, TypeAlias
from urllib.parse import parse_qs, unquote

from forebay.errors import InputError
from forebay.testing.fakehub.repository import File, Repository

Host: TypeAlias = Literal["hf", "ms", "cdn"]


@dataclass(frozen=True, slots=True)
class Request:
    """What a client sent.

    Attributes:
        host: which of the hub's three addresses it came to.
        raw_path: as sent, percent signs and all; `query` likewise, without the question mark.
        headers: names in lower case.
        endpoint: the address it came to, `http://127.0.0.1:PORT`.
    """

    host: Host
    method: str
    raw_path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    endpoint: str

    @property
    def path(self) -> str:
        """The path, decoded."""
        return unquote(self.raw_path)

    @property
    def segments(self) -> list[str]:
        """The parts of the path, each decoded by itself (`refs%2Fpr%2F1` is one)."""
        return [unquote(part) for part in self.raw_path.strip("/").split("/")]

    def asked(self, name: str, default: str = "") -> str:
        """Return a parameter of the query."""
        return parse_qs(self.query, keep_blank_values=True).get(name, [default])[-1]

    def wants(self, name: str) -> bool:
        """Return whether a parameter of the query says yes."""
        return self.asked(name).lower() in ("true", "1", "yes")

    @property
    def token(self) -> str | None:
        """What stands behind `Authorization: Bearer`, or in ModelScope's cookie."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token.strip():
            return token.strip()
        if self.host == "ms":
            cookies = (part.strip().partition("=") for part in self.headers.get("cookie", "").split(";"))
            return next((value for name, _, value in cookies if name == "m_session_id" and value), None)
        return None


@dataclass(frozen=True, slots=True)
class Answer:
    """What to send back: `body`, or the bytes of `file` (then conditions are looked at, and Range if `ranges`)."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""
    file: File | None = None
    ranges: bool = True


class Refused(Exception):
    """Ends the making of an answer with another one."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def as_json(data: Any, status: int = 200, headers: Mapping[str, str] = MappingProxyType({})) -> Answer:
    """Answer with JSON."""
    body = json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()
    return Answer(status, {"Content-Type": "application/json; charset=utf-8", **headers}, body)


class Shelf:
    """The repositories of a hub and the users it knows; safe to change while requests look."""

    def __init__(self, repositories: Iterable[Repository], users: Mapping[str, str] | None) -> None:
        self.repositories: list[Repository] = []
        self.users = users
        for repository in repositories:
            self.add(repository)

    def add(self, repository: Repository) -> None:
        """Put a repository there."""
        for held in self.repositories:
            if (held.id, held.type) == (repository.id, repository.type) and held.hubs & repository.hubs:
                raise InputError(f"two {held.type} repositories are called {held.id}", subject=held.id)
        self.repositories.append(repository)

    def of(self, host: Host) -> Iterator[Repository]:
        """Yield the repositories that one of the hubs has."""
        return (repository for repository in list(self.repositories) if host in repository.hubs)

    def find(self, host: Host, kind: str, id: str) -> Repository | None:  # noqa: A002
        """Return the repository of that type and id, or one that was once called so."""
        held = [repository for repository in self.of(host) if repository.type == kind]
        for repository in held:
            if repository.id.lower() == id.lower():
                return repository
        return next((repository for repository in held if id in repository.former), None)

    def user(self, token: str | None) -> str | None:
        """Return whose token it is (KeyError when nobody's); without a list of users, any token is its own user."""
        if token is None or self.users is None:
            return token
        return self.users[token]
