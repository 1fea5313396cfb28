"""HTTP as hubs need it: pools of connections, patience, redirects that carry no secret elsewhere.

`urllib3` is loaded with the first request.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urljoin, urlsplit

from forebay.config import HubSettings
from forebay.errors import ConfigError, OriginError
from forebay.events import Hook, ignore
from forebay.hub.connections import Connections
from forebay.hub.patience import Busy, Patience, Waits
from forebay.hub.proxies import Proxy, proxy_for

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, PoolManager

USER_AGENT = "forebay"

_MOST_REDIRECTS = 10
_MOST_ANSWER_BYTES = 256 * 2**20
_DRAIN_BYTES = 64 * 2**10
_TRY_AGAIN = frozenset({408, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PROXY_REFUSES = 407


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. `headers`: names in lower case; those of the first redirect stand in for what is missing."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str

    def json(self) -> Any:
        """Return the body as JSON.

        Raises:
            OriginError: it is none: a portal or a proxy answers in the hub's place.
        """
        import json

        try:
            return json.loads(self.body)
        except ValueError as error:
            what = f"{host_of(self.url)} answered {self.status} with something that is not JSON"
            raise OriginError(what, subject=self.url, hint="is it a hub, and no log-in page?") from error


class Transport:
    """Sends requests. Safe to use from several threads, and after fork().

    Args:
        settings: time-outs, proxies, tokens.
        waits: between attempts.
        hook: told by WARNING of waits that a person would notice.
    """

    def __init__(self, settings: HubSettings, waits: Waits | None = None, hook: Hook = ignore) -> None:
        self.settings = settings
        self.waits = waits or Waits()
        self._connections = Connections()
        self.patience = Patience(self.waits, hook, sleep=self._connections.ended.wait)
        self.requests = 0
        """Sent so far, redirects and repetitions included."""
        self._guard = threading.Lock()
        self._pools: dict[tuple[int, Proxy | None], PoolManager] = {}

    @cached_property
    def _tls(self) -> Any:
        import ssl

        path = self.settings.ca_bundle
        folder = path is not None and os.path.isdir(path)
        try:
            return ssl.create_default_context(cafile=None if folder else path, capath=path if folder else None)
        except OSError as error:  # a file without certificates is one, too
            what = f"cannot read certificates from {path}: {error.strerror or error}"
            raise ConfigError(what, subject=path, hint="set or unset SSL_CERT_FILE (or REQUESTS_CA_BUNDLE)") from error

    def load(self) -> None:
        """Load what the first request needs, ahead of it.

        Raises:
            ConfigError: certificates cannot be read.
        """
        import_module("urllib3")
        _ = self._tls

    def get(self, url: str, headers: Mapping[str, str] | None = None, *, attempts: int | None = None) -> Answer:
        """Ask for a whole answer, with patience: `HubSettings.attempts` times.

        Answers below 500 that do not ask for patience are returned, whatever they say.

        Raises:
            OriginError: no answer, or only ones that asked for patience.
        """
        attempt = 0
        while True:
            try:
                return self._get_once(url, headers or {})
            except Busy as error:
                if attempt + 1 >= (attempts or self.settings.attempts):
                    raise
                self.patience.wait(attempt, error)
                attempt += 1

    def _get_once(self, url: str, headers: Mapping[str, str]) -> Answer:
        with self.open(url, headers) as response:
            pieces: list[bytes] = []
            size = 0
            for piece in response.chunks(2**20):
                size += len(piece)
                pieces.append(piece)
                if size > _MOST_ANSWER_BYTES:
                    what = f"{response.host} answers with more than {_MOST_ANSWER_BYTES} bytes"
                    raise OriginError(what, subject=url, hint="is it a hub?")
            return Answer(response.status, response.headers, b"".join(pieces), response.url)

    @contextmanager
    def open(self, url: str, headers: Mapping[str, str], method: str = "GET") -> Generator[Response]:
        """Ask once and give the answer to be read in pieces; redirects are followed.

        `Authorization` and `Cookie` go to the host of `url` alone.

        Raises:
            Busy: the connection failed, or the answer asks for patience.
            OriginError: redirects in a circle or to something that is not HTTP.
        """
        sent = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **headers}
        first: Mapping[str, str] = {}
        for _ in range(_MOST_REDIRECTS):
            response = self._ask(method, url, sent)
            try:
                told = {name.lower(): value for name, value in response.headers.items()}
                if response.status in _REDIRECTS and "location" in told:
                    following = _target(url, told["location"])
                    if _origin_of(following) != _origin_of(url):
                        sent = {name: sent[name] for name in sent if name.lower() not in ("authorization", "cookie")}
                    first, url = first or told, following
                    response.drain_conn() if _is_short(told) else response.close()
                    continue
                if response.status == 206 and _encoding(url, response):  # a part of what is not the content
                    sent = {name: sent[name] for name in sent if name.lower() not in ("range", "if-range")}
                    response.close()
                    continue
                if response.status in _TRY_AGAIN or response.status >= 500:
                    raise Busy(_refusal(response.status, url), retry_after=_retry_after(told), subject=url)
                yield Response(url, response, {**first, **told})
                return
            finally:
                _give_back(response)
        raise OriginError(f"{host_of(url)} redirects in a circle", subject=url, hint="check the endpoint's address")

    def _ask(self, method: str, url: str, headers: Mapping[str, str]) -> BaseHTTPResponse:
        from urllib3 import Timeout
        from urllib3.exceptions import HTTPError

        from forebay.hub.causes import reason, refused_by_tls

        seconds = self.settings.timeout_seconds
        if self._connections.ended.is_set():
            raise OriginError(f"{host_of(url)} is not asked any more", subject=url, hint="ask again")
        proxy = proxy_for(url, self.settings.proxies, self.settings.no_proxy)
        with self._guard:
            self.requests += 1
        try:
            response = self._pool(proxy).request(
                method,
                url,
                headers=headers,
                redirect=False,
                retries=False,
                preload_content=False,
                decode_content=False,
                timeout=Timeout(connect=min(seconds, 10.0), read=seconds),
            )
        except HTTPError as error:
            why, through = reason(error), f" through the proxy {proxy}" if proxy is not None else ""
            if proxy is not None and why.startswith("407"):  # to the request for a tunnel
                raise proxy.refused(url) from error
            if proxy is not None and re.match(r"4\d\d ", why):
                raise proxy.barred(url, why) from error
            refused = refused_by_tls(error, host_of(url), proxy)
            raise refused or Busy(f"cannot reach {host_of(url)}{through}: {why}", subject=url) from error
        if proxy is not None and response.status == _PROXY_REFUSES:
            _give_back(response)
            raise proxy.refused(url)
        return response

    def _pool(self, proxy: Proxy | None) -> PoolManager:
        """Return this process's pool: a connection must not be shared with a forked child."""
        from urllib3 import PoolManager

        with self._guard:
            found = self._pools.get((os.getpid(), proxy))
            if found is None:
                options: dict[str, Any] = {"maxsize": 64, "num_pools": 32, "ssl_context": self._tls}
                found = proxy.manager(**options) if proxy is not None else PoolManager(**options)
                found.pool_classes_by_scheme = self._connections.pools(found.pool_classes_by_scheme)
                self._pools = {place: pool for place, pool in self._pools.items() if place[0] == os.getpid()}
                self._pools[os.getpid(), proxy] = found
            return found

    def end(self) -> None:
        """Ask nothing any more, and cut what is under way: whoever waits for it gets an OriginError soon."""
        self._connections.end()

    def close(self) -> None:
        """Close idle connections."""
        with self._guard:
            pools, self._pools = self._pools, {}
        for pool in pools.values():
            pool.clear()


