"""ModelScope, or what speaks as it does.

Everything comes in one envelope; datasets are listed in pages, models at once, but silently cut at 3000 entries.
Where it does not say which commit a revision is, the commit is BLAKE3 over the files.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast
from urllib.parse import quote, urlencode

from blake3 import blake3

from forebay.errors import AccessError, ForebayError, InputError, NotFoundError, OriginError
from forebay.hub.http import Answer, Response, Transport, bearer, host_of, range_from
from forebay.hub.origin import Listing
from forebay.hub.reference import Reference
from forebay.hub.snapshot import Snapshot, SnapshotFile, key_of, listed
from forebay.types import JSON

_PAGE = 500
_MOST_PAGES = 10_000
_MOST_MODEL_FILES = 3000
_VARIABLE = "MODELSCOPE_API_TOKEN (or FOREBAY_TOKEN_<HOST>)"


class ModelScope:
    """One endpoint that speaks ModelScope's protocol.

    Args:
        endpoint: ``https://www.modelscope.cn`` or a mirror's address, without the last slash.
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
        if reference.type not in ("dataset", "model"):
            raise InputError(f"ModelScope has no {reference.type}s", subject=str(reference), hint="datasets and models")
        about = self._about(reference.type, reference.id)
        info = self._data(self._get(about, reference, token))
        commit = reference.commit or self._commit(about, reference, token)
        revision = commit or reference.asked_revision
        restricted = info.get("Visibility") == 1 or bool(info.get("Gated"))
        if known is not None and not restricted and known.lists(_id(info, reference), commit):
            files = known.files
        else:
            rows = self._rows(about, reference, revision, token)
            files = listed(
                (_file(row, self.name) for row in rows if row.get("Type") != "tree"), f"{self.name}: {reference.id}"
            )
        named = commit or key_of(*(file.to_json() for file in files))
        return Listing(Snapshot("ms", reference.type, _id(info, reference), named, files, restricted), info)

    @contextmanager
    def read(
        self, snapshot: Snapshot, file: SnapshotFile, start: int, etag: str, *, token: str | None = None
    ) -> Generator[Response]:
        """See `Origin`."""
        revision = snapshot.commit if len(snapshot.commit) == 40 else "master"
        query = urlencode({"Source": "SDK", "Revision": revision, "FilePath": file.path})
        url = f"{self._about(snapshot.type, snapshot.id)}/repo?{query}"
        with self._transport.open(url, {**self._token(token), **range_from(start, etag)}) as response:
            if response.status not in (200, 206):
                raise self._refused(response.status, f"{file.path} of {snapshot.dataset}", snapshot.reference)
            yield response

    def _rows(self, about: str, reference: Reference, revision: str, token: str | None) -> Iterator[Mapping[str, Any]]:
        if reference.type == "dataset":
            yield from self._pages(about, reference, revision, token)
            return
        rows = self._model_rows(about, reference, {"Revision": revision, "Recursive": "True"}, token)
        if len(rows) < _MOST_MODEL_FILES:
            yield from rows
            return
        folders = [""]  # the list was cut: folder by folder
        while folders:
            query = {"Revision": revision, "Recursive": "False", "Root": folders.pop()}
            rows = self._model_rows(about, reference, query, token)
            folders += [str(row["Path"]) for row in rows if row.get("Type") == "tree"]
            yield from rows

    def _model_rows(
        self, about: str, reference: Reference, query: dict[str, str], token: str | None
    ) -> list[Mapping[str, Any]]:
        answer = self._get(f"{about}/repo/files?{urlencode(query)}", reference, token)
        return _list(self._data(answer).get("Files"))

    def _pages(self, about: str, reference: Reference, revision: str, token: str | None) -> Iterator[Mapping[str, Any]]:
        seen = 0
        for number in range(1, _MOST_PAGES):
            query = {"Revision": revision, "Root": "/", "Recursive": "True", "PageNumber": number, "PageSize": _PAGE}
            data = self._data(self._get(f"{about}/repo/tree?{urlencode(query)}", reference, token))
            rows = _list(data.get("Files"))
            yield from rows
            seen += len(rows)
            total = data.get("TotalCount")
            if not rows or (seen >= total if isinstance(total, int) and total else len(rows) < _PAGE):
                return
        raise OriginError(f"{self.name} never ends listing {reference}", subject=str(reference))

    def _commit(self, about: str, reference: Reference, token: str | None) -> str | None:
        """Return the commit of a revision, where the hub says it."""
        answer = self._transport.get(f"{about}/revisions", self._token(token))
        if answer.status != 200:
            return None
        found = self._data(answer).get("RevisionMap")
        named = cast("Mapping[str, Any]", found) if isinstance(found, dict) else {}
        for row in [*_list(named.get("Branches")), *_list(named.get("Tags"))]:
            commit = row.get("CommitId")
            if row.get("Revision") == reference.asked_revision and isinstance(commit, str) and len(commit) == 40:
                return commit
        return None

    def _about(self, type: str, id: str) -> str:  # noqa: A002 - the hubs' own words
        return f"{self.endpoint}/api/v1/{type}s/{quote(id)}"

    def _get(self, url: str, reference: Reference, token: str | None) -> Answer:
        answer = self._transport.get(url, self._token(token))
        if answer.status == 200:
            return answer
        raise self._refused(answer.status, str(reference), reference)

    def _data(self, answer: Answer) -> dict[str, JSON]:
        envelope = answer.json()
        data = cast("Mapping[str, Any]", envelope).get("Data") if isinstance(envelope, dict) else None
        if not isinstance(data, dict):
            raise OriginError(f"{self.name} answers with no Data", subject=answer.url, hint="is it ModelScope?")
        return cast("dict[str, JSON]", data)

    def _token(self, token: str | None) -> dict[str, str]:
        secret = self._transport.settings.token(self.name) if token is None else token
        return {**bearer(secret), "Cookie": f"m_session_id={secret}"} if secret else {}

    def _refused(self, status: int, what: str, reference: Reference) -> ForebayError:
        page = f"{self.name}/{reference.type}s/{reference.id}"
        if status == 404:
            hint = f"check name, revision and path at {page}; if it is private, set {_VARIABLE}"
            return NotFoundError(f"no {what} on {self.name}", subject=str(reference), hint=hint)
        if status in (401, 403):
            hint = f"ask for access at {page}, then set {_VARIABLE} to a token of that account"
            return AccessError(f"{self.name} does not give {what} to this account", subject=str(reference), hint=hint)
        return OriginError(f"{self.name} answers {status} for {what}", subject=str(reference), hint="is it ModelScope?")


