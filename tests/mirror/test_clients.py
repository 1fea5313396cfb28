"""Unmodified huggingface_hub and datasets, as installed beside us: cold, warm, and when the hub is dead."""

from __future__ import annotations

import json

import pytest

from forebay.testing import FakeHub, HubFault, Repository
from forebay.testing.tinydata import hellaswag

ROWS = "".join(json.dumps({"n": n, "text": f"row {n}"}) + "\n" for n in range(20))
BIG = bytes(range(256)) * (3 << 12)

FILES = """
from huggingface_hub import HfFileSystem, hf_hub_download, snapshot_download
import pathlib
path = hf_hub_download("Ann/files", "data/big.bin", repo_type="dataset")
print(pathlib.Path(path).stat().st_size, pathlib.Path(path).parts[-3])
folder = pathlib.Path(snapshot_download("Ann/files", repo_type="dataset"))
print(sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()))
fs = HfFileSystem()
print(sorted(fs.glob("datasets/Ann/files/data/*.jsonl")), fs.isdir("datasets/Ann/files/data"))
with fs.open("datasets/Ann/files/data/big.bin", "rb") as file:
    file.seek(1000)
    print(file.read(4).hex())
"""

LOADS = """
from datasets import load_dataset
print(load_dataset("Rowan/hellaswag", split="validation").num_rows)
print(load_dataset("Ann/files", data_files="data/*.jsonl", split="train")["n"][-1])
print(load_dataset("json", data_files={"test": "hf://datasets/Ann/files/data/a.jsonl"}, split="test").num_rows)
"""


@pytest.fixture
def fake():
    files = {"data/a.jsonl": ROWS, "data/b.jsonl": ROWS, "data/big.bin": BIG, "README.md": "# files\n"}
    with FakeHub([hellaswag(), Repository("Ann/files", files=files, xet=True)]) as hub:
        yield hub


def test_files(fake, start_mirror, upstream, run_client) -> None:
    mirror = start_mirror(*upstream(fake))
    cold = run_client(FILES, mirror.endpoint, home="first")
    lines = cold.splitlines()
    assert lines[0].split()[0] == str(len(BIG))
    assert lines[1] == "['README.md', 'data/a.jsonl', 'data/b.jsonl', 'data/big.bin']"
    assert lines[2] == "['datasets/Ann/files/data/a.jsonl', 'datasets/Ann/files/data/b.jsonl'] True"
    assert lines[3] == BIG[1000:1004].hex()
    fake.forget()
    assert run_client(FILES, mirror.endpoint, home="second") == cold
    assert fake.count() == 0
    fake.die()
    assert run_client(FILES, mirror.endpoint, home="third") == cold


def test_datasets(fake, start_mirror, upstream, run_client) -> None:
    mirror = start_mirror(*upstream(fake))
    assert run_client(LOADS, mirror.endpoint, home="first").split() == ["12", "19", "20"]
    files = sum(len(each.at().files) for each in fake.shelf.repositories)
    assert fake.count() - fake.count(host="cdn") <= files + 3 * 2
    fake.forget()
    assert run_client(LOADS, mirror.endpoint, home="second").split() == ["12", "19", "20"]
    assert fake.count() == 0
    mirror.stop()
    fake.die()
    later = start_mirror(*upstream(fake), "--fresh-seconds", "0")
    assert run_client(LOADS, later.endpoint, home="third").split() == ["12", "19", "20"]


def test_offline(fake, start_mirror, upstream, run_client) -> None:
    run_client(LOADS, start_mirror(*upstream(fake)).endpoint, home="first")
    fake.forget()
    mirror = start_mirror("--offline", *upstream(fake))
    assert run_client(LOADS, mirror.endpoint, home="second").split() == ["12", "19", "20"]
    assert fake.count() == 0


def test_a_client_never_keeps_wrong_bytes(fake, start_mirror, upstream, run_client) -> None:
    """Clients do not look at hashes: the mirror must."""
    fake.faults.add(HubFault(flip_byte=5), "/cdn/*")
    mirror = start_mirror(*upstream(fake))
    code = """
import os, pathlib
from huggingface_hub import hf_hub_download
try:
    hf_hub_download("Ann/files", "data/big.bin", repo_type="dataset")
except Exception as error:
    print("refused")
print([p for p in pathlib.Path(os.environ["HF_HOME"]).rglob("*big.bin") if p.is_file()])
"""
    assert run_client(code, mirror.endpoint).split() == ["refused", "[]"]
    fake.faults.clear()
    assert run_client(code, mirror.endpoint).startswith("[PosixPath")


def test_a_gated_dataset(start_mirror, upstream, run_client) -> None:
    gated = Repository("Ann/gated", files={"secret.txt": "secret"}, gated="manual", readers={"ann"})
    code = """
from huggingface_hub import hf_hub_download
try:
    print(open(hf_hub_download("Ann/gated", "secret.txt", repo_type="dataset")).read())
except Exception as error:
    print(type(error).__name__)
"""
    with FakeHub([gated], users={"hf_ann": "ann", "hf_eve": "eve"}) as fake:
        mirror = start_mirror(*upstream(fake))
        assert run_client(code, mirror.endpoint, home="ann", HF_TOKEN="hf_ann").strip() == "secret"
        assert run_client(code, mirror.endpoint, home="eve", HF_TOKEN="hf_eve").strip() == "GatedRepoError"
        assert run_client(code, mirror.endpoint, home="nobody").strip() == "GatedRepoError"


def test_what_is_not_there(fake, start_mirror, upstream, run_client) -> None:
    code = """
from huggingface_hub import hf_hub_download, HfApi
for repo, file, revision in (("Ann/none", "x", None), ("Ann/files", "none", None), ("Ann/files", "README.md", "none")):
    try:
        hf_hub_download(repo, file, repo_type="dataset", revision=revision)
    except Exception as error:
        print(type(error).__name__)
print(HfApi().repo_exists("Ann/none", repo_type="dataset"), HfApi().repo_exists("Ann/files", repo_type="dataset"))
"""
    mirror = start_mirror(*upstream(fake))
    names = ["RepositoryNotFoundError", "RemoteEntryNotFoundError", "RevisionNotFoundError"]
    assert run_client(code, mirror.endpoint).split() == [*names, "False", "True"]


def test_a_renamed_dataset(fake, start_mirror, upstream, run_client) -> None:
    next(each for each in fake.shelf.repositories if each.id == "Rowan/hellaswag").rename("Rowan/better")
    code = 'from datasets import load_dataset; print(load_dataset("Rowan/hellaswag", split="test").num_rows)'
    assert run_client(code, start_mirror(*upstream(fake)).endpoint).strip() == "12"
