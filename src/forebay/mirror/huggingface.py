"""The Hugging Face Hub's protocol, answered from snapshots. Source: what its clients were seen to send and to need.

Every answer about a revision is rendered from the manifest of one commit, so that a client which asks in any order sees
one consistent picture, and nobody else need be asked. Xet is never mentioned: a client that hears of it would want it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import parse_qs, quote, urlencode

from forebay.hub.reference import Reference, RepositoryType
from forebay.hub.snapshot import SnapshotFile
from forebay.mirror import listing, serving
from forebay.mirror.exchange import NO_HEADERS, Answer, Headers, Refused, Request, as_json
from forebay.mirror.library import Library, Picture
from forebay.mirror.shelf import Shelf
from forebay.mirror.trouble import Trouble

_TYPES: dict[str, RepositoryType] = {"datasets": "dataset", "models": "model", "spaces": "space"}
_QUESTIONS = {"revision", "tree", "paths-info", "refs", "commits", "xet-read-token", "parquet", "treesize"}
_LONG_REVISIONS = {"convert", "pr", "heads", "tags"}
_TREE_PAGE, _EXPANDED_PAGE, _MOST_PATHS = 1000, 50, 20_000
_EPOCH = "1970-01-01T00:00:00.000Z"
_NEVER_TOLD = {"xetEnabled", "_xet"}


@dataclass(frozen=True, slots=True)
class HuggingFace:
    """Answers of the Hugging Face Hub.

    Attributes:
        library: where snapshots and bytes come from.
        tree_page: entries in one page of a tree (`_EXPANDED_PAGE` with `expand`).
        shelf: prepared Arrow for the program that is served; None: it has none.
    """

    library: Library
    tree_page: int = _TREE_PAGE
    shelf: Shelf | None = None

    def answer(self, request: Request) -> Answer:
        """Answer a request."""
        try:
            segments = request.segments
            if segments[0] == "api":
                return self._api(request, segments[1:])
            named = segments[0] in ("datasets", "spaces")
            return self._page(request, _TYPES[segments[0]] if named else "model", segments[1:] if named else segments)
        except Trouble as trouble:
            return refusal(trouble)
        except Refused as refused:
            return refused.answer

    # Files: /datasets/NS/NAME/resolve/REVISION/PATH, a model's without the prefix

    def _page(self, request: Request, kind: RepositoryType, segments: Sequence[str]) -> Answer:
        # A repository may be called NS/raw; those without a namespace are few.
        at = next((n for n in (2, 1) if len(segments) > n + 2 and segments[n] in ("resolve", "raw")), None)
        if at is None or request.method not in ("GET", "HEAD"):
            return as_json({"error": "Sorry, we can't find the page you are looking for."}, 404)
        revision, inside = _split(segments[at + 1 :])
        picture = self._picture(request, kind, "/".join(segments[:at]), revision)
        path = "/".join(inside)
        headers = {"X-Repo-Commit": picture.snapshot.commit}
        self.library.admit(picture, request.token, request.owns)
        file = picture.snapshot.get(path)
        if file is None:
            if self._is_on_shelf(request, picture, path):
                return _error(404, "RepoNotFound", "prepared: the library finds it in its cache")
            return _error(404, "EntryNotFound", "Entry not found", headers)
        if segments[at] == "raw" and file.lfs_sha256:
            return serving.of_bytes(request, _pointer(file), headers)
        opened = self.library.opener(picture, file, request.token, waits=not request.is_forebay)
        spoiled = self.library.spoiled(file)
        return serving.of_file(request, file, headers, opened, spoiled=spoiled)

    def _is_on_shelf(self, request: Request, picture: Picture, path: str) -> bool:
        """Tell whether a `load_dataset` begins like this, of what the program will find in its cache.

        The library asks for a script of the dataset's name before all else.
        """
        name = request.segments[-4] if len(request.segments) > 3 else ""
        library, _, version = request.headers.get("user-agent", "").partition(";")[0].partition("/")
        if self.shelf is None or picture.snapshot.type != "dataset" or path != f"{name}.py" or library != "datasets":
            return False
        return self.shelf.takes(picture.snapshot, version)

    # /api

    def _api(self, request: Request, segments: Sequence[str]) -> Answer:
        if list(segments) == ["whoami-v2"]:
            return _error(401, "", "Invalid username or password.")
        if len(segments) < 2 or segments[0] not in _TYPES:
            return as_json({"error": "Not Found"}, 404)
        size = 1 if len(segments) == 2 or segments[2] in _QUESTIONS else 2
        kind, id = _TYPES[segments[0]], "/".join(segments[1 : size + 1])  # noqa: A001 - the hub's own word
        return self._about(request, kind, id, list(segments[size + 1 :]))

    def _about(self, request: Request, kind: RepositoryType, id: str, question: list[str]) -> Answer:  # noqa: A002
        reads = request.method in ("GET", "HEAD")
        match question:
            case [] if reads:
                return self._info(request, self._picture(request, kind, id, None))
            case ["revision", *revision] if revision and reads:
                return self._info(request, self._picture(request, kind, id, "/".join(revision)))
            case ["tree", *rest] if rest and reads:
                revision, folder = _split(rest)
                return self._tree(request, self._picture(request, kind, id, revision), "/".join(folder).strip("/"))
            case ["paths-info", *revision] if revision and request.method == "POST":
                return self._paths_info(request, self._picture(request, kind, id, "/".join(revision)))
            case ["refs"] if reads:
                return self._refs(request, self._picture(request, kind, id, None))
            case ["commits", *revision] if revision and reads:
                return self._commits(self._picture(request, kind, id, "/".join(revision)))
            case _:  # parquet, xet-read-token, and all that a repository need not have
                return _error(404, "", "Not Found")

    def _picture(self, request: Request, kind: RepositoryType, id: str, revision: str | None) -> Picture:  # noqa: A002
        reference = Reference("hf", kind, id, revision)
        picture = self.library.picture(reference, request.token, request.owns, waits=not request.is_forebay)
        if picture.snapshot.id != id:  # it has another name now; as the hub does, we say which
            if self.shelf is not None and kind == "dataset":
                self.shelf.renamed(id, picture.snapshot.id)
            where = request.raw_path.replace(quote(id), quote(picture.snapshot.id), 1)
            headers = {"Location": where + (f"?{request.query}" if request.query else "")}
            raise Refused(Answer(307, {**headers, "Content-Type": "text/plain; charset=utf-8"}, b"Renamed"))
        return picture

    def _info(self, request: Request, picture: Picture) -> Answer:
        snapshot = picture.snapshot
        blobs = request.wants("blobs")
        siblings = [{"rfilename": file.path, **(_blob(file) if blobs else {})} for file in snapshot.files]
        told: dict[str, Any] = {
            "_id": f"{picture.number:024x}",
            "id": snapshot.id,
            "author": snapshot.id.split("/")[0],
            "lastModified": _EPOCH,
            "createdAt": _EPOCH,
            "private": False,
            "gated": "manual" if snapshot.restricted else False,
            "disabled": False,
            "tags": [],
            "downloads": 0,
            "likes": 0,
        }
        if snapshot.type == "model":
            told |= {"modelId": snapshot.id, "config": {}}
        if snapshot.type == "space":
            told |= {"sdk": "static"}
        told |= {name: value for name, value in picture.info.items() if name not in _NEVER_TOLD}
        told |= {"sha": snapshot.commit, "siblings": siblings}
        expand = request.parameters.get("expand") or request.parameters.get("expand[]")
        if expand:
            told = {name: value for name, value in told.items() if name in {"_id", "id", *expand}}
        return as_json(told)

    def _tree(self, request: Request, picture: Picture, folder: str) -> Answer:
        headers = {"X-Repo-Commit": picture.snapshot.commit}
        try:
            found = picture.listing.below(folder, recursive=request.wants("recursive"))
        except KeyError:
            what = f'{folder} does not exist on "{picture.snapshot.commit}"'
            return _error(404, "EntryNotFound", what, headers)
        expand = request.wants("expand")
        page, link = _paged(request, found, _EXPANDED_PAGE if expand else self.tree_page)
        return as_json([_entry(picture, path, expand) for path in page], headers=headers | link)

    def _paths_info(self, request: Request, picture: Picture) -> Answer:
        paths, expand = _asked_paths(request)
        tree = picture.listing
        held = [path.strip("/") for path in paths[:_MOST_PATHS]]
        found = [path for path in held if path in tree.files or (path and path in tree.folders)]
        return as_json([_entry(picture, path, expand) for path in found])

    def _refs(self, request: Request, picture: Picture) -> Answer:
        told: dict[str, list[dict[str, str]]] = {"branches": [], "converts": [], "tags": []}
        if request.wants("include_prs"):
            told["pullRequests"] = []
        for name, commit in sorted(self.library.revisions(picture).items()):
            group, ref = "branches", f"refs/heads/{name}"
            if name.startswith("refs/"):
                group, ref = "converts" if name.startswith("refs/convert/") else "pullRequests", name
            if group in told:
                told[group].append({"name": ref.split("/", 2)[2], "ref": ref, "targetCommit": commit})
        return as_json(told)

    def _commits(self, picture: Picture) -> Answer:
        sha, date = picture.snapshot.commit, picture.info.get("lastModified", _EPOCH)
        commit = {"id": sha, "title": f"commit {sha[:12]}", "message": "", "authors": [], "date": date}
        return as_json([commit], headers={"X-Total-Count": "1"})


def refusal(trouble: Trouble) -> Answer:
    """Return how the hub says what is wrong."""
    headers = {"X-Repo-Commit": trouble.commit} if trouble.commit else NO_HEADERS
    return _error(trouble.status, trouble.code, trouble.message, headers)


def _error(status: int, code: str, message: str, headers: Headers = NO_HEADERS) -> Answer:
    told = {**headers, **({"X-Error-Code": code} if code else {}), "X-Error-Message": message}
    return as_json({"error": message}, status, told)


def _split(segments: Sequence[str]) -> tuple[str, Sequence[str]]:
    """Part REVISION/PATH; a revision such as refs/pr/1 is one segment to most clients, and three to some."""
    if len(segments) > 2 and segments[0] == "refs" and segments[1] in _LONG_REVISIONS:
        return "/".join(segments[:3]), segments[3:]
    return segments[0], segments[1:]


def _asked_paths(request: Request) -> tuple[list[str], bool]:
    """Return the paths that a form or JSON body asks for, and whether it wants all that is known of them.

    Raises:
        Refused: it is neither.
    """
    try:
        if "json" in request.headers.get("content-type", ""):
            asked = cast("Mapping[str, Any]", json.loads(request.body or b"{}"))
            paths = cast("list[object]", asked.get("paths", []))
            return [str(path) for path in paths], asked.get("expand") is True
        form = parse_qs(request.body.decode(), keep_blank_values=True)
        return form.get("paths", []), form.get("expand", [""])[-1].lower() == "true"
    except (ValueError, AttributeError, TypeError, RecursionError):
        raise Refused(_error(400, "", "the body must be a form or JSON with paths")) from None


def _paged(request: Request, found: Sequence[str], most: int) -> tuple[Sequence[str], dict[str, str]]:
    """Return a page, and the link to the next one."""
    limit = request.number("limit", most, most)
    try:
        cursor = request.asked("cursor")
        start = max(int(base64.b64decode(cursor, b"-_", validate=True)), 0) if cursor else 0
    except ValueError:
        raise Refused(_error(400, "", "not a cursor of ours")) from None
    if start + limit >= len(found):
        return found[start:], {}
    cursor = base64.urlsafe_b64encode(b"%d" % (start + limit)).decode()
    query = {**request.parameters, "limit": [str(limit)], "cursor": [cursor]}
    where = f"{request.origin}{request.raw_path}?{urlencode(query, doseq=True)}"
    return found[start : start + limit], {"Link": f'<{where}>; rel="next"'}


def _entry(picture: Picture, path: str, expand: bool) -> dict[str, Any]:
    file = picture.listing.files.get(path)
    oid = picture.listing.oid(path)
    entry: dict[str, Any]
    if file is None:
        entry = {"type": "directory", "oid": oid, "size": 0, "path": path}
    else:
        entry = {"type": "file", "oid": oid, "size": file.size or 0, "path": path, **_lfs(file, "oid")}
    if expand:
        sha, date = picture.snapshot.commit, picture.info.get("lastModified", _EPOCH)
        entry["lastCommit"] = {"id": sha, "title": f"commit {sha[:12]}", "date": date}
        if file is not None:
            scan = {"status": "unscanned"}
            entry["securityFileStatus"] = {**scan, "avScan": scan, "pickleImportScan": scan}
    return entry


def _blob(file: SnapshotFile) -> dict[str, Any]:
    return {"size": file.size or 0, "blobId": listing.git_oid(file), **_lfs(file, "sha256")}


def _lfs(file: SnapshotFile, name: str) -> dict[str, Any]:
    if not file.lfs_sha256:
        return {}
    return {"lfs": {name: file.lfs_sha256, "size": file.size or 0, "pointerSize": len(_pointer(file))}}


def _pointer(file: SnapshotFile) -> bytes:
    """Return the text that stands for an LFS file in git."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{file.lfs_sha256}\nsize {file.size}\n".encode()
