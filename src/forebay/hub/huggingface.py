"""Hugging Face, or what speaks as it does: which commit a revision is, what is in it, and the bytes.

Two requests say all about a snapshot: the repository at a revision, and the tree at that commit (one more for every
thousand entries), which is spared where that commit is known. Files come from ``/resolve/COMMIT/PATH``; Xet is never
used.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, cast
from urllib.parse import quote

from forebay.errors import AccessError, ForebayError, NotFoundError, OriginError
from forebay.hub.http import Answer, Response, Transport, bearer, host_of, next_page, range_from
from forebay.hub.origin import Listing
from forebay.hub.reference import Reference
from forebay.hub.snapshot import Snapshot, SnapshotFile, listed
from forebay.types import JSON

_MOST_PAGES = 10_000


class HuggingFace:
    """One endpoint that speaks Hugging Face's protocol.

    Args:
        endpoint: ``https://huggingface.co`` or a mirror's address, without the last slash.
        transport: sends requests.
    """

    def __init__(self, endpoint: str, transport: Transport) -> None:
        self.endpoint = endpoint
        self._transport = transport

    @property
    def name(self) -> str:
        """See `Origin`."""
        return host_of(self.endpoint)

    def resolve(self, reference: Reference, *, token: str | None = None, known: Snapshot | None = None) -> Listing:
        """See `Origin`."""
        about = f"{self.endpoint}/api/{reference.type}s/{quote(reference.id)}"
        answer = self._get(f"{about}/revision/{quote(reference.asked_revision, safe='')}", reference, token)
        info = _without_xet(_object(answer))
        commit, id = info.get("sha"), info.get("id")  # noqa: A001 - the hub's own word
        if not isinstance(commit, str) or not isinstance(id, str):
            what = f"{self.name} says neither id nor commit of {reference}"
            raise OriginError(what, subject=str(reference), hint="is it a hub?")
        restricted = bool(info.get("gated") or info.get("private"))
        if known is not None and not restricted and known.lists(id, commit):
            files = known.files
        else:
            files = listed(self._tree(reference, id, commit, token), f"{self.name}: {id}")
        return Listing(Snapshot("hf", reference.type, id, commit, files, restricted), info)

    @contextmanager
    def read(
        self, snapshot: Snapshot, file: SnapshotFile, start: int, etag: str, *, token: str | None = None
    ) -> Generator[Response]:
        """See `Origin`."""
        prefix = "" if snapshot.type == "model" else f"{snapshot.type}s/"
        url = f"{self.endpoint}/{prefix}{quote(snapshot.id)}/resolve/{snapshot.commit}/{quote(file.path)}"
        with self._transport.open(url, {**self._token(token), **range_from(start, etag)}) as response:
            if response.status not in (200, 206):
                where = f"{file.path} of {snapshot.dataset}"
                raise _refused(self.name, response.status, response.headers, where, snapshot.reference, within=True)
            yield response

    def _tree(self, reference: Reference, id: str, commit: str, token: str | None) -> Generator[SnapshotFile]:  # noqa: A002
        url: str | None = f"{self.endpoint}/api/{reference.type}s/{quote(id)}/tree/{commit}?recursive=true&expand=false"
        for _ in range(_MOST_PAGES):
            answer = self._get(url, reference, token)
            rows = answer.json()
            if not isinstance(rows, list):
                raise OriginError(f"{self.name} does not list {reference}", subject=url, hint="is it a hub?")
            for row in cast("list[Mapping[str, Any]]", rows):
                if row.get("type") == "file":
                    yield _file(row, self.name)
            url = next_page(answer.headers, answer.url)
            if url is None:
                return
            if host_of(url) != host_of(answer.url):  # a mirror that forgot to put its own address there
                url = self.endpoint + url[url.index(host_of(url)) + len(host_of(url)) :]
        raise OriginError(f"{self.name} never ends listing {reference}", subject=url)

    def _get(self, url: str, reference: Reference, token: str | None) -> Answer:
        answer = self._transport.get(url, self._token(token))
        if answer.status == 200:
            return answer
        raise _refused(self.name, answer.status, answer.headers, str(reference), reference)

    def _token(self, token: str | None) -> dict[str, str]:
        return bearer(self._transport.settings.token(self.name) if token is None else token)


def _object(answer: Answer) -> dict[str, JSON]:
    value = answer.json()
    if not isinstance(value, dict):
        raise OriginError(f"{host_of(answer.url)} answers with no object", subject=answer.url, hint="is it a hub?")
    return cast("dict[str, JSON]", value)


def _without_xet(info: dict[str, JSON]) -> dict[str, JSON]:
    return {name: value for name, value in info.items() if "xet" not in name.lower()}


def _file(row: Mapping[str, Any], host: str) -> SnapshotFile:
    try:
        lfs = cast("Mapping[str, Any]", row.get("lfs") or {})
        sha256, oid = str(lfs.get("oid", "")), str(row["oid"])
        size = int(lfs.get("size", row["size"]))
        identity = f"sha256:{sha256}" if sha256 else f"git:{oid}"
        return SnapshotFile(str(row["path"]), size, identity, git_oid=oid if sha256 else "", lfs_sha256=sha256)
    except (KeyError, TypeError, ValueError) as error:
        raise OriginError(f"{host} lists a file without {error}", subject=row, hint="is it a hub?") from error


def _refused(
    host: str, status: int, headers: Mapping[str, str], what: str, reference: Reference, *, within: bool = False
) -> ForebayError:
    """Return the error that says what a refusal means and what to do; `within`: of a repository that is there."""
    code = headers.get("x-error-code", "")
    kind = "" if reference.type == "model" else f"{reference.type}s/"
    page = f"{host}/{kind}{reference.id}"
    variable = "HF_TOKEN (or FOREBAY_TOKEN_<HOST>)"
    if code == "GatedRepo":
        hint = f"ask for access at {page}, then set {variable} to a token of that account"
        return AccessError(f"{what} is gated on {host}", subject=str(reference), hint=hint)
    if code == "RevisionNotFound":
        hint = f"see the branches and tags at {page}"
        return NotFoundError(f"no revision {reference.asked_revision!r} of {reference.id} on {host}", hint=hint)
    if code == "EntryNotFound" or (status == 404 and not code and within):
        return NotFoundError(f"no {what} on {host}", subject=str(reference), hint=f"see the files at {page}")
    if code == "RepoNotFound" or status == 404:
        hint = f"check the name at {host}; if it is private, set {variable}"
        return NotFoundError(f"no {reference.type} {reference.id} on {host}", subject=str(reference), hint=hint)
    if status == 401:
        hint = f"set {variable} to a valid token, or unset it"
        return AccessError(f"{host} does not accept the token for {what}", subject=str(reference), hint=hint)
    if status == 403:
        why = headers.get("x-error-message", "access is not allowed")
        return AccessError(f"{host} refuses {what}: {why}", subject=str(reference), hint=f"see {page}")
    return OriginError(f"{host} answers {status} for {what}", subject=str(reference), hint="is it a hub?")
