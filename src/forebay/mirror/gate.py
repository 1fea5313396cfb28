"""Who may ask the mirror at all: from which addresses, and with which token.

What a repository's own hub allows is another question, asked for each request (see `Library.admit`).
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from forebay.errors import ConfigError
from forebay.mirror.exchange import Answer, Request, as_json


@dataclass(frozen=True)
class Gate:
    """The rule for a mirror that others can reach.

    Unmodified clients can show one token. They show the mirror's where they would show the hub's (`HF_TOKEN=MIRROR`),
    and who has one for the hub as well shows both, parted by a colon (`HF_TOKEN=MIRROR:hf_…`): the hub gets its own
    part only.

    Attributes:
        token: asked for from everybody; "" asks nobody.
        allow: networks whose addresses may ask; none: all.
    """

    token: str = ""
    allow: Sequence[str] = ()

    @cached_property
    def _networks(self) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
        try:
            return [ipaddress.ip_network(text, strict=False) for text in self.allow]
        except ValueError as error:
            raise ConfigError(f"--allow: {error}", hint="write 10.0.0.0/8 or a single address") from None

    def check(self, host: str, *, encrypted: bool) -> None:
        """Look at the rule before it is needed.

        Args:
            host: the address that the mirror will listen at.
            encrypted: whether it will speak TLS.

        Raises:
            ConfigError: `allow` holds what is no network; or others can reach it, and nothing holds them off.
        """
        _ = self._networks
        if not re.fullmatch(r"[!-9;-~]*", self.token):  # what a header carries whole, and no colon
            hint = "write it of ASCII letters, digits and marks"
            raise ConfigError("the mirror's token holds a colon, a space or what is not ASCII", hint=hint)
        if _is_loopback(host):
            return
        if not (self.token or self.allow):
            hint = "give --token (with --tls-cert and --tls-key) or --allow NETWORK"
            raise ConfigError(f"anybody could ask a mirror at {host}", subject=host, hint=hint)
        if self.token and not encrypted:
            hint = "give --tls-cert and --tls-key, or use --allow NETWORK in place of a token"
            raise ConfigError(f"a token would travel in the clear to {host}", subject=host, hint=hint)

    def refusal(self, request: Request, client: str) -> Answer | None:
        """Return the answer for who may not ask; None: they may."""
        if self._networks and not self._allowed(client):
            return as_json({"error": "this mirror does not serve your address"}, 403)
        if self.token and not _same(_own_part(request), self.token):
            return as_json({"error": "this mirror asks for its token"}, 401, {"WWW-Authenticate": "Bearer"})
        return None

    def for_hub(self, request: Request) -> Request:
        """Return the request as the hub may see it: without the mirror's token, with the hub's own if there is one."""
        if not self.token:
            return request
        headers = {name: value for name, value in request.headers.items() if name not in ("authorization", "cookie")}
        token = (request.token or "").partition(":")[2]
        return replace(request, headers=headers | ({"authorization": f"Bearer {token}"} if token else {}))

    def _allowed(self, client: str) -> bool:
        try:
            address = ipaddress.ip_address(client)
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address):
            address = address.ipv4_mapped or address
        return any(address in network for network in self._networks)


def _own_part(request: Request) -> str:
    return (request.token or "").partition(":")[0]


def _same(shown: str, token: str) -> bool:
    return hmac.compare_digest(shown.encode("utf-8", "surrogateescape"), token.encode("utf-8", "surrogateescape"))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
