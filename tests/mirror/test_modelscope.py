"""ModelScope's protocol: envelopes, numbers, pages, files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from forebay.mirror.exchange import Answer, Request
from forebay.testing import FakeHub, Repository

DATA = {"README.md": "# ceval\n", "data/val.csv": "a,b\n1,2\n", "data/deep/x.parquet": b"PAR1" * 100}


@pytest.fixture
def fake() -> Iterator[FakeHub]:
    model = Repository("org/model", type="model", files={"config.json": "{}"})
    with FakeHub([Repository("org/ceval", files=DATA), model]) as hub:
        yield hub


def request(path: str, method: str = "GET", **headers: str) -> Request:
    raw, _, query = path.partition("?")
    return Request(method, raw, query, {name.replace("_", "-"): value for name, value in headers.items()})


def data(answer: Answer) -> Any:
    envelope = json.loads(answer.body)
    assert set(envelope) == {"Code", "Data", "Message", "RequestId", "Success"}
    assert envelope["Success"] is (answer.status == 200)
    return envelope["Data"]


def taken(answer: Answer) -> bytes:
    assert answer.content is not None
    return b"".join(bytes(piece) for piece in answer.content.pieces())


def test_a_dataset_is_known_by_name_and_by_number(fake, bench) -> None:
    ms = bench(fake).ms
    info = data(ms.answer(request("/api/v1/datasets/org/ceval")))
    assert (info["Type"], info["Namespace"], info["Name"]) == (4, "org", "ceval")
    query = "repo/tree?Revision=master&Root=/&Recursive=True&PageNumber=1&PageSize=500"
    by_name = data(ms.answer(request(f"/api/v1/datasets/org/ceval/{query}")))
    by_number = data(ms.answer(request(f"/api/v1/datasets/{info['Id']}/{query}")))
    assert by_name == by_number
    assert data(ms.answer(request("/api/v1/datasets/12345/repo/tree"))) is None


def test_a_number_is_understood_by_another_mirror_over_the_same_store(fake, bench) -> None:
    first = bench(fake).ms
    number = data(first.answer(request("/api/v1/datasets/org/ceval")))["Id"]
    again = bench(fake, offline=True).ms
    assert data(again.answer(request(f"/api/v1/datasets/{number}/repo/tree")))["TotalCount"] == 2


def test_trees_are_the_hub_s(fake, bench, ask) -> None:
    ms = bench(fake).ms
    for root, recursive in (("/", "True"), ("/", "False"), ("data", "False"), ("data", "True"), ("data/deep", "True")):
        path = f"/api/v1/datasets/org/ceval/repo/tree?Revision=master&Root={root}&Recursive={recursive}&PageSize=500"
        mine, theirs = data(ms.answer(request(path))), ask(fake.ms_endpoint + path).json()["Data"]
        assert mine["TotalCount"] == theirs["TotalCount"]
        for one, other in zip(mine["Files"], theirs["Files"], strict=True):
            same = ("Name", "Path", "Type", "Size", "Sha256", "IsLFS", "Mode", "Id")
            assert {name: one[name] for name in same} == {name: other[name] for name in same}
    assert ms.answer(request("/api/v1/datasets/org/ceval/repo/tree?Root=nothing")).status == 404


def test_pages_have_no_links(bench) -> None:
    names = [f"{n:03}.txt" for n in range(250)]
    with FakeHub([Repository("org/many", files=dict.fromkeys(names, "x"))]) as fake:
        ms, seen = bench(fake).ms, []
        for page in (1, 2, 3, 4):
            found = data(ms.answer(request(f"/api/v1/datasets/org/many/repo/tree?PageNumber={page}&PageSize=100")))
            assert found["TotalCount"] == 250
            seen += [each["Name"] for each in found["Files"]]
        assert seen == names


def test_files(fake, bench) -> None:
    ms = bench(fake).ms
    for path, content in DATA.items():
        wanted = content.encode() if isinstance(content, str) else content
        url = f"/api/v1/datasets/org/ceval/repo?Source=SDK&Revision=master&FilePath={path}"
        head = ms.answer(request(url, "HEAD"))
        assert (head.status, head.length) == (200, len(wanted))
        assert taken(ms.answer(request(url))) == wanted
        assert taken(ms.answer(request(url, range="bytes=2-4"))) == wanted[2:5]
        assert taken(ms.answer(request(f"/datasets/org/ceval/resolve/master/{path}"))) == wanted
    assert taken(ms.answer(request("/api/v1/models/org/model/repo?FilePath=config.json"))) == b"{}"
    missing = ms.answer(request("/api/v1/datasets/org/ceval/repo?FilePath=nothing"))
    assert (missing.status, json.loads(missing.body)["Code"]) == (404, 10010205001)


def test_models_are_listed_at_once(fake, bench) -> None:
    ms = bench(fake).ms
    files = data(ms.answer(request("/api/v1/models/org/model/repo/files?Recursive=True")))["Files"]
    assert [each["Path"] for each in files] == ["config.json"]
    assert data(ms.answer(request("/api/v1/models/org/model")))["Path"] == "org"
    branches = data(ms.answer(request("/api/v1/models/org/model/revisions")))["RevisionMap"]["Branches"]
    assert [each["Revision"] for each in branches] == ["master"]


def test_what_is_not_there(fake, bench) -> None:
    ms = bench(fake).ms
    for path in (
        "/api/v1/datasets/org/nothing",
        "/api/v1/repos/internalAccelerationInfo",
        "/nothing",
        "/api/v1/datasets/org/ceval/x",
    ):
        assert ms.answer(request(path)).status == 404
    assert ms.answer(request("/api/v1/datasets/org/ceval/download/increase", "POST")).status == 200
    assert ms.answer(request("/api/v1/datasets/org/ceval", "DELETE")).status == 404


def test_the_client_s_own_id_of_a_request_comes_back(fake, bench) -> None:
    ms = bench(fake).ms
    answer = ms.answer(request("/api/v1/datasets/org/ceval", x_request_id="mine"))
    assert json.loads(answer.body)["RequestId"] == "mine"


@pytest.mark.parametrize("token", [None, "tok-eve", "tok-ann"])
def test_what_is_gated_is_refused_as_the_hub_does(token, bench, ask) -> None:
    gated = Repository("org/gated", files={"x": "1"}, gated="manual", readers={"ann"}, hubs=["ms"])
    with FakeHub([gated], users={"tok-ann": "ann", "tok-eve": "eve"}) as fake:
        path = "/api/v1/datasets/org/gated/repo?Revision=master&FilePath=x"
        shown = {} if token is None else {"authorization": f"Bearer {token}"}
        assert bench(fake).ms.answer(request(path, **shown)).status == ask(fake.ms_endpoint + path, **shown).status
