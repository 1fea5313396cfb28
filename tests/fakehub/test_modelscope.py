"""The ModelScope protocol: envelopes, numbers, pages."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from forebay.testing import FakeHub, Repository

Ask = Callable[..., Any]
DATASET = "/api/v1/datasets/org/data"


def test_the_envelope(ms: Ask, repository: Repository) -> None:
    answer = ms(DATASET, x_request_id="abc").json
    assert (answer["Code"], answer["Success"], answer["Message"], answer["RequestId"]) == (200, True, "success", "abc")
    told = answer["Data"]
    assert (told["Type"], told["Namespace"], told["Name"], told["Id"]) == (4, "org", "data", repository.number)


@pytest.mark.parametrize("name", ["number", "name"])
def test_a_tree_by_number_or_name(ms: Ask, repository: Repository, name: str) -> None:
    where = f"/api/v1/datasets/{repository.number if name == 'number' else repository.id}/repo/tree"
    answer = ms(f"{where}?Revision=master&Root=/&Recursive=True&PageNumber=1&PageSize=500").json["Data"]
    entries = {entry["Path"]: entry for entry in answer["Files"]}
    assert answer["TotalCount"] == len(entries) == 6
    weights = entries["weights.bin"]
    assert weights["Sha256"] == repository.file("weights.bin").sha256
    assert (weights["Type"], weights["IsLFS"], weights["Size"]) == ("blob", True, 16384)
    assert weights["CommitId"] == weights["Revision"] == repository.at("v1").sha
    readme = repository.file("README.md")
    assert entries["README.md"]["Sha256"] == hashlib.sha256(readme.read()).hexdigest()
    assert entries["README.md"]["CommittedDate"] == repository.at().second
    assert (entries["data/more"]["Type"], entries["data/more"]["Name"]) == ("tree", "more")


def test_pages_and_folders(ms: Ask, hub: FakeHub) -> None:
    def listed(asked: str) -> list[str]:
        return [entry["Path"] for entry in ms(f"{DATASET}/repo/tree?{asked}").json["Data"]["Files"]]

    assert listed("") == listed("Root=/&Recursive=False") == ["data", "README.md", "weights.bin"]
    assert listed("Root=data") == ["data/more", "data/train.parquet"]
    assert listed("Root=%2Fdata%2F&Recursive=True") == ["data/more", "data/more/part.csv", "data/train.parquet"]
    paged = [listed(f"Recursive=True&PageSize=4&PageNumber={page}") for page in (1, 2, 3)]
    assert [len(page) for page in paged] == [4, 2, 0]
    assert [path for page in paged for path in page] == listed("Recursive=True")
    hub.modelscope.most_page = 2
    assert len(listed("PageSize=500")) == 2


def test_a_model_is_listed_at_once(fetch: Ask) -> None:
    made = Repository("org/m", type="model", files={f"f{n}.txt": "x" for n in range(5)})
    with FakeHub([made]) as hub:
        where = f"{hub.ms_endpoint}/api/v1/models/org/m/repo/files?Revision=master&Recursive=True"
        assert len(fetch(where).json["Data"]["Files"]) == 5
        hub.modelscope.most_files = 3
        assert len(fetch(where).json["Data"]["Files"]) == 3
        assert fetch(f"{hub.ms_endpoint}/api/v1/models/org/m").json["Data"]["Path"] == "org"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_file(ms: Ask, repository: Repository, method: str) -> None:
    answer = ms(f"{DATASET}/repo?Source=SDK&Revision=master&FilePath=README.md&View=False", method)
    file = repository.file("README.md")
    assert (answer.status, answer.headers["etag"]) == (200, f'"{file.sha256}"')
    assert answer.headers["content-length"] == str(file.size)
    assert answer.body == (file.read() if method == "GET" else b"")


def test_range_counts_for_lfs_files_alone(ms: Ask, fetch: Ask, hub: FakeHub, repository: Repository) -> None:
    straight = ms(f"{DATASET}/repo?FilePath=README.md", range="bytes=1-2")
    assert straight.status == 200
    assert "accept-ranges" not in straight.headers
    linked = ms(f"{DATASET}/repo?FilePath=weights.bin", range="bytes=1-2")
    assert linked.status == 302
    answer = fetch(linked.headers["location"], range="bytes=1-2")
    assert (answer.status, answer.body) == (206, b"\1\2")
    assert answer.headers["x-linked-etag"] == f'"{repository.file("weights.bin").sha256}"'
    hub.modelscope.plain_ranges = True
    assert ms(f"{DATASET}/repo?FilePath=README.md", range="bytes=1-2").status == 206


def test_the_path_that_hf_urls_become(ms: Ask, repository: Repository) -> None:
    assert ms("/datasets/org/data/resolve/master/README.md").body == repository.file("README.md").read()


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/datasets/org/none",
        "/api/v1/datasets/123/repo/tree",
        "/api/v1/models/org/data",
        f"{DATASET}/repo?FilePath=none",
        f"{DATASET}/repo?Revision=none&FilePath=README.md",
        f"{DATASET}/repo/tree?Root=none",
        f"{DATASET}/oss/tree",
        "/api/v1/repos/internalAccelerationInfo",
        "/datasets/org/data/resolve/master",
        "/resolve/a/b",
        "/",
    ],
)
def test_what_is_not_there(ms: Ask, path: str) -> None:
    answer = ms(path)
    assert (answer.status, answer.json["Code"], answer.json["Success"]) == (404, 10010205001, False)


def test_revisions(ms: Ask, repository: Repository) -> None:
    told = ms(f"{DATASET}/revisions").json["Data"]["RevisionMap"]
    assert [(each["Revision"], each["CommitId"]) for each in told["Branches"]] == [("master", repository.head)]
    assert [each["Revision"] for each in told["Tags"]] == ["v1"]
    assert ms(f"{DATASET}/repo?Revision=v1&FilePath=README.md").body == b"old"


def test_downloads_are_counted_by_post(ms: Ask) -> None:
    assert ms(f"{DATASET}/download/increase", "POST").json["Success"]
    assert ms(f"{DATASET}/download/increase").status == 404


def test_tokens_come_by_header_or_cookie(ms: Ask, repository: Repository) -> None:
    repository.private, repository.readers = True, {"ann"}
    assert ms(DATASET).status == 404
    for told in ({"authorization": "Bearer hf_ann"}, {"cookie": "a=b; m_session_id=hf_ann"}):
        assert ms(DATASET, **told).status == 200
    assert ms(DATASET, cookie="m_session_id=hf_bob").status == 404
    assert ms(DATASET, cookie="m_session_id=nobody").json["Code"] == 10010103009
    repository.private, repository.gated = False, "manual"
    assert ms(DATASET).json["Data"]["Gated"] is True
    assert ms(f"{DATASET}/repo?FilePath=README.md").status == 403


def test_the_two_hubs_need_not_agree(fetch: Ask) -> None:
    made = [Repository("org/a", files={"f": on}, hubs=[on]) for on in ("hf", "ms")]
    with FakeHub(made) as hub:
        assert fetch(f"{hub.hf_endpoint}/datasets/org/a/resolve/main/f").body == b"hf"
        assert fetch(f"{hub.ms_endpoint}/api/v1/datasets/org/a/repo?FilePath=f").body == b"ms"
