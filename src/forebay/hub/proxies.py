"""Which proxy stands between us and an address, and how it is spoken to.

As curl and requests read them: ``http_proxy``, ``https_proxy``, ``all_proxy`` (``HOST:PORT`` is ``http://HOST:PORT``, a
name and password may stand before it), and ``no_proxy``: names with all below them, with a port or without, addresses,
networks (``10.0.0.0/8``), or ``*``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from forebay.errors import ConfigError, OriginError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from urllib3 import PoolManager

_SCHEMES = {"http", "https", "socks4", "socks4a", "socks5", "socks5h"}


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy.

    Attributes:
        url: ``SCHEME://HOST[:PORT]``.
        user: what it wants to know of us; "": nothing.
        password: likewise.
    """

    url: str
    user: str = ""
    password: str = ""

    def __str__(self) -> str:
        """Return its address."""
        return self.url.partition("://")[2]

    def manager(self, **options: Any) -> PoolManager:
        """Return what asks through it, by `urllib3.PoolManager`'s options.

        Raises:
            ConfigError: it speaks SOCKS, and PySocks is not installed.
        """
        if self.url.startswith("socks"):
            return self._socks(**options)
        from urllib3 import ProxyManager, make_headers

        headers = make_headers(proxy_basic_auth=f"{self.user}:{self.password}") if self.user or self.password else None
        return ProxyManager(self.url, proxy_headers=headers, proxy_ssl_context=options.get("ssl_context"), **options)

    def _socks(self, **options: Any) -> PoolManager:
        from importlib.util import find_spec

        if find_spec("socks") is None:
            what = f"the proxy {self} speaks SOCKS, which takes PySocks"
            raise ConfigError(what, subject=str(self), hint="pip install PySocks, or name an HTTP proxy")
        from urllib3.contrib.socks import SOCKSProxyManager

        return SOCKSProxyManager(self.url, self.user or None, self.password or None, **options)

    def refused(self, url: str) -> OriginError:
        """Return the error of a proxy that lets nobody through whom it does not know (407)."""
        what = f"the proxy {self} wants {'another' if self.user else 'a'} name and password"
        hint = "write http://NAME:PASSWORD@HOST:PORT into https_proxy (http_proxy, all_proxy)"
        return OriginError(what, subject=url, hint=hint)

    def barred(self, url: str, why: str) -> OriginError:
        """Return the error of a proxy that leads nobody to a host (4xx)."""
        what = f"the proxy {self} does not let {urlsplit(url).hostname} through: {why}"
        hint = "ask for that host to be allowed, or name a mirror (HF_ENDPOINT, MODELSCOPE_ENDPOINT)"
        return OriginError(what, subject=url, hint=hint)


def proxy_for(url: str, proxies: Mapping[str, str], no_proxy: Iterable[str]) -> Proxy | None:
    """Return the proxy of a URL; None: none. This machine is asked without any.

    Raises:
        ConfigError: what is set is no proxy's address.
    """
    parts = urlsplit(url)
    name = parts.hostname or ""
    if name in ("localhost", "::1") or name.startswith("127."):
        return None
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if parts.scheme not in proxies or any(_passes(rule, name, port) for rule in no_proxy):
        return None
    return _parsed(proxies[parts.scheme], parts.scheme)


def _parsed(text: str, scheme: str) -> Proxy:
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        host = parts.netloc.rpartition("@")[2]
        valid = parts.scheme in _SCHEMES and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        host, valid, parts = "", False, urlsplit("")
    if not valid:  # it is not shown: there may be a password in it
        what = f"the proxy for {scheme}:// addresses is no address"
        raise ConfigError(what, subject=scheme, hint=f"write http://HOST:PORT into {scheme}_proxy (or all_proxy)")
    return Proxy(f"{parts.scheme}://{host}", unquote(parts.username or ""), unquote(parts.password or ""))


def _passes(rule: str, name: str, port: int) -> bool:
    """Tell whether a rule of ``no_proxy`` lets a host be asked without one."""
    if "/" in rule:
        from ipaddress import ip_address, ip_network

        try:
            return ip_address(name) in ip_network(rule, strict=False)
        except ValueError:
            return False
    host, colon, only = rule.rpartition(":")
    if colon and only.isdecimal() and "]" not in only and (":" not in host or host.endswith("]")):
        if int(only) != port:
            return False
        rule = host
    ending = rule.removeprefix("*").lstrip(".").strip("[]").lower()
    return not ending or name == ending or name.endswith(f".{ending}")
