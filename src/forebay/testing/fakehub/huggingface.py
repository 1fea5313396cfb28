"""The Hugging Face Hub as its clients see it: files, information, trees, references, refusals."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, cast
from urllib.parse import parse_qs, quote, urlencode

from forebay.errors import NotFoundError
from forebay.testing.fakehub.exchange import Answer, Refused, Request, Shelf, as_json
from forebay.testing.fakehub.repository import Commit, File, Repository

_TYPES = {"datasets": "dataset", "models": "model", "spaces": "space"}
_TEXT = (".csv", ".json", ".jsonl", ".md", ".py", ".tsv", ".txt", ".yaml", ".yml", ".gitattributes", ".gitignore")
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


@dataclass(slots=True)
class HuggingFace:
    """Answers for the repositories on a shelf.

    Attributes:
        tree_page: entries in one page of a tree, or commits in one of a history (`expanded_page` with `expand`).
        cdn: the address that LFS files are sent from by a 302; None: they come straight, with 200.
        resolve_cache: answer for the other files with a relative 307, as the Hub has done since 2025.
    """

    shelf: Shelf
    tree_page: int = 1000
    expanded_page: int = 50
    cdn: str | None = None
    resolve_cache: bool = False

    def answer(self, request: Request) -> Answer:
        """Answer a request to the hub's own address."""
        try:
            segments = request.segments
            if segments[0] == "api":
                return self._api(request, segments[1:])
            kind = _TYPES[segments[0]] if segments[0] in ("datasets", "spaces") else "model"
            return self._page(request, kind, segments[1:] if kind != "model" else segments)
        except Refused as refused:
            return refused.answer

    def from_cdn(self, request: Request) -> Answer:
        """Answer a request to the CDN: who has a signed link needs no token, and one that comes along is an error."""
        segments = request.segments
        if "authorization" in request.headers:
            return Answer(400, {"Content-Type": "application/xml"}, b"<Code>InvalidArgument</Code>")
        if segments[0] != "cdn" or request.asked("Signature") != _signature(request.path):
            return Answer(403, {"Content-Type": "application/xml"}, b"<Code>AccessDenied</Code>")
        found = [repository.content(segments[-2]) for repository in self.shelf.repositories]
        file = next((file for file in found if file is not None), None)
        if file is None:
            return Answer(404, {"Content-Type": "application/xml"}, b"<Code>NoSuchKey</Code>")
        named = {"ETag": f'"{file.sha256}"'}
        if segments[1] == "ms":  # its CDN tells the hash, the other one does not
            named |= {"X-Linked-ETag": f'"{file.sha256}"', "X-Linked-Size": str(file.size)}
        return Answer(200, named | _content_headers(segments[-1]), file=file)

    # Files: /datasets/NS/NAME/resolve/REVISION/PATH, a model's without the prefix

    def _page(self, request: Request, kind: str, segments: list[str]) -> Answer:
        at = next((n for n in (2, 1) if len(segments) > n + 1 and segments[n] in ("resolve", "raw")), None)
        if at is None:
            return as_json({"error": "Sorry, we can't find the page you are looking for."}, 404)
        repository, commit, file = self._file(request, kind, segments, at)
        path = "/".join(segments[at + 2 :])
        headers = {"X-Repo-Commit": commit.sha}
        if segments[at] == "raw":
            return Answer(200, headers | _content_headers(path), file.pointer() if file.lfs else file.read())
        return self._resolved(request, repository, path, file, headers)

    def _from_resolve_cache(self, request: Request, kind: str, segments: list[str]) -> Answer:
        at = 2 if len(segments) > 3 and len(segments[2]) == 40 else 1
        _, commit, file = self._file(request, kind, [*segments[:at], "resolve", *segments[at:]], at)
        headers = {"X-Repo-Commit": commit.sha, "ETag": f'"{file.etag}"'}
        return Answer(200, headers | _content_headers(segments[-1]), file=file)

    def _file(self, request: Request, kind: str, segments: list[str], at: int) -> tuple[Repository, Commit, File]:
        """Find what NS/NAME/resolve/REVISION/PATH names; `at` is where "resolve" stands."""
        repository = self._repository(request, kind, "/".join(segments[:at]))
        self._may_read(request, repository)
        commit = self._commit(repository, segments[at + 1])
        file = commit.files.get("/".join(segments[at + 2 :]))
        if file is None:
            raise Refused(_error(404, "EntryNotFound", "Entry not found", {"X-Repo-Commit": commit.sha}))
        return repository, commit, file

    def _resolved(
        self, request: Request, repository: Repository, path: str, file: File, headers: dict[str, str]
    ) -> Answer:
        if file.lfs and repository.xet:
            about = f"{request.endpoint}/api/{repository.type}s/{repository.id}"
            token = f"{about}/xet-read-token/{headers['X-Repo-Commit']}"
            store = f"{request.endpoint}/xet/v1/reconstructions/{file.xet_hash}"
            headers |= {
                "X-Xet-Hash": file.xet_hash,
                "Link": f'<{token}>; rel="xet-auth", <{store}>; rel="xet-reconstruction-info"',
            }
        linked = {"X-Linked-Size": str(file.size), "X-Linked-ETag": f'"{file.etag}"', "Accept-Ranges": "bytes"}
        if file.lfs and self.cdn is not None:
            return _redirect(302, signed(self.cdn, "hf", repository, path, file), headers | linked)
        if not file.lfs and self.resolve_cache:
            where = f"/api/resolve-cache/{repository.type}s/{repository.id}/{headers['X-Repo-Commit']}/{quote(path)}"
            query = urlencode({request.path: "", "etag": linked["X-Linked-ETag"]})
            return _redirect(307, f"{where}?{query}", headers | linked)
        return Answer(200, {**headers, "ETag": f'"{file.etag}"', **_content_headers(path)}, file=file)

    # /api

    def _api(self, request: Request, segments: list[str]) -> Answer:
        if segments == ["whoami-v2"]:
            return self._whoami(request)
        if segments[:1] == ["resolve-cache"] and len(segments) > 4:
            return self._from_resolve_cache(request, _TYPES.get(segments[1], ""), segments[2:])
        if len(segments) < 2 or segments[0] not in _TYPES:
            return as_json({"error": "Not Found"}, 404)
        kind = _TYPES[segments[0]]
        questions = {"revision", "tree", "paths-info", "refs", "commits", "xet-read-token", "parquet"}
        size = 1 if len(segments) == 2 or segments[2] in questions else 2
        repository = self._repository(request, kind, "/".join(segments[1 : size + 1]))
        return self._about(request, repository, segments[size + 1 :])

    def _about(self, request: Request, repository: Repository, question: list[str]) -> Answer:
        match question:
            case [] | ["revision", _]:
                return self._info(request, repository, self._commit(repository, question[1] if question else "main"))
            case ["tree", revision, *folder]:
                return self._tree(request, repository, revision, "/".join(folder).strip("/"))
            case ["paths-info", revision] if request.method == "POST":
                return self._paths_info(request, repository, self._commit(repository, revision))
            case ["refs"]:
                return as_json(_refs(repository, request.wants("include_prs")))
            case ["commits", revision]:
                return self._commits(request, repository, self._commit(repository, revision))
            case _:  # parquet, xet-read-token and all that a repository need not have
                return _error(404, "", "Not Found")

    def _whoami(self, request: Request) -> Answer:
        user = self._user(request)
        if user is None:
            return _error(401, "", "Invalid username or password.")
        access = {"displayName": "test", "role": "read", "createdAt": "2023-11-14T22:13:20.000Z"}
        auth = {"type": "access_token", "accessToken": access}
        return as_json({"type": "user", "id": _id(user), "name": user, "fullname": user, "orgs": [], "auth": auth})

    def _info(self, request: Request, repository: Repository, commit: Commit) -> Answer:
        blobs = request.wants("blobs")
        siblings = [{"rfilename": path, **(_blob(file) if blobs else {})} for path, file in commit.files.items()]
        oldest = list(repository.history())[-1]
        card = _card(commit)
        info: dict[str, Any] = {
            "_id": _id(repository.id),
            "id": repository.id,
            "author": repository.id.split("/")[0],
            "sha": commit.sha,
            "lastModified": repository.at().date,
            "createdAt": oldest.date,
            "private": repository.private,
            "gated": repository.gated,
            "disabled": repository.disabled,
            "tags": ["region:us"],
            "downloads": 0,
            "likes": 0,
            "siblings": siblings,
            "usedStorage": sum(file.size for file in commit.files.values()),
        }
        if card:
            info["cardData"] = card
        if repository.type == "model":
            info |= {"modelId": repository.id, "spaces": [], "config": {}}
        if repository.type == "space":
            info |= {"sdk": card.get("sdk", "static"), "models": [], "datasets": []}
        expand = parse_qs(request.query).get("expand") or parse_qs(request.query).get("expand[]")
        if expand:
            info = {name: value for name, value in info.items() if name in {"_id", "id", *expand}}
        return as_json(info)

    def _tree(self, request: Request, repository: Repository, revision: str, folder: str) -> Answer:
        commit = self._commit(repository, revision)
        headers = {"X-Repo-Commit": commit.sha}
        if folder not in commit.folders:
            message = f'{folder} does not exist on "{revision}"'
            raise Refused(_error(404, "EntryNotFound", message, headers))
        expand = request.wants("expand")
        found = commit.listed(folder, recursive=request.wants("recursive"))
        page, link = self._paged(request, found, self.expanded_page if expand else self.tree_page)
        return as_json([_entry(repository, commit, path, expand) for path in page], headers=headers | link)

    def _paths_info(self, request: Request, repository: Repository, commit: Commit) -> Answer:
        if "json" in request.headers.get("content-type", ""):
            asked = cast("dict[str, Any]", json.loads(request.body or b"{}"))
            paths, expand = cast("list[str]", asked.get("paths", [])), bool(asked.get("expand"))
        else:
            form = parse_qs(request.body.decode(), keep_blank_values=True)
            paths, expand = form.get("paths", []), form.get("expand", [""])[-1].lower() == "true"
        held = [path.strip("/") for path in paths]
        found = [path for path in held if path in commit.files or (path and path in commit.folders)]
        return as_json([_entry(repository, commit, path, expand) for path in found])

    def _commits(self, request: Request, repository: Repository, commit: Commit) -> Answer:
        found = [
            {"id": each.sha, "title": each.title, "message": "", "authors": [{"user": "forebay"}], "date": each.date}
            for each in repository.history(commit.sha)
        ]
        page, link = self._paged(request, found, self.tree_page)
        return as_json(page, headers={"X-Total-Count": str(len(found)), **link})

    def _paged(self, request: Request, found: list[Any], most: int) -> tuple[list[Any], dict[str, str]]:
        limit = min(int(request.asked("limit") or most), most)
        cursor = request.asked("cursor")
        start = int(base64.urlsafe_b64decode(cursor)) if cursor else 0
        if start + limit >= len(found):
            return found[start:], {}
        query = parse_qs(request.query, keep_blank_values=True)
        query |= {"limit": [str(limit)], "cursor": [base64.urlsafe_b64encode(b"%d" % (start + limit)).decode()]}
        where = f"{request.endpoint}{request.raw_path}?{urlencode(query, doseq=True)}"
        return found[start : start + limit], {"Link": f'<{where}>; rel="next"'}

    # Refusals

    def _user(self, request: Request) -> str | None:
        try:
            return self.shelf.user(request.token)
        except KeyError:
            raise Refused(_error(401, "", "Invalid credentials in Authorization header")) from None

    def _repository(self, request: Request, kind: str, id: str) -> Repository:  # noqa: A002
        user = self._user(request)
        repository = self.shelf.find("hf", kind, id)
        if repository is None or not repository.knows_of(user):
            # a stranger is not told whether it is missing or private
            raise Refused(_error(401 if user is None else 404, "RepoNotFound", "Repository not found"))
        if repository.disabled:
            raise Refused(_error(403, "", "Access to this resource is disabled."))
        if repository.id != id:
            where = request.raw_path.replace(quote(id), quote(repository.id), 1)
            raise Refused(_redirect(307, where + (f"?{request.query}" if request.query else ""), {}))
        return repository

    def _may_read(self, request: Request, repository: Repository) -> None:
        user = self._user(request)
        if repository.may_read(user):
            return
        what = f"Access to {repository.type} {repository.id} is restricted"
        if user is None:
            raise Refused(
                _error(401, "GatedRepo", f"{what}. You must have access to it and be authenticated. Please log in.")
            )
        raise Refused(_error(403, "GatedRepo", f"{what} and you are not in the authorized list. Ask for access."))

    def _commit(self, repository: Repository, revision: str) -> Commit:
        try:
            return repository.at(revision)
        except NotFoundError:
            raise Refused(_error(404, "RevisionNotFound", f"Invalid rev id: {revision}")) from None


