"""Unmodified clients, each in a process of its own, find what they expect."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from forebay.testing import FakeHub, HubFault, Repository, tinydata

pytest.importorskip("huggingface_hub")
pytest.importorskip("datasets")

Client = Callable[..., Any]
QUIET = "import logging; logging.disable(logging.CRITICAL)\n"


def test_a_file_a_snapshot_and_the_filesystem(client: Client, hub: FakeHub, repository: Repository) -> None:
    hub.huggingface.tree_page = 2  # the client has to turn pages
    told = client(
        hub,
        """
from pathlib import Path
from huggingface_hub import HfApi, HfFileSystem, hf_hub_download, snapshot_download
path = hf_hub_download("org/data", "weights.bin", repo_type="dataset")
folder = Path(snapshot_download("org/data", repo_type="dataset"))
fs, api = HfFileSystem(), HfApi()
info = api.dataset_info("org/data", files_metadata=True)
tell({
    "size": Path(path).stat().st_size,
    "blob": Path(path).resolve().name,
    "files": sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()),
    "commit": folder.name,
    "found": sorted(fs.find("datasets/org/data")),
    "part": fs.cat_file("datasets/org/data/weights.bin", 10, 20).hex(),
    "glob": fs.glob("datasets/org/data/**/*.csv"),
    "infos": [p.path for p in api.get_paths_info("org/data", ["README.md", "none"], repo_type="dataset")],
    "refs": [ref.target_commit for ref in api.list_repo_refs("org/data", repo_type="dataset").tags],
    "commits": [c.commit_id for c in api.list_repo_commits("org/data", repo_type="dataset")],
    "tree": [f.path for f in api.list_repo_tree("org/data", repo_type="dataset", expand=True) if f.last_commit],
    "sha": info.sha,
    "who": api.whoami(token="hf_ann")["name"],
})
""",
    )
    head = repository.at()
    assert told["size"] == repository.file("weights.bin").size
    assert told["blob"] == repository.file("weights.bin").sha256
    assert told["files"] == sorted(head.files)
    assert told["found"] == sorted(f"datasets/org/data/{path}" for path in head.files)
    assert told["part"] == repository.file("weights.bin").read(10, 10).hex()
    assert told["glob"] == ["datasets/org/data/data/more/part.csv"]
    assert told["infos"] == ["README.md"]
    assert told["refs"] == [repository.at("v1").sha]
    assert told["commits"] == [head.sha, head.parent]
    assert told["tree"] == ["data", "README.md", "weights.bin"]
    assert told["commit"] == told["sha"] == head.sha
    assert told["who"] == "ann"
    assert hub.count(host="cdn", status=400) == 0


def test_refusals_become_the_errors_that_they_are(client: Client, hub: FakeHub, repository: Repository) -> None:
    hub.shelf.add(Repository("org/gated", type="model", files={"w.bin": b"1"}, gated="auto", readers=["ann"]))
    hub.shelf.add(Repository("org/private", files={"a.txt": "1"}, private=True, readers=["ann"]))
    repository.rename("org/new")
    told = client(
        hub,
        """
from huggingface_hub import HfApi, hf_hub_download
def error(*args, **named):
    try:
        return open(hf_hub_download(*args, **named), "rb").read().decode()[:5]
    except Exception as caught:
        return type(caught).__name__
data = {"repo_type": "dataset"}
tell([
    error("org/none", "a", **data),
    error("org/data", "none", **data),
    error("org/data", "README.md", revision="none", **data),
    error("org/gated", "w.bin"),
    error("org/gated", "w.bin", token="hf_bob"),
    error("org/gated", "w.bin", token="hf_ann"),
    error("org/private", "a.txt", token="hf_bob", **data),
    error("org/private", "a.txt", token="hf_ann", **data),
    error("org/data", "README.md", **data),
    HfApi().dataset_info("org/data").id,
])
""",
    )
    refused = ["RepositoryNotFoundError", "RemoteEntryNotFoundError", "RevisionNotFoundError"]
    gated = ["GatedRepoError", "GatedRepoError", "1"]
    assert told == [*refused, *gated, "RepositoryNotFoundError", "1", "---\nl", "org/new"]


def test_faults_as_a_client_meets_them(client: Client, hub: FakeHub, repository: Repository) -> None:
    repository.commit({"large.bin": bytes(21 << 20)})
    limit = hub.faults.add(HubFault(status=429, retry_after="1"), "/cdn/*", times=1)
    cut = hub.faults.add(HubFault(cut_after_bytes=11 << 20), "/cdn/*", times=1)
    told = client(
        hub,
        QUIET
        + """
