"""The Hugging Face protocol, header by header."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from forebay.testing import FakeHub, Repository

Ask = Callable[..., Any]
FILE = "/datasets/org/data/resolve/main"
API = "/api/datasets/org/data"


# Files


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_file_that_git_keeps(hf: Ask, repository: Repository, method: str) -> None:
    answer = hf(f"{FILE}/README.md", method)
    content = repository.file("README.md").read()
    assert answer.status == 200
    assert answer.headers["x-repo-commit"] == repository.head
    assert answer.headers["etag"] == '"' + hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() + '"'
    assert answer.headers["content-length"] == str(len(content))
    assert answer.headers["accept-ranges"] == "bytes"
    assert 'filename="README.md"' in answer.headers["content-disposition"]
    assert answer.body == (content if method == "GET" else b"")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_file_behind_lfs(hf: Ask, fetch: Ask, hub: FakeHub, repository: Repository, method: str) -> None:
    answer = hf(f"{FILE}/weights.bin", method)
    file = repository.file("weights.bin")
    assert answer.status == 302
    assert answer.headers["x-linked-etag"] == f'"{file.sha256}"'
    assert answer.headers["x-linked-size"] == str(file.size)
    assert answer.headers["x-repo-commit"] == repository.head
    assert "x-xet-hash" not in answer.headers
    assert answer.headers["location"].startswith(f"{hub.cdn_endpoint}/cdn/")
    # some clients follow a redirect to the same host name, whatever its port, and miss the headers above
    assert urlsplit(hub.cdn_endpoint).hostname != urlsplit(hub.hf_endpoint).hostname
    content = fetch(answer.headers["location"])
    assert (content.status, content.body) == (200, file.read())
    assert content.headers["etag"] == f'"{file.sha256}"'
    assert "x-repo-commit" not in content.headers
    assert hub.count(host="cdn") == 1


def test_the_cdn_wants_a_signature_and_no_token(hf: Ask, fetch: Ask) -> None:
    where = hf(f"{FILE}/weights.bin").headers["location"]
    assert fetch(where, authorization="Bearer hf_ann").status == 400
    assert fetch(where.split("?")[0]).status == 403
    assert fetch(where.replace("weights", "other")).status == 403


def test_lfs_without_a_cdn_comes_straight(fetch: Ask, repository: Repository) -> None:
    with FakeHub([repository], cdn=False) as hub:
        answer = fetch(f"{hub.hf_endpoint}{FILE}/weights.bin", range="bytes=5-9")
    file = repository.file("weights.bin")
    assert (answer.status, answer.body) == (206, file.read(5, 5))
    assert answer.headers["etag"] == f'"{file.sha256}"'


def test_xet_is_told_where_asked_for(fetch: Ask) -> None:
    made = Repository("org/x", type="model", files={"w.bin": b"1", "t.txt": "1"}, xet=True)
    with FakeHub([made]) as hub:
        answer = fetch(f"{hub.hf_endpoint}/org/x/resolve/main/w.bin", "HEAD")
        assert answer.headers["x-xet-hash"] == made.file("w.bin").xet_hash
        route = answer.headers["link"].split(">")[0].lstrip("<")
        assert route == f"{hub.hf_endpoint}/api/models/org/x/xet-read-token/{made.head}"
        assert 'rel="xet-auth"' in answer.headers["link"]
        assert fetch(route).status == 404
        tree = {entry["path"]: entry for entry in fetch(f"{hub.hf_endpoint}/api/models/org/x/tree/main").json}
        assert "x-xet-hash" not in fetch(f"{hub.hf_endpoint}/org/x/resolve/main/t.txt", "HEAD").headers
    assert tree["w.bin"]["xetHash"] == made.file("w.bin").xet_hash
    assert "xetHash" not in tree["t.txt"]


def test_the_resolve_cache(hf: Ask, hub: FakeHub, repository: Repository) -> None:
    hub.huggingface.resolve_cache = True
    answer = hf(f"{FILE}/README.md", "HEAD")
    assert answer.status == 307
    assert answer.headers["location"].startswith(f"/api/resolve-cache/datasets/org/data/{repository.head}/README.md?")
    assert answer.headers["x-linked-etag"] == f'"{repository.file("README.md").oid}"'
    followed = hf(answer.headers["location"])
    assert followed.body == repository.file("README.md").read()
    assert followed.headers["x-repo-commit"] == repository.head
    assert hf(f"/api/resolve-cache/datasets/org/data/{repository.head}/none").headers["x-error-code"] == "EntryNotFound"


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=5-", 5, None),
        ("bytes=-4", -4, None),
        ("bytes=7-9999", 7, None),
        ("bytes=-9999", 0, None),
    ],
)
def test_ranges(hf: Ask, repository: Repository, asked: str, start: int, end: int | None) -> None:
    content = repository.file("README.md").read()
    answer = hf(f"{FILE}/README.md", range=asked)
    wanted = content[start:end]
    assert (answer.status, answer.body) == (206, wanted)
    first = start % len(content)
    assert answer.headers["content-range"] == f"bytes {first}-{first + len(wanted) - 1}/{len(content)}"


@pytest.mark.parametrize("asked", ["bytes=9999-", "bytes=-0"])
def test_ranges_beyond_the_end(hf: Ask, repository: Repository, asked: str) -> None:
    answer = hf(f"{FILE}/README.md", range=asked)
    size = repository.file("README.md").size
    assert (answer.status, answer.headers["content-range"], answer.body) == (416, f"bytes */{size}", b"")


@pytest.mark.parametrize("asked", ["bytes=5-2", "bytes=-", "lines=1-2", "bytes=0-1,3-4", "bytes=x-"])
def test_ranges_that_are_none_give_the_whole(hf: Ask, asked: str) -> None:
    assert hf(f"{FILE}/README.md", range=asked).status == 200


def test_conditions(hf: Ask, repository: Repository) -> None:
    etag = f'"{repository.file("README.md").oid}"'
    for named in (etag, f'"x", W/{etag}', "*"):
        answer = hf(f"{FILE}/README.md", if_none_match=named)
        assert (answer.status, answer.body, answer.headers["etag"]) == (304, b"", etag)
    assert hf(f"{FILE}/README.md", if_none_match='"other"').status == 200
    assert hf(f"{FILE}/README.md", range="bytes=1-2", if_range=etag).status == 206
    assert hf(f"{FILE}/README.md", range="bytes=1-2", if_range='"other"').status == 200


def test_raw_shows_the_pointer(hf: Ask, repository: Repository) -> None:
    assert hf("/datasets/org/data/raw/main/weights.bin").body == repository.file("weights.bin").pointer()
    assert hf("/datasets/org/data/raw/v1/README.md").body == b"old"


def test_each_kind_of_repository_has_its_path(fetch: Ask) -> None:
    made = [Repository("org/same", type=kind, files={"f.txt": kind}) for kind in ("dataset", "model", "space")]
    with FakeHub(made) as hub:
        for prefix, kind in (("/datasets", "dataset"), ("", "model"), ("/spaces", "space")):
            assert fetch(f"{hub.hf_endpoint}{prefix}/org/same/resolve/main/f.txt").body == kind.encode()
            assert fetch(f"{hub.hf_endpoint}/api/{kind}s/org/same").json["id"] == "org/same"


def test_revisions(hf: Ask, repository: Repository) -> None:
    first = repository.at("v1").sha
    for revision in ("v1", first, "refs%2Fconvert%2Fparquet"):
        answer = hf(f"/datasets/org/data/resolve/{revision}/README.md")
        assert (answer.body, answer.headers["x-repo-commit"]) == (b"old", first)


# Information


def test_information(hf: Ask, repository: Repository) -> None:
    info = hf(API).json
    assert info["id"] == "org/data"
    assert info["author"] == "org"
    assert info["sha"] == repository.head
    assert info["lastModified"] == repository.at().date > info["createdAt"]
    assert (info["private"], info["gated"], info["disabled"]) == (False, False, False)
    assert [sibling["rfilename"] for sibling in info["siblings"]] == sorted(repository.at().files)
    assert info["cardData"] == {"license": "mit", "tags": ["small"]}
    old = hf(f"{API}/revision/v1").json
    assert old["sha"] == repository.at("v1").sha
    assert "cardData" not in old
    blobs = {sibling["rfilename"]: sibling for sibling in hf(f"{API}?blobs=True").json["siblings"]}
    assert blobs["weights.bin"]["lfs"]["sha256"] == repository.file("weights.bin").sha256
    assert set(hf(f"{API}?expand=sha&expand=gated").json) == {"_id", "id", "sha", "gated"}


def test_a_tree(hf: Ask, repository: Repository) -> None:
    commit = repository.at()
    tree = hf(f"{API}/tree/main?recursive=false&expand=false")
    assert [entry["path"] for entry in tree.json] == ["data", "README.md", "weights.bin"]
    folder, readme, weights = tree.json
    assert folder == {"type": "directory", "oid": commit.folders["data"], "size": 0, "path": "data"}
    file = commit.files["README.md"]
    assert readme == {"type": "file", "oid": file.oid, "size": file.size, "path": "README.md"}
    held = commit.files["weights.bin"]
    assert weights["lfs"] == {"oid": held.sha256, "size": held.size, "pointerSize": len(held.pointer())}
    assert "link" not in tree.headers


def test_a_tree_below_and_recursive(hf: Ask) -> None:
    assert [entry["path"] for entry in hf(f"{API}/tree/main/data").json] == ["data/more", "data/train.parquet"]
    every = [entry["path"] for entry in hf(f"{API}/tree/main?recursive=True").json]
    assert sorted(every) == [
        "README.md",
        "data",
        "data/more",
        "data/more/part.csv",
        "data/train.parquet",
        "weights.bin",
    ]
    below = [entry["path"] for entry in hf(f"{API}/tree/main/data?recursive=1").json]
    assert below == ["data/more", "data/more/part.csv", "data/train.parquet"]


def test_an_expanded_tree_tells_the_last_commits(hf: Ask, repository: Repository) -> None:
    entries = {entry["path"]: entry for entry in hf(f"{API}/tree/main?expand=true").json}
    assert entries["README.md"]["lastCommit"]["id"] == repository.head
    assert entries["weights.bin"]["lastCommit"]["id"] == entries["data"]["lastCommit"]["id"] == repository.at("v1").sha
    assert entries["weights.bin"]["securityFileStatus"]["status"] == "unscanned"


@pytest.mark.parametrize(("page", "pages"), [(1, 6), (2, 3), (4, 2), (6, 1), (100, 1)])
def test_pages_of_a_tree(hf: Ask, hub: FakeHub, page: int, pages: int) -> None:
    hub.huggingface.tree_page = page
    path, seen, asked = f"{API}/tree/main?recursive=true", [], 0
    while path:
        answer = hf(path)
        seen += [entry["path"] for entry in answer.json]
        asked += 1
        where, _, told = answer.headers.get("link", "").partition(">")
        assert told in ("", '; rel="next"')
        path = where.lstrip("<").removeprefix(hub.hf_endpoint)
    assert (len(seen), len(set(seen)), asked) == (6, 6, pages)


@pytest.mark.parametrize("kind", ["form", "json"])
def test_information_on_paths(hf: Ask, kind: str) -> None:
    paths = ["README.md", "data", "none", "data/train.parquet"]
    if kind == "form":
        body, content = urlencode({"paths": paths, "expand": "True"}, doseq=True), "application/x-www-form-urlencoded"
    else:
        body, content = json.dumps({"paths": paths, "expand": True}), "application/json"
    answer = hf(f"{API}/paths-info/main", "POST", body.encode(), content_type=content)
    assert [entry["path"] for entry in answer.json] == ["README.md", "data", "data/train.parquet"]
    assert [entry["type"] for entry in answer.json] == ["file", "directory", "file"]
    assert all("lastCommit" in entry for entry in answer.json)


def test_references(hf: Ask, repository: Repository) -> None:
    repository.branch("refs/pr/1")
    refs = hf(f"{API}/refs?include_prs=1").json
    first = repository.at("v1").sha
    assert refs["branches"] == [{"name": "main", "ref": "refs/heads/main", "targetCommit": repository.head}]
    assert refs["tags"] == [{"name": "v1", "ref": "refs/tags/v1", "targetCommit": first}]
    assert refs["converts"] == [{"name": "parquet", "ref": "refs/convert/parquet", "targetCommit": first}]
    assert [ref["ref"] for ref in refs["pullRequests"]] == ["refs/pr/1"]
    assert "pullRequests" not in hf(f"{API}/refs").json


def test_history(hf: Ask, repository: Repository) -> None:
    assert [each["id"] for each in hf(f"{API}/commits/main").json] == [repository.head, repository.at("v1").sha]


def test_who_am_i(hf: Ask) -> None:
    assert hf("/api/whoami-v2").status == 401
    assert hf("/api/whoami-v2", authorization="Bearer hf_ann").json["name"] == "ann"
    refused = hf("/api/whoami-v2", authorization="Bearer nobody")
    assert (refused.status, refused.headers["x-error-message"]) == (401, "Invalid credentials in Authorization header")


# Refusals


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/datasets/org/none/resolve/main/a", 401, "RepoNotFound"),
        ("/api/datasets/org/none", 401, "RepoNotFound"),
        ("/api/models/org/data", 401, "RepoNotFound"),
        (f"{API}/revision/none", 404, "RevisionNotFound"),
        ("/datasets/org/data/resolve/none/README.md", 404, "RevisionNotFound"),
        (f"{API}/tree/none", 404, "RevisionNotFound"),
        (f"{API}/tree/main/none", 404, "EntryNotFound"),
        (f"{API}/tree/main/README.md", 404, "EntryNotFound"),
        (f"{FILE}/none", 404, "EntryNotFound"),
        (f"{FILE}/data", 404, "EntryNotFound"),
        (f"{API}/parquet", 404, None),
        ("/api/agent-harnesses", 404, None),
        ("/api", 404, None),
        ("/", 404, None),
    ],
)
def test_what_is_not_there(hf: Ask, repository: Repository, path: str, status: int, code: str | None) -> None:
    answer = hf(path)
    assert (answer.status, answer.headers.get("x-error-code")) == (status, code)
    assert answer.json["error"]
    assert (answer.headers.get("x-repo-commit") == repository.head) == (code == "EntryNotFound")


def test_nonsense_is_a_bad_request(hf: Ask) -> None:
    for asked in ("limit=x", "cursor=!", "cursor=eA"):
        assert hf(f"{API}/tree/main?{asked}").status == 400
    assert hf(f"{API}/paths-info/main", "POST", b"{", content_type="application/json").status == 400


def test_with_a_token_a_missing_repository_is_404(hf: Ask) -> None:
    answer = hf("/api/datasets/org/none", authorization="Bearer hf_ann")
    assert (answer.status, answer.headers["x-error-code"]) == (404, "RepoNotFound")


def test_an_unknown_token_is_refused_even_where_none_is_needed(hf: Ask) -> None:
    assert hf(f"{FILE}/README.md", authorization="Bearer nobody").status == 401


def test_a_gated_repository(hf: Ask, repository: Repository) -> None:
    repository.gated, repository.readers = "manual", {"ann"}
    assert hf(API).json["gated"] == "manual"
    assert hf(f"{API}/tree/main").status == 200
    for path in ("README.md", "weights.bin", "none"):
        answers = [hf(f"{FILE}/{path}", **told) for told in ({}, {"authorization": "Bearer hf_bob"})]
        assert [(each.status, each.headers["x-error-code"]) for each in answers] == [
            (401, "GatedRepo"),
            (403, "GatedRepo"),
        ]
    assert hf(f"{FILE}/README.md", authorization="Bearer hf_ann").status == 200
    assert hf("/datasets/org/data/raw/main/README.md").status == 401


def test_a_private_repository_is_not_even_there(hf: Ask, repository: Repository) -> None:
    repository.private, repository.readers = True, {"ann"}
    for path in (API, f"{API}/tree/main", f"{FILE}/README.md", f"{API}/refs"):
        assert hf(path).status == 401
        assert hf(path, authorization="Bearer hf_bob").status == 404
        assert hf(path, authorization="Bearer hf_ann").status == 200


def test_a_disabled_repository(hf: Ask, repository: Repository) -> None:
    repository.disabled = True
    answer = hf(API)
    assert (answer.status, answer.headers["x-error-message"]) == (403, "Access to this resource is disabled.")


def test_a_renamed_repository(hf: Ask, repository: Repository) -> None:
    repository.rename("new/name")
    for path, to in (
        (f"{API}?x=1", "/api/datasets/new/name?x=1"),
        (f"{API}/tree/main/data", "/api/datasets/new/name/tree/main/data"),
        (f"{FILE}/README.md", "/datasets/new/name/resolve/main/README.md"),
    ):
        answer = hf(path)
        assert (answer.status, answer.headers["location"]) == (307, to)
        assert hf(to).status == 200
    assert hf("/api/datasets/new/name").json["id"] == "new/name"


def test_an_old_bare_name(fetch: Ask) -> None:
    with FakeHub([Repository("openai/gsm8k", former=["gsm8k"])]) as hub:
        answer = fetch(f"{hub.hf_endpoint}/api/datasets/gsm8k/tree/main")
        assert (answer.status, answer.headers["location"]) == (307, "/api/datasets/openai/gsm8k/tree/main")
        where = fetch(f"{hub.hf_endpoint}/datasets/gsm8k/resolve/main/a.txt").headers["location"]
        assert where == "/datasets/openai/gsm8k/resolve/main/a.txt"


def test_a_rename_keeps_the_private_secret(hf: Ask, repository: Repository) -> None:
    repository.private = True
    repository.rename("new/name")
    assert hf(API).status == 401