def _error(status: int, code: str, message: str, headers: Mapping[str, str] = _NO_HEADERS) -> Answer:
    told = {**headers, **({"X-Error-Code": code} if code else {}), "X-Error-Message": message}
    return as_json({"error": message}, status, told)


def _redirect(status: int, where: str, headers: Mapping[str, str]) -> Answer:
    text = f"Redirecting to {where}".encode()
    return Answer(status, {**headers, "Location": where, "Content-Type": "text/plain; charset=utf-8"}, text)


def _content_headers(path: str) -> dict[str, str]:
    name = path.rpartition("/")[2]
    kind = "text/plain; charset=utf-8" if path.lower().endswith(_TEXT) else "application/octet-stream"
    told = f"inline; filename*=UTF-8''{quote(name)}; filename=\"{quote(name)}\";"
    return {"Content-Type": kind, "Content-Disposition": told}


def _entry(repository: Repository, commit: Commit, path: str, expand: bool) -> dict[str, Any]:
    file = commit.files.get(path)
    entry: dict[str, Any]
    if file is None:
        entry = {"type": "directory", "oid": commit.folders[path], "size": 0, "path": path}
    else:
        entry = {"type": "file", "oid": file.oid, "size": file.size, "path": path, **_lfs(file)}
        if file.lfs and repository.xet:
            entry["xetHash"] = file.xet_hash
        if expand:
            scan = {"status": "unscanned"}
            entry["securityFileStatus"] = {"status": "unscanned", "avScan": scan, "pickleImportScan": scan}
    if expand:
        last = repository.last_change(commit, path)
        entry["lastCommit"] = {"id": last.sha, "title": last.title, "date": last.date}
    return entry


