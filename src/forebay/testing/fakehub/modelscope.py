"""ModelScope as its clients see it: everything in one envelope, datasets with numbers, pages without links."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from forebay.errors import NotFoundError
from forebay.testing.fakehub.exchange import Answer, Refused, Request, Shelf, as_json
from forebay.testing.fakehub.huggingface import signed
from forebay.testing.fakehub.repository import Commit, Repository

_TYPES = {"datasets": "dataset", "models": "model"}
_DATASET_TYPE = 4  # "a repository of files", the only formation that the client reads through the hub's own API
_MISSING, _FORBIDDEN, _UNKNOWN_TOKEN = 10010205001, 10010205003, 10010103009


@dataclass(slots=True)
class ModelScope:
    """Answers for the repositories on a shelf.

    Attributes:
        most_page: the greatest PageSize that is granted for a dataset's tree.
        most_files: a model's list is cut silently after so many entries.
        cdn: the address that LFS files are sent from by a 302; None: they come straight, with 200.
        plain_ranges: whether files that come straight honour Range, which ModelScope ignores there.
    """

    shelf: Shelf
    most_page: int = 500
    most_files: int = 3000
    cdn: str | None = None
    plain_ranges: bool = False

    def answer(self, request: Request) -> Answer:
        """Answer a request."""
        try:
            segments = request.segments
            if segments[:2] != ["api", "v1"] or len(segments) < 4 or segments[2] not in _TYPES:
                return self._elsewhere(request, segments)
            repository, question = self._repository(request, _TYPES[segments[2]], segments[3:])
            return self._about(request, repository, "/".join(question))
        except Refused as refused:
            return refused.answer

    def _about(self, request: Request, repository: Repository, question: str) -> Answer:
        match question:
            case "":
                return _success(request, _info(repository))
            case "repo/tree" | "repo/files":
                return self._tree(request, repository, paged=question == "repo/tree")
            case "repo":
                return self._file(request, repository)
            case "revisions":
                return _success(request, {"RevisionMap": _revisions(repository)})
            case "download/increase" if request.method == "POST":
                return _success(request, None)
            case _:
                raise Refused(_failure(request, 404, _MISSING, "not found"))

    def _elsewhere(self, request: Request, segments: list[str]) -> Answer:
        """Answer `/datasets/NS/NAME/resolve/REVISION/PATH`, which the client's `hf://` reads; nothing else is there."""
        if "resolve" not in segments:
            return _failure(request, 404, _MISSING, "not found")
        kind = _TYPES.get(segments[0])
        at = segments.index("resolve")
        names = segments[1:at] if kind else segments[:at]
        repository, rest = self._repository(request, kind or "model", names)
        if rest or len(segments) < at + 3:
            return _failure(request, 404, _MISSING, "not found")
        return self._bytes(request, repository, segments[at + 1], "/".join(segments[at + 2 :]))

    # Files

    def _file(self, request: Request, repository: Repository) -> Answer:
        return self._bytes(request, repository, request.asked("Revision", "master"), request.asked("FilePath"))

    def _bytes(self, request: Request, repository: Repository, revision: str, path: str) -> Answer:
        if not repository.may_read(self._user(request)):
            raise Refused(_failure(request, 403, _FORBIDDEN, "no permission to download"))
        commit = self._commit(request, repository, revision)
        file = commit.files.get(path)
        if file is None:
            raise Refused(_failure(request, 404, _MISSING, f"file {path} not exist"))
        name = path.rpartition("/")[2]
        headers = {
            "Content-Type": "application/octet-stream",
            "ETag": f'"{file.sha256}"',
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}",
            "X-Request-Id": _request_id(request),
        }
        if file.lfs and self.cdn is not None:
            return Answer(
                302, {"Location": signed(self.cdn, "ms", repository, path, file), "Content-Type": "text/html"}
            )
        return Answer(200, headers, file=file, ranges=self.plain_ranges)

    # Trees

    def _tree(self, request: Request, repository: Repository, *, paged: bool) -> Answer:
        commit = self._commit(request, repository, request.asked("Revision", "master"))
        root = request.asked("Root", "/").strip("/")
        if root not in commit.folders:
            raise Refused(_failure(request, 404, _MISSING, f"path {root} not exist"))
        paths = commit.listed(root, recursive=request.wants("Recursive"))
        size = min(int(request.asked("PageSize") or 100), self.most_page) if paged else self.most_files
        start = (max(int(request.asked("PageNumber") or 1), 1) - 1) * size if paged else 0
        files = [_entry(repository, commit, path) for path in paths[start : start + size]]
        told = {"Files": files, "IsVisual": 0, "LatestCommitter": None}
        return _success(request, told | ({"TotalCount": len(paths)} if paged else {}))

    # Refusals

    def _user(self, request: Request) -> str | None:
        try:
            return self.shelf.user(request.token)
        except KeyError:
            raise Refused(_failure(request, 401, _UNKNOWN_TOKEN, "AccessToken is invalid or expired")) from None

    def _repository(self, request: Request, kind: str, names: list[str]) -> tuple[Repository, list[str]]:
        """Return the repository that the names begin with, by number or namespace and name, and what follows."""
        user = self._user(request)
        if kind == "dataset" and names[0].isdigit():
            found = (each for each in self.shelf.of("ms") if each.type == kind and each.number == int(names[0]))
            repository, rest = next(found, None), names[1:]
        else:
            repository, rest = self.shelf.find("ms", kind, "/".join(names[:2])), names[2:]
        if repository is None or repository.disabled or not repository.knows_of(user):
            raise Refused(_failure(request, 404, _MISSING, "record not found"))
        return repository, rest

    def _commit(self, request: Request, repository: Repository, revision: str) -> Commit:
        try:
            return repository.at("main" if revision in ("master", "") else revision)
        except NotFoundError:
            raise Refused(_failure(request, 404, _MISSING, f"revision {revision} not exist")) from None


