"""ModelScope's protocol, answered from snapshots: one envelope for all, datasets with numbers, pages without links.

Source: what its client was seen to send and to need.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from forebay.hub.reference import Reference, RepositoryType
from forebay.mirror import listing, serving
from forebay.mirror.exchange import Answer, Request, as_json, decimal
from forebay.mirror.library import Library, Picture
from forebay.mirror.trouble import Trouble

_TYPES: dict[str, RepositoryType] = {"datasets": "dataset", "models": "model"}
_DATASET_TYPE = 4  # "a repository of files", the only formation that the client reads through the hub's own API
_MISSING, _FORBIDDEN, _NOT_NOW = 10010205001, 10010205003, 10010105000
_PAGE, _MOST_PAGE, _MOST_FILES = 100, 500, 1_000_000


@dataclass(frozen=True, slots=True)
class ModelScope:
    """Answers of ModelScope.

    Attributes:
        library: where snapshots and bytes come from.
    """

    library: Library

    def answer(self, request: Request) -> Answer:
        """Answer a request."""
        try:
            segments = request.segments
            if segments[:2] != ("api", "v1") or len(segments) < 4 or segments[2] not in _TYPES:
                return self._elsewhere(request, segments)
            reference, question = self._named(request, _TYPES[segments[2]], segments[3:])
            return self._about(request, reference, "/".join(question))
        except Trouble as trouble:
            return _refusal(request, trouble)

    def _about(self, request: Request, reference: Reference, question: str) -> Answer:
        if question == "download/increase" and request.method == "POST":
            return _success(request, None)
        if request.method not in ("GET", "HEAD"):
            return _failure(request, 404, _MISSING, "not found")
        match question:
            case "":
                return _success(request, _info(self._picture(request, reference)))
            case "repo/tree" | "repo/files":
                return self._tree(request, reference, paged=question == "repo/tree")
            case "repo":
                return self._file(request, replace(reference, revision=_revision(request)), request.asked("FilePath"))
            case "revisions":
                return _success(request, {"RevisionMap": self._revisions(self._picture(request, reference))})
            case _:
                return _failure(request, 404, _MISSING, "not found")

    def _elsewhere(self, request: Request, segments: Sequence[str]) -> Answer:
        """Answer `/datasets/NS/NAME/resolve/REVISION/PATH`, which the client's `hf://` reads; nothing else is there."""
        kind = _TYPES.get(segments[0])
        names = segments[1:] if kind else segments
        if len(names) < 5 or names[2] != "resolve" or request.method not in ("GET", "HEAD"):
            return _failure(request, 404, _MISSING, "not found")
        reference = Reference("ms", kind or "model", "/".join(names[:2]), names[3])
        return self._file(request, reference, "/".join(names[4:]))

    def _named(self, request: Request, kind: RepositoryType, names: Sequence[str]) -> tuple[Reference, Sequence[str]]:
        """Return the repository that the names begin with, by number or by namespace and name, and what follows."""
        if kind == "dataset" and names[0].isdecimal():
            number = decimal(names[0])
            found = None if number is None else self.library.numbered(number)
            if found is None:
                raise Trouble(404, "", "record not found")
            return found, names[1:]
        return Reference("ms", kind, "/".join(names[:2])), names[2:]

    def _picture(self, request: Request, reference: Reference) -> Picture:
        return self.library.picture(reference, request.token, request.owns, waits=not request.is_forebay)

    # Files

    def _file(self, request: Request, reference: Reference, path: str) -> Answer:
        picture = self._picture(request, reference)
        self.library.admit(picture, request.token, request.owns)
        file = picture.snapshot.get(path)
        if file is None:
            return _failure(request, 404, _MISSING, f"file {path} not exist")
        headers = {"X-Request-Id": _request_id(request)}
        opened = self.library.opener(picture, file, request.token, waits=not request.is_forebay)
        spoiled = self.library.spoiled(file)
        return serving.of_file(request, file, headers, opened, spoiled=spoiled)

    # Trees

    def _tree(self, request: Request, reference: Reference, *, paged: bool) -> Answer:
        picture = self._picture(request, replace(reference, revision=_revision(request)))
        root = request.asked("Root", "/").strip("/")
        try:
            paths = picture.listing.below(root, recursive=request.wants("Recursive"))
        except KeyError:
            return _failure(request, 404, _MISSING, f"path {root} not exist")
        size = request.number("PageSize", _PAGE, _MOST_PAGE) if paged else _MOST_FILES
        start = (request.number("PageNumber", 1, _MOST_FILES) - 1) * size if paged else 0
        files = [_entry(picture, path) for path in paths[start : start + size]]
        told = {"Files": files, "IsVisual": 0, "LatestCommitter": None}
        return _success(request, told | ({"TotalCount": len(paths)} if paged else {}))

    def _revisions(self, picture: Picture) -> dict[str, Any]:
        known = self.library.revisions(picture).items()
        told = [{"Revision": name, "ShowName": name, "CommitId": commit, "CreatedAt": 0} for name, commit in known]
        return {"Branches": told, "Tags": []}


def _revision(request: Request) -> str | None:
    return request.asked("Revision") or None


def _refusal(request: Request, trouble: Trouble) -> Answer:
    codes = {401: _FORBIDDEN, 403: _FORBIDDEN, 404: _MISSING}
    status = trouble.status
    if status == 401:  # Hugging Face's word; here it is said of tokens that are none
        status = 404 if trouble.code == "RepoNotFound" else 403
    return _failure(request, status, codes.get(status, _NOT_NOW), trouble.message)


def _success(request: Request, data: Any) -> Answer:
    told = {"Code": 200, "Data": data, "Message": "success", "RequestId": _request_id(request), "Success": True}
    return as_json(told)


def _failure(request: Request, status: int, code: int, message: str) -> Answer:
    told = {"Code": code, "Data": None, "Message": message, "RequestId": _request_id(request), "Success": False}
    return as_json(told, status)


def _request_id(request: Request) -> str:
    """Return the client's own id of the request, or one that stands for what was asked."""
    asked = f"{request.raw_path}?{request.query}".encode()
    sent = request.headers.get("x-request-id", "")
    return sent if sent.isascii() and sent.isprintable() and sent else hashlib.sha256(asked).hexdigest()[:32]


def _info(picture: Picture) -> dict[str, Any]:
    snapshot = picture.snapshot
    namespace, _, name = snapshot.id.rpartition("/")
    told: dict[str, Any] = {"Name": name, "Visibility": 5, "Downloads": 0, "License": "", "Revision": "master"}
    if snapshot.type == "model":
        told |= {"Path": namespace, "ChineseName": "", "Tasks": []}
    else:
        told |= {"Namespace": namespace, "Owner": namespace, "Gated": snapshot.restricted}
    told |= picture.info
    return told | {"Id": picture.number} | ({} if snapshot.type == "model" else {"Type": _DATASET_TYPE})


def _entry(picture: Picture, path: str) -> dict[str, Any]:
    file = picture.listing.files.get(path)
    commit = picture.snapshot.commit
    return {
        "Name": path.rpartition("/")[2],
        "Path": path,
        "Type": "tree" if file is None else "blob",
        "Size": 0 if file is None else file.size or 0,
        "Sha256": "" if file is None else listing.sha256(file) or "",
        "IsLFS": file is not None and bool(file.lfs_sha256),
        "Id": picture.listing.oid(path),
        "Mode": "40000" if file is None else "33188",
        "Revision": commit,
        "CommitId": commit,
        "CommitMessage": f"commit {commit[:12]}",
        "CommittedDate": picture.second,
    }