def _lfs(file: File) -> dict[str, Any]:
    return {"lfs": {"oid": file.sha256, "size": file.size, "pointerSize": file.pointer_bytes}} if file.lfs else {}


def _blob(file: File) -> dict[str, Any]:
    lfs = {"lfs": {"sha256": file.sha256, "size": file.size, "pointerSize": file.pointer_bytes}} if file.lfs else {}
    return {"size": file.size, "blobId": file.oid, **lfs}


def _refs(repository: Repository, pull_requests: bool) -> dict[str, Any]:
    def told(names: Iterable[tuple[str, str]], prefix: str) -> list[dict[str, str]]:
        short = [(name.removeprefix(prefix), sha) for name, sha in names]
        return [{"name": name, "ref": prefix + name, "targetCommit": sha} for name, sha in short]

    branches = repository.branches.items()
    refs: dict[str, Any] = {
        "branches": told((each for each in branches if not each[0].startswith("refs/")), "refs/heads/"),
        "converts": told((each for each in branches if each[0].startswith("refs/convert/")), "refs/convert/"),
        "tags": told(repository.tags.items(), "refs/tags/"),
    }
    if pull_requests:
        refs["pullRequests"] = told((each for each in branches if each[0].startswith("refs/pr/")), "refs/pr/")
    return refs


def _card(commit: Commit) -> dict[str, Any]:
    """Return the YAML at the head of the README."""
    readme = commit.files.get("README.md")
    parts = readme.read().decode(errors="replace").split("---\n", 2) if readme else []
    if len(parts) < 3 or parts[0].strip():
        return {}
    import yaml

    card = yaml.safe_load(parts[1])
    return cast("dict[str, Any]", card) if isinstance(card, dict) else {}


def signed(cdn: str, hub: str, repository: Repository, path: str, file: File) -> str:
    """Return the link by which the CDN gives out the bytes."""
    where = f"/cdn/{hub}/{repository.type}s/{repository.id}/{file.sha256}/{path.rpartition('/')[2]}"
    return f"{cdn}{quote(where)}?{urlencode({'Expires': '4102444800', 'Signature': _signature(where)})}"


def _signature(path: str) -> str:
    return hashlib.sha256(b"fakehub " + path.encode()).hexdigest()[:32]


def _id(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:24]
