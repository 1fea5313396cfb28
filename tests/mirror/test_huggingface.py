"""Hugging Face's protocol: what the mirror says is what the hub says, whatever is asked in whatever order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from forebay.mirror.exchange import Answer, Request
from forebay.testing import FakeHub, Repository

README = "---\nlicense: mit\n---\n# Hello\n"
BIG = bytes(range(256)) * 8192


@pytest.fixture
def repository() -> Repository:
    made = Repository(
        "Ann/data",
        files={"README.md": "old", "data/train.parquet": BIG, "data/deep/er/a.txt": "a", "ä b/ü%.csv": "x,y\n"},
        xet=True,
    )
    made.tag("v1")
    made.commit({"README.md": README})
    made.branch("refs/convert/parquet")
    return made


@pytest.fixture
def fake(repository: Repository) -> Iterator[FakeHub]:
    model = Repository("Ann/model", type="model", files={"config.json": "{}", "model.safetensors": BIG})
    metric = Repository("evaluate-metric/exact", type="space", files={"exact.py": "pass"})
    with FakeHub([repository, model, metric]) as hub:
        yield hub


def request(path: str, method: str = "GET", body: bytes = b"", **headers: str) -> Request:
    raw, _, query = path.partition("?")
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request(method, raw, query, named, body, "http://mirror:1")


def told(answer: Answer) -> Any:
    return json.loads(answer.body)


def taken(answer: Answer) -> bytes:
    return answer.body if answer.content is None else b"".join(bytes(piece) for piece in answer.content.pieces())


def without_xet(value: Any) -> Any:
    if isinstance(value, list):
        return [without_xet(each) for each in value]
    if isinstance(value, dict):
        return {name: without_xet(each) for name, each in value.items() if name != "xetHash"}
    return value


SAME = [
    "/api/datasets/Ann/data",
    "/api/datasets/Ann/data/revision/main",
    "/api/datasets/Ann/data/revision/v1?blobs=true",
    "/api/datasets/Ann/data/revision/refs%2Fconvert%2Fparquet",
    "/api/datasets/Ann/data?expand[]=sha&expand[]=gated",
    "/api/models/Ann/model",
    "/api/spaces/evaluate-metric/exact",
    "/api/datasets/Ann/data/tree/main",
    "/api/datasets/Ann/data/tree/main?recursive=True&expand=False",
    "/api/datasets/Ann/data/tree/main/data?recursive=false",
    "/api/datasets/Ann/data/tree/main/data/deep?recursive=true",
    "/api/datasets/Ann/data/tree/main/%C3%A4%20b",
    "/api/datasets/Ann/data/tree/main/nothing",
    "/api/datasets/Ann/data/tree/main/README.md",
    "/api/datasets/Ann/data/tree/nothing",
    "/api/datasets/Ann/nothing",
    "/api/datasets/Ann/data/parquet",
    "/api/datasets/Ann/data/xet-read-token/main",
    "/api/whoami-v2",
    "/api/agent-harnesses",
]


@pytest.mark.parametrize("path", SAME)
def test_answers_are_the_hub_s(path, fake, bench, ask) -> None:
    theirs = ask(fake.hf_endpoint + path)
    mine = bench(fake).hf.answer(request(path))
    assert mine.status == theirs.status
    assert told(mine) == without_xet(theirs.json()) or mine.status >= 400
    for name in ("X-Repo-Commit", "X-Error-Code"):
        assert mine.headers.get(name) == theirs.headers.get(name.lower())


def test_a_page_leads_to_the_next(fake, repository, bench) -> None:
    repository.commit({f"many/{n:02}.txt": str(n) for n in range(25)})
    served = bench(fake).hf
    small = type(served)(served.library, tree_page=10)
    path, found = "/api/datasets/Ann/data/tree/main?recursive=true&expand=false", []
    for _ in range(10):
        answer = small.answer(request(path))
        found += told(answer)
        if "Link" not in answer.headers:
            break
        link = answer.headers["Link"]
        assert link.startswith("<http://mirror:1/api/")
        assert link.endswith('>; rel="next"')
        path = link[1 : link.index(">")].removeprefix("http://mirror:1")
    assert [each["path"] for each in found] == repository.at().listed(recursive=True)
    assert small.answer(request(path.replace("cursor=", "cursor=!"))).status == 400


def test_files_come_with_what_their_clients_need(fake, repository, bench) -> None:
    hf = bench(fake).hf
    for path in ("README.md", "data/train.parquet", "data/deep/er/a.txt", "ä b/ü%.csv"):
        file = repository.file(path)
        url = f"/datasets/Ann/data/resolve/main/{quote(path)}"
        head, got = hf.answer(request(url, "HEAD")), hf.answer(request(url))
        assert (head.status, got.status) == (200, 200)
        assert head.length == got.length == file.size
        assert head.content is None
        assert taken(got) == file.read()
        for answer in (head, got):
            assert answer.headers["ETag"] == f'"{file.etag}"'
            assert answer.headers["X-Repo-Commit"] == repository.head
            assert not any("xet" in f"{name}{value}".lower() for name, value in answer.headers.items())
        assert hf.answer(request(url, if_none_match=f'W/"x", "{file.etag}"')).status == 304


def test_models_and_spaces_have_paths_of_their_own(fake, bench) -> None:
    hf = bench(fake).hf
    assert taken(hf.answer(request("/Ann/model/resolve/main/model.safetensors"))) == BIG
    assert taken(hf.answer(request("/spaces/evaluate-metric/exact/resolve/main/exact.py"))) == b"pass"
    assert hf.answer(request("/Ann/model/resolve/main/config.json", "POST")).status == 404
    assert hf.answer(request("/")).status == 404


def test_a_missing_file_names_the_commit(fake, repository, bench) -> None:
    answer = bench(fake).hf.answer(request("/datasets/Ann/data/resolve/main/nothing.json", "HEAD"))
    assert (answer.status, answer.headers["X-Error-Code"]) == (404, "EntryNotFound")
    assert answer.headers["X-Repo-Commit"] == repository.head


def test_all_revisions_can_be_read(fake, repository, bench) -> None:
    hf = bench(fake).hf
    first = list(repository.history())[-1].sha
    for revision in ("v1", first):
        assert taken(hf.answer(request(f"/datasets/Ann/data/resolve/{revision}/README.md"))) == b"old"
    for revision in ("main", repository.head, "refs%2Fconvert%2Fparquet", "refs/convert/parquet"):
        assert taken(hf.answer(request(f"/datasets/Ann/data/resolve/{revision}/README.md"))) == README.encode()
    assert (
        hf.answer(request("/datasets/Ann/data/resolve/nothing/README.md")).headers["X-Error-Code"] == "RevisionNotFound"
    )
    named = told(hf.answer(request("/api/datasets/Ann/data/refs")))
    assert [each["name"] for each in named["branches"]] == ["main", "v1"]
    assert named["converts"] == [{"name": "parquet", "ref": "refs/convert/parquet", "targetCommit": repository.head}]


@pytest.mark.parametrize("kind", ["form", "json"])
def test_paths_are_told_about(kind, fake, repository, bench, ask) -> None:
    paths = ["data", "README.md", "nothing", "data/train.parquet"]
    if kind == "form":
        sent, name = (
            "&".join(f"paths={quote(path)}" for path in paths) + "&expand=False",
            "application/x-www-form-urlencoded",
        )
    else:
        sent, name = json.dumps({"paths": paths, "expand": False}), "application/json"
    path = "/api/datasets/Ann/data/paths-info/main"
    answer = bench(fake).hf.answer(request(path, "POST", sent.encode(), content_type=name))
    theirs = ask(fake.hf_endpoint + path, "POST", sent.encode(), Content_Type=name)
    assert told(answer) == without_xet(theirs.json())
    assert bench(fake).hf.answer(request(path, "POST", b"{", content_type="application/json")).status == 400


def test_details_say_when(fake, repository, bench) -> None:
    hf = bench(fake).hf
    listed = told(hf.answer(request("/api/datasets/Ann/data/tree/main?expand=true")))
    assert all(each["lastCommit"]["id"] == repository.head for each in listed)
    assert told(hf.answer(request("/api/datasets/Ann/data/commits/main")))[0]["id"] == repository.head


def test_a_renamed_repository_says_where_it_is(fake, repository, bench) -> None:
    repository.rename("Ann/better")
    hf = bench(fake).hf
    for path in ("/api/datasets/Ann/data/tree/main?recursive=true", "/datasets/Ann/data/resolve/main/README.md"):
        answer = hf.answer(request(path))
        assert (answer.status, answer.headers["Location"]) == (307, path.replace("Ann/data", "Ann/better"))
        assert hf.answer(request(answer.headers["Location"])).status == 200


@pytest.mark.parametrize("id", ["Ann/raw", "Ann/resolve", "bare"])
@pytest.mark.parametrize(("type", "prefix"), [("dataset", "/datasets"), ("model", "")])
def test_repositories_that_are_named_like_a_part_of_the_path(id, type, prefix, bench) -> None:  # noqa: A002
    with FakeHub([Repository(id, type=type, files={"raw/resolve/x": "1"})]) as hub:
        answer = bench(hub).hf.answer(request(f"{prefix}/{id}/resolve/main/raw/resolve/x"))
        assert (answer.status, taken(answer)) == (200, b"1")


def test_a_raw_file_behind_lfs_is_its_pointer(fake, repository, bench) -> None:
    hf = bench(fake).hf
    assert taken(hf.answer(request("/datasets/Ann/data/raw/main/README.md"))) == README.encode()
    pointer = hf.answer(request("/datasets/Ann/data/raw/main/data/train.parquet"))
    assert pointer.body == repository.file("data/train.parquet").pointer()


RANGES = [
    ("bytes=0-", 206, 0, 1000),
    ("bytes=0-0", 206, 0, 1),
    ("bytes=10-19", 206, 10, 20),
    ("bytes=990-5000", 206, 990, 1000),
    ("bytes=-10", 206, 990, 1000),
    ("bytes=-5000", 206, 0, 1000),
    ("bytes=999-", 206, 999, 1000),
    ("bytes=1000-", 416, 0, 0),
    ("bytes=5000-6000", 416, 0, 0),
    ("bytes=-0", 416, 0, 0),
    ("bytes=20-10", 200, 0, 1000),
    ("bytes=0-1,5-6", 200, 0, 1000),
    ("bytes=a-b", 200, 0, 1000),
    ("bytes=-", 200, 0, 1000),
    ("lines=1-2", 200, 0, 1000),
    ("BYTES=1-2", 206, 1, 3),
]


@pytest.mark.parametrize("held", [False, True])
def test_ranges(held, bench) -> None:
    data = bytes(n % 251 for n in range(1000))
    with FakeHub([Repository("a/b", files={"x.bin": data})]) as fake:
        hf = bench(fake).hf
        path = "/datasets/a/b/resolve/main/x.bin"
        if held:
            assert taken(hf.answer(request(path))) == data
        for asked, status, start, end in RANGES:
            answer = hf.answer(request(path, range=asked))
            assert (answer.status, answer.length) == (status, end - start), asked
            assert taken(answer) == data[start:end]
            if status == 206:
                assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/1000"
            if status == 416:
                assert answer.headers["Content-Range"] == "bytes */1000"
        etag = answer.headers["ETag"]
        assert hf.answer(request(path, range="bytes=1-2", if_range=etag)).status == 206
        assert hf.answer(request(path, range="bytes=1-2", if_range='"other"')).status == 200


def test_an_empty_file(bench) -> None:
    with FakeHub([Repository("a/b", files={"empty.txt": ""})]) as fake:
        hf = bench(fake).hf
        answer = hf.answer(request("/datasets/a/b/resolve/main/empty.txt"))
        assert (answer.status, answer.length, taken(answer)) == (200, 0, b"")
        assert hf.answer(request("/datasets/a/b/resolve/main/empty.txt", range="bytes=0-")).status == 416