class Response:
    """An answer whose body is still to be read; fits `Body` once `start` and `size` are set.

    A server may encode it for the way, though it was asked not to (objects that were stored so). It is decoded, but for
    files that are called ``.gz`` themselves; how long the content is, nobody says then.

    Raises:
        OriginError: nobody can decode it.
    """

    def __init__(self, url: str, response: BaseHTTPResponse, headers: Mapping[str, str]) -> None:
        self.url = url
        self.status = response.status
        self.headers = headers
        self.host = host_of(url)
        self.start = 0
        self.size: int | None = None
        etag = headers.get("etag", "")
        self.etag = etag if etag.startswith('"') else ""
        self._response = response
        length = headers.get("content-length", "")
        self._encoded = bool(_encoding(url, response))
        if self._encoded:
            self.etag = ""
        elif self.status == 206:
            self.start, self.size = _content_range(headers.get("content-range", ""), url)
        elif length.isdecimal():
            self.size = int(length)

    def chunks(self, most_bytes: int) -> Iterator[bytes]:
        """Yield the body in pieces.

        Raises:
            Busy: it ended too early.
        """
        from urllib3.exceptions import HTTPError

        from forebay.hub.causes import reason

        try:
            while piece := self._response.read1(most_bytes, decode_content=self._encoded):
                yield piece
        except (HTTPError, OSError) as error:
            raise Busy(f"{self.host} stopped sending: {reason(error)}", subject=self.url) from error


