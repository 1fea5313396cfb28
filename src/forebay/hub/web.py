"""Plain URLs: what stands behind one is known by the hash that the user gave, or else by its ETag."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from urllib.parse import unquote, urlsplit

from blake3 import blake3

from forebay.errors import AccessError, ForebayError, NotFoundError, OriginError
from forebay.hub.http import Response, Transport, bearer, host_of, range_from
from forebay.hub.origin import Listing
from forebay.hub.reference import Reference
from forebay.hub.snapshot import Snapshot, SnapshotFile, key_of


class Web:
    """Any server of files. A snapshot of one file, called as the last part of its URL."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    @property
    def name(self) -> str:
        """See `Origin`."""
        return "the web"

    def resolve(self, reference: Reference, *, token: str | None = None, known: Snapshot | None = None) -> Listing:
        """See `Origin`. Asks for the headers alone, or by GET where HEAD is refused."""
        size, etag, seen = self._look(reference.id, token)
        name = unquote(urlsplit(reference.id).path.rpartition("/")[2]) or "index.html"
        identity = f"sha256:{reference.sha256}" if reference.sha256 else f"etag:{seen}"
        file = SnapshotFile(name, size, identity, etag="" if reference.sha256 else etag)
        return Listing(Snapshot("url", "file", reference.id, key_of(file.to_json()), (file,)))

    @contextmanager
    def read(
        self, snapshot: Snapshot, file: SnapshotFile, start: int, etag: str, *, token: str | None = None
    ) -> Generator[Response]:
        """See `Origin`."""
        headers = {**self._token(snapshot.id, token), **(range_from(start, etag) if etag or not file.etag else {})}
        with self._transport.open(snapshot.id, headers) as response:
            _check(response, snapshot.id)
            yield response

    def _look(self, url: str, token: str | None) -> tuple[int | None, str, str]:
        """Return size, strong ETag, and a digest of what is seen of the content."""
        for method in ("HEAD", "GET"):
            with self._transport.open(url, self._token(url, token), method) as response:
                if method == "HEAD" and response.status in (403, 405, 501):
                    continue
                _check(response, url)
                return response.size, response.etag, _seen(url, response.size, response.headers)
        raise OriginError(f"{host_of(url)} answers neither HEAD nor GET", subject=url)

    def _token(self, url: str, token: str | None) -> dict[str, str]:
        return bearer(self._transport.settings.token(host_of(url)) if token is None else token)


def _seen(url: str, size: int | None, headers: Mapping[str, str]) -> str:
    """Return a digest of URL and validators; without any, of the moment: nobody can tell whether it has changed."""
    validator = headers.get("etag") or headers.get("last-modified") or f"as of {time.time_ns()}"
    return blake3(f"{url}\0{validator}\0{size}".encode()).hexdigest()


def _check(response: Response, url: str) -> None:
    if response.status in (200, 206):
        return
    raise refused(response.status, url)


def refused(status: int, url: str) -> ForebayError:
    """Return the error that a status means for a URL."""
    host = host_of(url)
    if status in (404, 410):
        return NotFoundError(f"nothing at {url}", subject=url, hint="check the address")
    if status in (401, 403):
        hint = "set FOREBAY_TOKEN_<HOST> to a token that this host accepts"
        return AccessError(f"{host} does not give {url}", subject=url, hint=hint)
    return OriginError(f"{host} answers {status} for {url}", subject=url, hint="check the address")