import hashlib
from huggingface_hub import hf_hub_download
tell(hashlib.sha256(open(hf_hub_download("org/data", "large.bin", repo_type="dataset"), "rb").read()).hexdigest())
""",
    )
    assert told == repository.file("large.bin").sha256
    assert (limit.met, cut.met) == (1, 1)
    ranges = [each.headers.get("range") for each in hub.log if each.host == "cdn"]
    assert ranges == [None, None, f"bytes={10 << 20}-"]  # the client keeps whole chunks of 10 MiB


def test_no_token_travels_to_another_host(client: Client, hub: FakeHub) -> None:
    with FakeHub([Repository("org/data", files={"README.md": "elsewhere"})]) as other:
        hub.faults.add(HubFault(redirect_to=other.hf_endpoint), "*/README.md", methods=["GET"])
        told = client(
            hub,
            """
from huggingface_hub import get_session
headers = {"authorization": "Bearer hf_ann"}
tell(get_session().get(ENDPOINT + "/datasets/org/data/resolve/main/README.md", headers=headers).text)
""".replace("ENDPOINT", repr(hub.hf_endpoint)),
        )
        assert told == "elsewhere"
        assert [each.headers.get("authorization") for each in hub.log] == ["Bearer hf_ann"]
        assert [each.headers.get("authorization") for each in other.log] == [None]


def test_a_file_by_way_of_the_resolve_cache(client: Client, hub: FakeHub, repository: Repository) -> None:
    hub.huggingface.resolve_cache = True
    told = client(
        hub,
        """
from pathlib import Path
from huggingface_hub import hf_hub_download
path = Path(hf_hub_download("org/data", "README.md", repo_type="dataset"))
tell([path.read_text(), path.resolve().name, path.parent.name])
""",
    )
    file = repository.file("README.md")
    assert told == [file.read().decode(), file.oid, repository.head]


@pytest.fixture
def well_known() -> Iterator[FakeHub]:
    made = [tinydata.hellaswag(), tinydata.gsm8k(), tinydata.arc(), tinydata.mmlu(subjects=["anatomy", "virology"])]
    with FakeHub([*made, tinydata.ceval(subjects=["law"])]) as started:
        yield started


def test_datasets_loads_the_well_known(client: Client, well_known: FakeHub) -> None:
    told = client(
        well_known,
        QUIET
        + """
import datasets
datasets.disable_progress_bars()
load = datasets.load_dataset
mmlu = load("cais/mmlu", "virology", split="dev")
tell({
    "hellaswag": {name: len(split) for name, split in load("Rowan/hellaswag").items()},
    "endings": load("Rowan/hellaswag", split="train")[3]["endings"],
    "mmlu": [len(mmlu), mmlu[1]["subject"], mmlu.features["answer"].names],
    "all": len(load("cais/mmlu", "all", split="test")),
    "configs": datasets.get_dataset_config_names("cais/mmlu"),
    "gsm8k": load("openai/gsm8k", "socratic", split="test")[0]["answer"],
    "arc": load("allenai/ai2_arc", "ARC-Easy", split="test")[0]["choices"]["label"],
    "ceval": load("evalscope/ceval", "law", split="val")[2]["answer"],
    "glob": len(load("Rowan/hellaswag", data_files="data/v*.parquet", split="train")),
    "hf": len(load("csv", data_files="hf://datasets/evalscope/ceval/val/law_val.csv", split="train")),
})
""",
    )
    assert told["hellaswag"] == {"train": 12, "validation": 12, "test": 12}
    assert len(told["endings"]) == 4
    assert told["mmlu"] == [5, "virology", ["A", "B", "C", "D"]]
    assert told["all"] == 8
    assert told["configs"] == ["anatomy", "virology", "all", "auxiliary_train"]
    assert told["gsm8k"].endswith("#### 2")
    assert told["arc"] == ["A", "B", "C", "D"]
    assert told["ceval"] == "C"
    assert (told["glob"], told["hf"]) == (12, 3)