def host_of(url: str) -> str:
    """Return ``name[:port]`` of a URL."""
    return urlsplit(url).netloc.rpartition("@")[2]


def bearer(token: str | None) -> dict[str, str]:
    """Return the header that shows a token, if there is one."""
    return {"Authorization": f"Bearer {token}"} if token else {}


def range_from(start: int, etag: str) -> dict[str, str]:
    """Return the headers that ask for what follows `start`, unless the file has changed since it had `etag`."""
    if not start:
        return {}
    return {"Range": f"bytes={start}-"} | ({"If-Range": etag} if etag else {})


def next_page(headers: Mapping[str, str], url: str) -> str | None:
    """Return where a list goes on: ``Link: <…>; rel="next"``, if it does."""
    for url_part, relations in re.findall(r"<([^>]*)>((?:\s*;[^,]*)?)", headers.get("link", "")):
        if re.search(r'rel="?next"?', relations):
            return urljoin(url, cast("str", url_part))
    return None


def _encoding(url: str, response: BaseHTTPResponse) -> str:
    """Return what has to be decoded to have an answer's content; "": nothing."""
    found = response.headers.get("content-encoding", "").strip().lower()
    if found in ("", "identity") or urlsplit(url).path.endswith((".gz", ".tgz")):
        return ""
    if found not in response.CONTENT_DECODERS:
        what = f"{host_of(url)} sends {url} encoded ({found}), which it was asked not to"
        raise OriginError(what, subject=url, hint="download it by other means, and fetch the file")
    return found


def _target(url: str, location: str) -> str:
    try:
        following = urljoin(url, location)
        scheme = urlsplit(following).scheme
    except ValueError:
        following, scheme = location, ""
    if scheme not in ("http", "https"):
        raise OriginError(f"{host_of(url)} redirects to {following!r}, which is not HTTP", subject=url)
    if urlsplit(url).scheme == "https" and urlsplit(following).scheme == "http":
        raise OriginError(f"{host_of(url)} redirects from https to http", subject=url, hint="use another endpoint")
    return following


def _origin_of(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.lower()


def _content_range(text: str, url: str) -> tuple[int, int | None]:
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", text.strip())
    if match is None:
        raise Busy(f"{host_of(url)} sends a part without saying which: Content-Range {text!r}", subject=url)
    return int(match[1]), None if match[2] == "*" else int(match[2])


def _retry_after(headers: Mapping[str, str]) -> float | None:
    text = headers.get("retry-after", "").strip()
    if text.isdecimal():
        return float(text)
    if text:
        from email.utils import parsedate_to_datetime

        try:
            return max(parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
        except ValueError:
            return None
    return None


def _refusal(status: int, url: str) -> str:
    words = {
        429: "too many requests",
        408: "the request took too long",
        503: "overloaded",
        504: "no answer from behind",
    }
    return f"{host_of(url)} answers {status} ({words.get(status, 'an error of its own')})"


def _is_short(headers: Mapping[str, str]) -> bool:
    length = headers.get("content-length", "")
    return length.isdecimal() and int(length) <= _DRAIN_BYTES


def _give_back(response: BaseHTTPResponse) -> None:
    """Return the connection to its pool if the body was read to the end; else it is of no more use."""
    from urllib3.exceptions import HTTPError

    try:
        length = response.headers.get("Content-Length", "")
        if response.closed or (length.isdecimal() and int(length) <= _DRAIN_BYTES):
            response.drain_conn()
        elif response.length_remaining:
            response.close()
    except (HTTPError, OSError):
        response.close()
    response.release_conn()