def _id(info: Mapping[str, JSON], reference: Reference) -> str:
    """Return the id as the hub writes it."""
    namespace = info.get("Namespace") if reference.type == "dataset" else info.get("Path")
    name = info.get("Name")
    return f"{namespace}/{name}" if namespace and name else reference.id


def _list(value: object) -> list[Mapping[str, Any]]:
    rows = cast("list[object]", value) if isinstance(value, list) else []
    return [cast("Mapping[str, Any]", row) for row in rows if isinstance(row, dict)]


def _file(row: Mapping[str, Any], host: str) -> SnapshotFile:
    try:
        path, size = str(row["Path"]), int(row["Size"])
        sha256 = str(row.get("Sha256") or "")
        oid, lfs = str(row.get("Id") or ""), bool(row.get("IsLFS"))
    except (KeyError, TypeError, ValueError) as error:
        raise OriginError(f"{host} lists a file without {error}", subject=row, hint="is it ModelScope?") from error
    if sha256:
        return SnapshotFile(path, size, f"sha256:{sha256}", git_oid=oid, lfs_sha256=sha256 if lfs else "")
    if len(oid) == 40 and not lfs:
        return SnapshotFile(path, size, f"git:{oid}")
    seen = blake3(f"{host}\0{path}\0{row.get('Revision')}".encode()).hexdigest()
    return SnapshotFile(path, size, f"etag:{seen}")