def _success(request: Request, data: Any) -> Answer:
    return as_json(
        {"Code": 200, "Data": data, "Message": "success", "RequestId": _request_id(request), "Success": True}
    )


def _failure(request: Request, status: int, code: int, message: str) -> Answer:
    told = {"Code": code, "Data": None, "Message": message, "RequestId": _request_id(request), "Success": False}
    return as_json(told, status)


def _request_id(request: Request) -> str:
    """Return the client's own id of the request, as ModelScope does, or one that stands for what was asked."""
    asked = f"{request.raw_path}?{request.query}".encode()
    return request.headers.get("x-request-id") or hashlib.sha256(asked).hexdigest()[:32]


def _info(repository: Repository) -> dict[str, Any]:
    namespace, _, name = repository.id.rpartition("/")
    newest, oldest = repository.at(), list(repository.history())[-1]
    told: dict[str, Any] = {
        "Id": repository.number,
        "Name": name,
        "Visibility": 1 if repository.private else 5,
        "CreatedTime" if repository.type == "model" else "GmtCreate": oldest.second,
        "LastUpdatedTime" if repository.type == "model" else "GmtModified": newest.second,
        "Downloads": 0,
        "License": "",
        "Revision": "master",
    }
    if repository.type == "model":
        return told | {"Path": namespace, "ChineseName": "", "Tasks": []}
    return told | {"Namespace": namespace, "Type": _DATASET_TYPE, "Owner": namespace, "Gated": bool(repository.gated)}


def _entry(repository: Repository, commit: Commit, path: str) -> dict[str, Any]:
    file = commit.files.get(path)
    changed = repository.last_change(commit, path)
    return {
        "Name": path.rpartition("/")[2],
        "Path": path,
        "Type": "tree" if file is None else "blob",
        "Size": 0 if file is None else file.size,
        "Sha256": "" if file is None else file.sha256,
        "IsLFS": file is not None and file.lfs,
        "Id": commit.folders[path] if file is None else file.oid,
        "Mode": "40000" if file is None else "33188",
        "Revision": changed.sha,
        "CommitId": changed.sha,
        "CommitMessage": changed.title,
        "CommittedDate": changed.second,
    }


def _revisions(repository: Repository) -> dict[str, Any]:
    def told(name: str, sha: str) -> dict[str, Any]:
        shown = "master" if name == "main" else name
        return {"Revision": shown, "ShowName": shown, "CommitId": sha, "CreatedAt": repository.at(sha).second}

    branches = [told(*each) for each in repository.branches.items() if not each[0].startswith("refs/")]
    return {"Branches": branches, "Tags": [told(*each) for each in repository.tags.items()]}
